"""What is done to the servers and workers of a round."""

import asyncio
import random
import shutil
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from proofs.state_field import Field
from proofs.state_postgres import send

FROZEN: Final = (0.4, 1.2)  # seconds
DOWN: Final = (0.05, 0.5)
BETWEEN: Final = (0.2, 0.7)
KILLS_A_WORKER: Final = 0.4  # of the times between two faults


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
        self.field.redis.kill()
        await self._wait(*DOWN)
        await meanwhile()
        await self.field.redis.restart()

    async def empty_redis(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        """Send FLUSHALL."""
        await self.field.redis.ask("FLUSHALL")
        await meanwhile()

    async def set_redis_back(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        """Save a dump, go on, kill it, and start it from the dump."""
        redis, dump = self.field.redis, self.field.redis.folder / "dump.rdb"
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
        self.field.redis.freeze()
        try:
            await self._wait(*FROZEN)
            await meanwhile()
        finally:
            self.field.redis.thaw()

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
    "PostgreSQL killed": (Faults.kill_postgres, False),
    "PostgreSQL frozen": (Faults.freeze_postgres, False),
}
