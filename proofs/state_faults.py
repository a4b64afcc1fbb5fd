"""What is done to the servers and workers of a round."""

import asyncio
import random
import shutil
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from proofs.redis_engines import Sentinels
from proofs.redis_node import Node
from proofs.state_field import PATIENT, Field
from proofs.state_postgres import send

FROZEN: Final = (0.4, 1.2)  # seconds
DOWN: Final = (0.05, 0.5)
BETWEEN: Final = (0.2, 0.7)
KILLS_A_WORKER: Final = 0.4  # of the times between two faults
SOON: Final = "1000"  # milliseconds until another server takes over
MASTER_KILLED: Final = "master killed"  # where another takes over


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A fault, in the middle of which there may be another."""

    name: str
    around: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.around})" if self.around else self.name


@dataclass(frozen=True, slots=True)
class Faults:
    """Does harm to a field."""

    field: Field
    chance: random.Random

    async def run(self, steps: tuple[Step, ...]) -> None:
        """Do one thing after the other, and kill a worker now and then."""
        await asyncio.sleep(self.chance.uniform(*BETWEEN))
        for step in steps:
            if self.chance.random() < KILLS_A_WORKER:
                await self._noted("worker killed", self._nothing)
            inner = self._doing(step.around) if step.around else self._nothing
            await self._noted(step.name, inner)
            await asyncio.sleep(self.chance.uniform(*BETWEEN))

    async def _noted(self, name: str, meanwhile: Callable[[], Awaitable[None]]) -> None:
        method, loses = FAULTS[name]
        began = time.monotonic_ns()
        await method(self, meanwhile)
        self.field.log.fault(name, began, loses=loses)

    def _doing(self, name: str) -> Callable[[], Awaitable[None]]:
        return lambda: self._noted(name, self._nothing)

    async def _nothing(self) -> None:
        await asyncio.sleep(0)

    async def _wait(self, least: float, most: float) -> None:
        await asyncio.sleep(self.chance.uniform(least, most))

    async def kill_worker(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        """Kill one with SIGKILL; another begins at once."""
        await self.field.replace(self.chance.choice(self.field.workers))
        await meanwhile()

    async def freeze_worker(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        """Stop one for a while; it goes on with what it had in hand."""
        worker = self.chance.choice(self.field.workers)
        send(signal.SIGSTOP, [worker.pid])
        try:
            await self._wait(*FROZEN)
            await meanwhile()
            await self._wait(*FROZEN)
        finally:
            send(signal.SIGCONT, [worker.pid])

    async def kill_redis(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        """Kill it; what is on its disk is there afterwards."""
        self._redis.kill()
        await self._wait(*DOWN)
        await meanwhile()
        await self._redis.restart()

    async def empty_redis(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        """Send FLUSHALL."""
        await self._redis.ask("FLUSHALL")
        await meanwhile()

    async def set_redis_back(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        """Save a dump, go on, kill it, and start it from the dump."""
        redis, dump = self._redis, self._redis.folder / "dump.rdb"
        kept = dump.with_name("kept.rdb")
        await redis.ask("SAVE")
        shutil.move(dump, kept)
        await self._wait(*FROZEN)
        await meanwhile()
        redis.kill()
        shutil.move(kept, dump)
        await redis.restart()
        dump.unlink()

    async def freeze_redis(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        """Stop it for a while; then it takes what was sent meanwhile."""
        self._redis.freeze()
        try:
            await self._wait(*FROZEN)
            await meanwhile()
        finally:
            self._redis.thaw()

    async def kill_master(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        """Kill one whose replicas are behind, and wait until one of these has taken over."""
        redis = self.field.redis
        assert not isinstance(redis, Node)
        await redis.set_patience(SOON)
        if isinstance(redis, Sentinels):
            await redis.until_followed()
            master, replicas = redis.master, [node for node in redis.replicas if node.runs]
            taken_over = redis.until_taken_over
        else:
            master, replica = self.chance.choice(await redis.followed())
            replicas, taken_over = [replica], partial(redis.until_master, replica)
        for each in replicas:
            await each.fall_behind()
        await self._wait(*DOWN)
        master.kill()
        await meanwhile()
        await taken_over()
        for each in replicas:
            await each.catch_up()
        await redis.set_patience(PATIENT)

    @property
    def _redis(self) -> Node:
        assert isinstance(self.field.redis, Node)
        return self.field.redis

    async def kill_postgres(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        """Kill all its processes, and start it again."""
        await self.field.postgres.kill()
        await self._wait(*DOWN)
        await meanwhile()
        await self.field.postgres.start()

    async def freeze_postgres(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        """Stop all its processes for a while."""
        await self.field.postgres.freeze()
        try:
            await self._wait(*FROZEN)
            await meanwhile()
        finally:
            self.field.postgres.thaw()


# Each, and whether Redis may have lost what it has acknowledged.
FAULTS: Final = {
    "worker killed": (Faults.kill_worker, False),
    "worker frozen": (Faults.freeze_worker, False),
    "Redis killed": (Faults.kill_redis, True),
    "Redis emptied": (Faults.empty_redis, True),
    "Redis set back": (Faults.set_redis_back, True),
    "Redis frozen": (Faults.freeze_redis, False),
    MASTER_KILLED: (Faults.kill_master, True),
    "PostgreSQL killed": (Faults.kill_postgres, False),
    "PostgreSQL frozen": (Faults.freeze_postgres, False),
}
