"""Rows `up.cold` and `up.warm`: from nothing, or from kept data, to servers that can be used."""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import asyncpg
from benchmarks.interpreter import bytecode
from benchmarks.measure import Contenders, Row, Sample, SecondsGoal
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from holdfast.services import PostgresServer, RedisServer

APPLICATION = Path(__file__).parent.parent / "apps" / "mantimon"
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "tests")  # of the application's copy
COMMAND = Path(sys.executable).with_name("holdfast")
PAUSE = 0.002  # seconds between two looks at a server that starts


@dataclass(slots=True, kw_only=True)
class ByHand:
    """The limit: the servers' own programs, run as one would by hand, in a folder of `user`."""

    folder: Path
    postgres: Path
    redis: Path
    user: int  # PostgreSQL refuses to run as root
    running: list[asyncio.subprocess.Process] = field(default_factory=list)

    async def cold(self, _work: int) -> Sample:
        """Time initdb and the start of both."""
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        began = time.perf_counter()
        program = self.postgres.with_name("initdb")
        initdb = await self._run(program, "-D", "data", "-U", "postgres", "-A", "trust", "-N")
        if await initdb.wait():
            raise RuntimeError(f"{program} failed")
        await self._start()
        return await self._done(began)

    async def warm(self, _work: int) -> Sample:
        """Time the start of both on the data of a run before."""
        if not (self.folder / "data").exists():
            await self.cold(1)
        began = time.perf_counter()
        await self._start()
        return await self._done(began)

    async def _done(self, began: float) -> Sample:
        seconds = time.perf_counter() - began
        await self.stop()
        return Sample(seconds=seconds)

    async def stop(self) -> None:
        """Stop what runs."""
        while self.running:
            process = self.running.pop()
            process.send_signal(signal.SIGINT)
            await process.wait()

    async def _start(self) -> None:
        options = ("-c", f"unix_socket_directories={self.folder}", "-c", "listen_addresses=")
        self.running.append(await self._run(self.postgres, "-D", "data", *options))
        await until(self._postgres_answers)
        alone = ("--port", "0", "--save", "")
        self.running.append(await self._run(self.redis, "--unixsocket", "redis.sock", *alone))
        await until(self._redis_answers)

    async def _run(self, *words: str | Path) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *map(str, words),
            cwd=self.folder,
            user=self.user if os.getuid() == 0 else None,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )

    async def _postgres_answers(self) -> bool:
        with suppress(OSError, asyncpg.CannotConnectNowError):
            connection = await asyncpg.connect(host=str(self.folder), user="postgres")
            await connection.close()
            return True
        return False

    async def _redis_answers(self) -> bool:
        async with Redis(unix_socket_path=str(self.folder / "redis.sock")) as client:
            with suppress(RedisConnectionError):
                return bool(await client.ping())
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Up:
    """Ours: `holdfast up --detach` in a copy of an application, with its migrations."""

    folder: Path
    environment: Mapping[str, str]

    async def cold(self, _work: int) -> Sample:
        """Time it where there is no data."""
        await self.forget()
        return await self.warm(1)

    async def warm(self, _work: int) -> Sample:
        """Time it on the data of a run before."""
        began = time.perf_counter()
        await self._call("up", "--detach", "--json")
        seconds = time.perf_counter() - began
        await self._call("down")
        return Sample(seconds=seconds)

    async def forget(self) -> None:
        """Stop what runs and remove the data."""
        await self._call("down", "--remove-data")

    async def _call(self, *words: str) -> None:
        process = await asyncio.create_subprocess_exec(
            str(COMMAND), *words, cwd=self.folder, env=self.environment,
            stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        if await process.wait():
            raise RuntimeError(f"holdfast {' '.join(words)} failed")


async def until(answers: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a server answers.

    Raises:
        TimeoutError: it does not, for 30 s.
    """
    async with asyncio.timeout(30):
        while not await answers():  # noqa: ASYNC110  -- a server that starts sets no event
            await asyncio.sleep(PAUSE)


@asynccontextmanager
async def contenders(quick: bool, *, kind: str) -> AsyncIterator[Contenders]:  # noqa: ARG001, FBT001
    """Find the servers that Holdfast would run, and run the same ones by hand."""
    async with PostgresServer() as postgres, RedisServer() as redis:
        user = postgres.log.stat().st_uid
        with open_folder() as folder, bytecode() as environment:
            hand = ByHand(
                folder=make_folder(folder / "hand", user),
                postgres=postgres.binary,
                redis=redis.binary,
                user=user,
            )
            up = make_up(folder / "up", environment)
            runs = {"cold": (hand.cold, up.cold), "warm": (hand.warm, up.warm)}[kind]
            await runs[1](1)
            try:
                yield Contenders(limit=("by hand", runs[0]), ours=("holdfast up", runs[1]))
            finally:
                await hand.stop()
                await up.forget()


@contextmanager
def open_folder() -> Iterator[Path]:
    """Give a temporary folder that other users can go through, as the user of the servers."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def make_folder(folder: Path, user: int) -> Path:
    """Make a folder that belongs to the user of the servers."""
    folder.mkdir()
    os.chown(folder, user, -1)
    return folder


def make_up(folder: Path, environment: Mapping[str, str]) -> Up:
    """Copy the application to where its servers may leave data."""
    shutil.copytree(APPLICATION, folder, ignore=LEFT_OUT)
    given = ("DATABASE_URL", "REDIS_URL")
    kept = {name: value for name, value in environment.items() if name not in given}
    return Up(folder=folder, environment=kept)


def row(kind: str, what: str, at_most: float) -> Row:
    """Make one of the two rows; a start does not grow with anything."""
    return Row(
        name=f"up.{kind}",
        what=what,
        goals=[SecondsGoal(at_most=at_most)],
        contenders=partial(contenders, kind=kind),
        grows=False,
    )


COLD = row("cold", "nothing → PostgreSQL and Redis, migrated, the command's own start included", 3)
WARM = row("warm", "the same on the data of a run before", 1.2)
