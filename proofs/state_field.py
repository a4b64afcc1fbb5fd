"""The servers and processes of a round, each of which can be killed, frozen or set back."""

import asyncio
import itertools
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import asyncpg
import msgspec
from proofs.folders import open_folder
from proofs.redis_node import Node
from proofs.state_log import WRONG, Log, Moves, read
from proofs.state_stores import TABLES
from proofs.state_worker import Job

from holdfast.errors import ServiceError
from holdfast.services import PostgresPolicy, PostgresServer, find_redis

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = {"fsync": "off"}  # processes are killed, no machine; synchronous_commit stays on
IN_MEMORY: Mapping[str, str] = {"save": '""', "appendonly": "no"}
ON_DISK: Mapping[str, str] = {"save": '""', "appendonly": "yes", "appendfsync": "everysec"}
ANSWERS = 2.0  # seconds: what looks from outside is not held up by a frozen server
ENDS = 40.0  # seconds
ATTEMPTS = 50  # at a start: processes of the PostgreSQL that was killed may be there for a moment
PROCESSES = "SELECT pid FROM pg_stat_activity"


@dataclass(slots=True)
class Postgres:
    """A PostgreSQL that is killed and frozen with all its processes."""

    server: PostgresServer
    _frozen: list[int] = field(default_factory=list)

    async def connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        """Connect as a superuser."""
        return await asyncpg.connect(
            self.server.url("postgres"), timeout=ANSWERS, command_timeout=ANSWERS
        )

    async def kill(self) -> None:
        """End every process with SIGKILL."""
        await self._signal(signal.SIGKILL)

    async def start(self) -> None:
        """Start it again; it recovers by what it has written."""
        for attempt in range(ATTEMPTS):
            try:
                await self.server.start()
            except ServiceError:
                if attempt + 1 == ATTEMPTS:
                    raise
                await asyncio.sleep(0.05)
            else:
                return

    async def freeze(self) -> None:
        """Stop every process where it is."""
        self._frozen = await self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        send(signal.SIGCONT, self._frozen)
        self._frozen = []

    async def make_tables(self) -> None:
        """Make the tables of a round, empty."""
        owner = await asyncpg.connect(self.server.url("owner"))
        try:
            for statement in TABLES:
                await owner.execute(statement)
        finally:
            await owner.close()

    async def _signal(self, number: signal.Signals) -> list[int]:
        connection = await self.connect()
        try:
            # First the one that makes others is stopped, so that there are no more.
            send(signal.SIGSTOP, [self.server.pid])
            found = [each["pid"] for each in await connection.fetch(PROCESSES)]
            pids = [*found, self.server.pid]
            send(number, pids)
        finally:
            connection.terminate()
        return pids


@dataclass(slots=True, kw_only=True, eq=False)
class Worker:
    """A process that plays.

    Attributes:
        pid: its process.
        life: its input; it ends in good order when that does.
    """

    pid: int
    life: IO[bytes]

    async def kill(self) -> None:
        """End it with SIGKILL."""
        send(signal.SIGKILL, [self.pid])
        await self._until_gone()
        self.life.close()

    async def end(self) -> None:
        """Let it end in good order."""
        self.life.close()
        await self._until_gone()

    async def _until_gone(self) -> None:
        async with asyncio.timeout(ENDS):
            with suppress(ProcessLookupError):
                while True:
                    os.kill(self.pid, 0)
                    await asyncio.sleep(0.01)


@dataclass(slots=True, kw_only=True)
class Nursery:
    """A process with everything imported, of which workers are forked."""

    folder: Path
    _process: asyncio.subprocess.Process
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    async def begin(self, job: Job) -> Worker:
        """Have a process do a job."""
        life = self.folder / f"life-{next(self._numbers)}"
        os.mkfifo(life)
        line = msgspec.json.encode(msgspec.structs.replace(job, life=str(life)))
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(line + b"\n")
        pid = int(await self._process.stdout.readline())
        # Opened by both at once: the worker waits for this one.
        return Worker(pid=pid, life=await asyncio.to_thread(life.open, "wb", 0))


@asynccontextmanager
async def own_nursery() -> AsyncIterator[Nursery]:
    """Start the process that workers are made of; what they print goes where this one's goes."""
    with open_folder() as folder:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "proofs.state_worker"),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is the owner's
        )
        assert process.stdin
        try:
            yield Nursery(folder=folder, _process=process)
        finally:
            process.stdin.close()
            await process.wait()


