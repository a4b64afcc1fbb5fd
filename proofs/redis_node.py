"""One Redis or Valkey of a group: a process that can be killed, frozen and started again."""

import asyncio
import itertools
import os
import signal
import socket
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

HOST = "127.0.0.1"
BUS = 10_000  # from a node's port to that of its cluster bus
# Below what systems give to outgoing connections: a client that dials a port where nothing
# listens could be given this very port for its own end, and would be connected to itself.
LOWEST, HIGHEST = 12_000, 22_000
WAITS = 20.0  # seconds, on a busy machine
ANSWERS = 2.0  # seconds: a frozen node does not hold up who asks it
PAUSE = 0.02

# Runs the server, says its number, and kills it when the owner's end of the pipe is closed,
# however that came about. Who is not waited for keeps its number, so no other process is hit.
WATCH = '"$@" </dev/null >>"$0" 2>&1 & echo $!; read -r _; kill -s KILL $!; wait'

# Begins elsewhere in each process of a test run, and gives no port twice soon: that of a node
# which was killed stays its own.
_numbers = itertools.count(os.getpid() % 100 * 100)

Fact = Callable[[], Awaitable[object]]


@dataclass(slots=True, kw_only=True, eq=False)
class Node:
    """One server on loopback, whose data are gone with its process.

    Attributes:
        program: of the server.
        folder: its own; made here.
        settings: lines of its configuration; those of a sentinel are rewritten by itself.
        password: that it wants, empty for none.
        sentinel: whether it is a sentinel.
        port: free, and that of its cluster bus as well.
        pid: its process, 0 when it was killed.
        frozen: whether it was stopped.
    """

    program: Path
    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    password: str = ""
    sentinel: bool = False
    port: int = field(init=False)
    pid: int = field(default=0, init=False)
    frozen: bool = field(default=False, init=False)
    _process: subprocess.Popen[str] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.port = free_port()

    @property
    def runs(self) -> bool:
        """Whether it may answer."""
        return bool(self.pid and not self.frozen)

    @property
    def place(self) -> str:
        """Its address, as URLs have it."""
        return f"{HOST}:{self.port}"

    def start(self) -> None:
        """Run it; it may not answer yet."""
        configuration = self.folder / "redis.conf"
        if not self.folder.exists():
            self.folder.mkdir()
            configuration.write_text(self._lines())
        command: list[str | Path] = [self.program, configuration]
        command += ["--sentinel"] if self.sentinel else []
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", WATCH, self.folder / "log", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is the owner's
        )
        assert self._process.stdout
        self.pid = int(self._process.stdout.readline())

    def kill(self) -> None:
        """End it with SIGKILL, as a crash does; may be repeated, also when it is frozen."""
        process, self._process, self.pid, self.frozen = self._process, None, 0, False
        if process:
            process.communicate()

    def freeze(self) -> None:
        """Stop it where it is: connections stay open, and nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)
        self.frozen = True

    def thaw(self) -> None:
        """Let it go on; it begins with what was sent meanwhile."""
        os.kill(self.pid, signal.SIGCONT)
        self.frozen = False

    async def fall_behind(self) -> None:
        """Cut a replica off from its master: it hears of no change until it may catch up."""
        await self.ask("CONFIG", "SET", "masterauth", "what the master does not take")
        await self.ask("CLIENT", "KILL", "TYPE", "master")

    async def catch_up(self) -> None:
        """Let it follow its master again, or whoever takes the place of that."""
        await self.ask("CONFIG", "SET", "masterauth", self.settings.get("masterauth", ""))

    async def restart(self) -> None:
        """Start it again at its port, after a kill, and wait until it answers."""
        self.kill()
        self.start()
        await self.until_it_answers()

    async def ask(self, *words: str | int) -> Any:
        """Send it one command, on a connection of its own.

        Raises:
            redis.exceptions.RedisError: what it says, or that it does not answer.
        """
        async with Redis(
            host=HOST,
            port=self.port,
            password=self.password or None,
            decode_responses=True,
            socket_timeout=ANSWERS,
            socket_connect_timeout=ANSWERS,
            retry=Retry(NoBackoff(), 0),
        ) as client:
            return await client.execute_command(*words)  # type: ignore[no-untyped-call]  # redis-py's

    async def until_it_answers(self) -> None:
        """Wait for its first answer.

        Raises:
            RuntimeError: there is none; with the end of its log.
        """
        try:
            await wait_until(lambda: self.ask("PING"))
        except TimeoutError as error:
            raise RuntimeError((self.folder / "log").read_text()[-2_000:]) from error

    async def is_master(self) -> bool:
        """Ask for its role."""
        return bool((await self.ask("ROLE"))[0] == "master")

    async def follows(self, master: "Node") -> bool:
        """Tell whether it has the master's data and is told of every change."""
        role, *rest = await self.ask("ROLE")
        return bool(role == "slave" and rest[1:3] == [master.port, "connected"])

    def _lines(self) -> str:
        lines = {
            "port": str(self.port),
            "bind": HOST,
            "dir": str(self.folder),
            **({"requirepass": self.password} if self.password else {}),
            **self.settings,
        }
        return "".join(f"{name} {value}\n" for name, value in lines.items())


async def wait_until(fact: Fact, seconds: float = WAITS) -> None:
    """Wait until something is so; a node that does not answer is no reason to give up.

    Raises:
        TimeoutError: it did not become so.
    """
    async with asyncio.timeout(seconds):
        while True:
            try:
                if await fact():
                    return
            except (RedisError, OSError):
                pass
            await asyncio.sleep(PAUSE)


def free_port() -> int:
    """Choose a port that is free, and so is that of its cluster bus."""
    while True:
        port = LOWEST + next(_numbers) % (HIGHEST - LOWEST)
        if is_free(port) and is_free(port + BUS):
            return port


def is_free(port: int) -> bool:
    """Tell whether nothing listens there."""
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
