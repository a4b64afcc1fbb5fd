"""After a storm of cancellations the pool is whole, and the server runs nothing for anybody."""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable

import anyio
import pytest
from sqlalchemy import text
from tests.pool.serving import opened, until

# For each way and driver; a soak gives more.
CANCELLED = int(os.environ.get("HOLDFAST_STORM", "1000"))
AT_ONCE = 100
MOST = 8
LONGEST = 0.03  # seconds until a caller is cancelled

Unit = Callable[[], Awaitable[None]]


class _Stop(Exception):  # noqa: N818  -- it is no error
    """Ends a group."""


async def by_cancel(units: list[Unit], chance: random.Random) -> None:
    """Cancel the tasks, one by one."""

    async def cut(unit: Unit) -> None:
        task = asyncio.ensure_future(unit())
        asyncio.get_running_loop().call_later(chance.uniform(0, LONGEST), task.cancel)
        await asyncio.wait({task})

    await asyncio.gather(*map(cut, units))


async def by_timeout(units: list[Unit], chance: random.Random) -> None:
    """Let a time limit of asyncio end them."""

    async def cut(unit: Unit) -> None:
        try:
            async with asyncio.timeout(chance.uniform(0, LONGEST)):
                await unit()
        except TimeoutError:
            pass

    await asyncio.gather(*map(cut, units))


async def by_scope(units: list[Unit], chance: random.Random) -> None:
    """Let a scope of anyio end them, from outside of another one."""

    async def cut(unit: Unit) -> None:
        with anyio.move_on_after(chance.uniform(0, LONGEST)):
            with anyio.move_on_after(LONGEST * 10):
                await unit()

    async with anyio.create_task_group() as group:
        for unit in units:
            group.start_soon(cut, unit)


async def by_group(units: list[Unit], chance: random.Random) -> None:
    """Let the failure of one task end the nine others of its group."""

    async def fail() -> None:
        await asyncio.sleep(chance.uniform(0, LONGEST))
        raise _Stop

    async def cut(some: list[Unit]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                for unit in some:
                    group.create_task(unit())
        except* _Stop:
            pass

    await asyncio.gather(*(cut(units[at : at + 9]) for at in range(0, len(units), 9)))


@pytest.mark.parametrize("way", [by_cancel, by_timeout, by_scope, by_group])
async def test_nothing_is_lost_and_nothing_goes_on(postgres_url, witness, way):
    """Cancelled in the line, while connecting, in a statement, in COMMIT: nothing is left."""
    chance = random.Random(11)
    done = []

    async with opened(postgres_url, min_size=1, max_size=MOST, ping_after=0) as db:

        async def unit() -> None:
            seconds = chance.choice([0, 0, 0.002, 30])
            session = chance.choice([db.begin, db.read, db.session])
            async with session() as each:
                await each.execute(text(f"SELECT pg_sleep({seconds}) /* stormed */"))
            done.append(seconds)

        for _ in range(CANCELLED // AT_ONCE):
            await way([unit] * AT_ONCE, chance)
        pool = db.engine.pool

        await witness.until_count(0, "state <> 'idle' AND query LIKE '%stormed%'", seconds=2)
        await witness.until_count(0, "state LIKE 'idle in transaction%'", seconds=2)
        await until(lambda: pool.checkedout() == 0 and pool.size() == pool.checkedin())
        assert 30 not in done
        assert 1 <= pool.size() <= MOST
        assert len(await witness.pids()) == pool.size()
        await asyncio.gather(*(db.ping() for _ in range(3 * MOST)))