@dataclass(slots=True, kw_only=True)
class Field:
    """Everything of a round.

    Attributes:
        postgres: the server.
        redis: the server.
        nursery: of the workers.
        log: of what is done to them.
        job: for the workers, each with a number of its own.
        workers: that play.
    """

    postgres: Postgres
    redis: Node
    nursery: Nursery
    log: Log
    job: Job
    workers: list[Worker] = field(default_factory=list)
    _numbers: int = 0

    async def add_worker(self, **changes: Any) -> Worker:
        """Have another process play, or do a job that is changed so."""
        self._numbers += 1
        job = msgspec.structs.replace(self.job, number=self._numbers, **changes)
        worker = await self.nursery.begin(job)
        self.workers.append(worker)
        return worker

    async def until_all_play(self) -> None:
        """Wait until each worker has recovered."""
        async with asyncio.timeout(ENDS):
            while True:
                calls, _ = read(Path(self.job.log))
                if sum(call.what == "recover" and call.done for call in calls) >= len(self.workers):
                    return
                await asyncio.sleep(0.02)

    async def look_at_all(self) -> None:
        """Have a fresh process write what waits, and another one recover and load every game.

        The rows are looked at between the two: what was saved reaches them also where nobody
        recovers.
        """
        await self.end(await self.add_worker(tasks=0, recovers=False))
        connection = await self.postgres.connect()
        try:
            rows = await read_rows(connection)
        finally:
            await connection.close()
        for key, moves in rows.items():
            self.log.looked("drained", key, time.monotonic_ns(), moves)
        await self.end(await self.add_worker(tasks=0))

    async def replace(self, worker: Worker) -> None:
        """Kill a worker, and have another in its place at once."""
        self.workers.remove(worker)
        await worker.kill()
        await self.add_worker()

    async def end(self, *workers: Worker) -> None:
        """End workers in good order; one that comes to no end is a finding."""
        await asyncio.gather(*map(self._end, workers))
        for each in workers:
            self.workers.remove(each)

    async def _end(self, worker: Worker) -> None:
        try:
            await worker.end()
        except TimeoutError:
            await worker.kill()
            number = self.log.number()
            self.log.tried(number, "end", 0)
            self.log.ended(number, WRONG, said=f"it came to no end in {ENDS:g} s")

    async def clear(self) -> None:
        """Kill what is left, however the round ended."""
        for each in self.workers:
            await each.kill()
        self.workers.clear()


@asynccontextmanager
async def own_postgres() -> AsyncIterator[Postgres]:
    """Give a PostgreSQL that may be killed: its data outlive it."""
    with open_folder() as folder:
        server = PostgresServer(folder, policy=PostgresPolicy(settings=SETTINGS))
        async with server:
            yield Postgres(server)


@asynccontextmanager
async def own_redis(settings: Mapping[str, str]) -> AsyncIterator[Node]:
    """Give an empty Redis or Valkey."""
    with open_folder() as folder:
        node = Node(program=find_redis().path, folder=folder / "redis", settings=settings)
        try:
            await node.restart()
            yield node
        finally:
            node.kill()


@asynccontextmanager
async def watching(postgres: Postgres, log: Log) -> AsyncIterator[None]:
    """Look at the rows from outside all the time, and note each change."""
    task = asyncio.create_task(watch(postgres, log))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def watch(postgres: Postgres, log: Log) -> None:
    """Look until it is cancelled; again, when the server is away."""
    known: dict[int, Moves] = {}
    while True:
        with suppress(
            OSError, TimeoutError, ServiceError, asyncpg.PostgresError, asyncpg.InterfaceError
        ):
            connection = await postgres.connect()
            try:
                while True:
                    began = time.monotonic_ns()
                    rows = await read_rows(connection)
                    for key in sorted({*known, *rows}):
                        if known.get(key) != rows.get(key):
                            log.looked("row", key, began, rows.get(key))
                    known = rows
                    await asyncio.sleep(0.02)
            finally:
                connection.terminate()
        await asyncio.sleep(0.02)


async def read_rows(connection: "asyncpg.Connection[asyncpg.Record]") -> dict[int, Moves]:
    """Give the moves of each game."""
    rows = await connection.fetch("SELECT id, state FROM games")
    return {each["id"]: parse(each["state"])["moves"] for each in rows}


async def read_history(
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> list[tuple[int, Moves]]:
    """Give the games that were finished."""
    rows = await connection.fetch("SELECT game, moves FROM history ORDER BY id")
    return [(each["game"], tuple(msgspec.json.decode(each["moves"]))) for each in rows]


def parse(state: str) -> dict[str, Moves]:
    """Give the moves of a state."""
    return msgspec.json.decode(state, type=dict[str, Moves])


def send(number: signal.Signals, pids: list[int]) -> None:
    """Send a signal to processes, of which some may have ended."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
