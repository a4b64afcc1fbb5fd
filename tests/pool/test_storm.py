"""After a storm of cancellations the pool is whole, and the server runs nothing for anybody."""

import asyncio
import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable

import anyio
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from tests.pool.serving import opened, until

from holdfast.database import Database

# So many units are cut short, for each way and driver; a soak asks for more.
CANCELLED = int(os.environ.get("HOLDFAST_STORM", "1000"))
AT_ONCE = 12
MOST = 8
LONGEST = 0.3  # seconds until a caller is cancelled; most are sooner
PAIRS = "CREATE TABLE pairs (number int, half text)"
TORN = "SELECT number FROM pairs GROUP BY number HAVING count(*) <> 2"
MOMENTS = ("on the way to a connection", "in a statement", "in COMMIT")

Unit = Callable[[], Awaitable[None]]


class _Stop(Exception):  # noqa: N818  -- it is no error
    """Ends a group."""


async def by_cancel(unit: Unit, after: float) -> None:
    """Cancel the task."""
    task = asyncio.ensure_future(unit())
    asyncio.get_running_loop().call_later(after, task.cancel)
    await asyncio.wait({task})


async def by_timeout(unit: Unit, after: float) -> None:
    """Let a time limit of asyncio end it."""
    try:
        async with asyncio.timeout(after):
            await unit()
    except TimeoutError:
        pass


async def by_scope(unit: Unit, after: float) -> None:
    """Let a scope of anyio end it, from outside of another one."""
    with anyio.move_on_after(after), anyio.move_on_after(LONGEST * 10):
        await unit()


async def by_group(unit: Unit, after: float) -> None:
    """Let the failure of one task end the others of its group."""

    async def fail() -> None:
        await asyncio.sleep(after)
        raise _Stop

    try:
        async with asyncio.TaskGroup() as group:
            for each in (fail, unit, unit):
                group.create_task(each())
    except* _Stop:
        pass


class Storm:
    """Units that write two rows each, and how far those had come that were cut short."""

    def __init__(self, db: Database) -> None:
        self.cut = Counter[str]()
        self.stored: set[int] = set()
        self._db = db
        self._chance = random.Random(11)
        self._asked = 0

    async def run(self, way: Callable[[Unit, float], Awaitable[None]]) -> None:
        """Cut one after the other, until it is enough."""
        while self.cut.total() < CANCELLED:
            await way(self.unit, LONGEST * self._chance.random() ** 3)

    async def unit(self) -> None:
        """Do one of them."""
        self._asked += 1
        number, reached = self._asked, [MOMENTS[0]]
        try:
            await self._chance.choice([self._begin, self._session])(number, reached)
        except asyncio.CancelledError:
            self.cut[reached[-1]] += 1
            raise
        self.stored.add(number)

    async def _begin(self, number: int, reached: list[str]) -> None:
        async with self._db.begin() as session:
            await self._write(session, number, reached)

    async def _session(self, number: int, reached: list[str]) -> None:
        async with self._db.session() as session:
            await self._write(session, number, reached)
            await session.commit()

    async def _write(self, session: AsyncSession, number: int, reached: list[str]) -> None:
        await session.execute(text(f"INSERT INTO pairs VALUES ({number}, 'a')"))
        reached.append(MOMENTS[1])
        seconds = self._chance.choice([0, 0, 0.002, 30])
        await session.execute(text(f"SELECT pg_sleep({seconds}) /* stormed */"))
        await session.execute(text(f"INSERT INTO pairs VALUES ({number}, 'b')"))
        reached.append(MOMENTS[2])


@pytest.mark.parametrize("way", [by_cancel, by_timeout, by_scope, by_group])
async def test_nothing_is_lost_and_nothing_goes_on(postgres_url, witness, way):
    """Cancelled in the line, while connecting, in a statement, in COMMIT: nothing is left."""
    await witness.ask(PAIRS)

    async with opened(postgres_url, min_size=1, max_size=MOST, ping_after=0) as db:
        storm, pool = Storm(db), db.engine.pool
        await asyncio.gather(*(storm.run(way) for _ in range(AT_ONCE)))

        await witness.until_count(0, "state <> 'idle' AND query LIKE '%stormed%'", seconds=2)
        await witness.until_count(0, "state LIKE 'idle in transaction%'", seconds=2)
        await until(lambda: pool.checkedout() == 0 and pool.size() == pool.checkedin())
        assert await witness.ask(TORN) == []
        assert storm.stored <= set(await witness.ask("SELECT number FROM pairs"))
        assert all(storm.cut[moment] for moment in MOMENTS)
        assert 1 <= pool.size() <= MOST
        assert len(await witness.pids()) == pool.size()
        await asyncio.gather(*(db.ping() for _ in range(3 * MOST)))
