"""The processes and servers of a round, each of which can be killed, frozen or set back."""

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

import msgspec
from proofs.folders import open_folder
from proofs.redis_engines import Cluster, Sentinels, cluster, sentinels
from proofs.redis_node import Node
from proofs.state_log import WRONG, Log, read
from proofs.state_postgres import Postgres, read_rows, send
from proofs.state_worker import Job

from holdfast.services import find_redis

ROOT = Path(__file__).resolve().parent.parent
IN_MEMORY: Mapping[str, str] = {"save": '""', "appendonly": "no"}
ON_DISK: Mapping[str, str] = {"save": '""', "appendonly": "yes", "appendfsync": "everysec"}
ENDS = 40.0  # seconds
# What Redis is in a round.
ONE, SENTINELS, CLUSTER = "one server", "Sentinels", "a cluster"
PATIENT = "60000"  # milliseconds: no other server takes over while nobody is killed
Redis = Node | Sentinels | Cluster


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
        redis: the server, or servers of which others take over.
        nursery: of the workers.
        log: of what is done to them.
        job: for the workers, each with a number of its own.
        workers: that play.
    """

    postgres: Postgres
    redis: Redis
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
async def own_redis(kind: str, settings: Mapping[str, str]) -> AsyncIterator[tuple[Redis, str]]:
    """Give an empty Redis or Valkey, and its URL: ONE with these settings, SENTINELS or CLUSTER."""
    if kind == ONE:
        async with _one(settings) as node:
            yield node, f"redis://{node.place}/0"
        return
    async with sentinels() if kind == SENTINELS else cluster() as group:
        await group.set_patience(PATIENT)
        yield group, group.url


@asynccontextmanager
async def _one(settings: Mapping[str, str]) -> AsyncIterator[Node]:
    with open_folder() as folder:
        node = Node(program=find_redis().path, folder=folder / "redis", settings=settings)
        try:
            await node.restart()
            yield node
        finally:
            node.kill()
