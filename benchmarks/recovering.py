"""Row `state.recover`: 50,000 games of 1.7 kB, from their rows to an empty Redis.

What a process holds meanwhile is measured in one of its own: `python -m benchmarks.recovering URL
REDIS_URL`.
"""

import asyncio
import gc
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
import msgspec
from benchmarks.measure import Contenders, CountGoal, RatioGoal, Row, Sample
from benchmarks.memory import PER_MEGABYTE, peak
from benchmarks.states import SMALL, GameRow, Parties, connect, parties
from redis.asyncio import Redis
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

PIECE, PIECES = 500, 100  # games, and how many times so many
LITTLE = 1_000
BATCH = 500
FRACTION = 10  # the peer takes one of so many rows: all would hold 5 GB
SELECT = "SELECT id::text, state::text FROM games"


async def copy_by_hand(driver: asyncpg.Connection, client: Redis) -> None:
    """Set what a cursor gives, and read on meanwhile."""

    async def put(rows: Sequence[asyncpg.Record]) -> None:
        await client.mset({f"plain:{key}": state for key, state in rows})

    setting: asyncio.Task[None] | None = None
    async with driver.transaction():
        cursor = await driver.cursor(SELECT)
        while rows := await cursor.fetch(BATCH):
            if setting:
                await setting
            setting = asyncio.create_task(put(rows))
    if setting:
        await setting


async def copy_by_orm(them: Parties, rows: int) -> None:
    """Load all, and set one after the other, as the plain stack does it."""
    async with AsyncSession(them.plain) as session:
        for row in (await session.scalars(select(GameRow).limit(rows))).all():
            await them.redis.set(f"plain:{row.id}", msgspec.json.encode(row.state))


async def megabytes(them: Parties) -> float:
    """Recover in a process of its own, and give by how many megabytes it grew."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.recovering", them.url, them.redis_url),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError("benchmarks.recovering failed")
    return float(output)


async def main(url: str, redis_url: str) -> None:
    """Recover a few games, then all, and print the megabytes that the second took more."""
    driver = await asyncpg.connect(url)
    async with AsyncExitStack() as stack:
        them = await connect(stack, url, redis_url, driver)
        await driver.execute("CREATE TABLE away AS SELECT * FROM games")
        await driver.execute("DELETE FROM games WHERE id NOT IN (SELECT id FROM games LIMIT 1000)")
        await them.store.recover()
        base = peak()
        await driver.execute("INSERT INTO games SELECT * FROM away ON CONFLICT DO NOTHING")
        await driver.execute("DROP TABLE away")
        await them.store.recover()
        print(round((peak() - base) / PER_MEGABYTE, 1))
    await driver.close()


@asynccontextmanager
async def contenders(quick: bool) -> AsyncIterator[Contenders]:  # noqa: FBT001
    """More work is more games."""
    async with parties() as them:
        there = PIECE * (1 if quick else PIECES)
        await them.fill(there, SMALL)
        counts = {"MB over base": await megabytes(them)}

        async def begin(work: int) -> None:
            nonlocal there
            if there != PIECE * work:
                there = PIECE * work
                await them.fill(there, SMALL)
            await them.redis.flushall()
            await them.driver.execute("VACUUM games")  # of what the last recovery left
            gc.collect()

        async def limit(work: int) -> Sample:
            await begin(work)
            began = time.perf_counter()
            await copy_by_hand(them.driver, them.redis)
            return Sample(seconds=time.perf_counter() - began)

        async def peer(work: int) -> Sample:
            await begin(work)
            began = time.perf_counter()
            await copy_by_orm(them, there // FRACTION)
            return Sample(seconds=(time.perf_counter() - began) * FRACTION)

        async def ours(work: int) -> Sample:
            await begin(work)
            began = time.perf_counter()
            done = await them.store.recover()
            seconds = time.perf_counter() - began
            assert done.filled == there
            return Sample(seconds=seconds, counts=counts)

        yield Contenders(
            limit=("server cursor, MSET of 500", limit),
            peers=[(f"ORM, SET one by one, {FRACTION} x a tenth", peer)],
            ours=("store.recover", ours),
        )


ROW = Row(
    name="state.recover",
    what=f"{PIECE * PIECES:,} games of 1.7 kB from their rows to an empty Redis",
    goals=[RatioGoal(at_most=1.3), CountGoal(count="MB over base", at_most=120)],
    contenders=contenders,
    pieces=PIECES,
    repeats=5,
)

if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
