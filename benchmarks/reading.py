"""Rows `read.one`, `read.one.lane` and `read.bulk`: from the server into objects and structs."""

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.cards import (
    COLUMNS,
    REPEATS,
    Card,
    CardRow,
    Kind,
    Parties,
    contender,
    counting,
    make,
    repository,
)
from benchmarks.cards import parties as connected_parties
from benchmarks.measure import Contenders, CountGoal, RatioGoal, Row, Run, Sample
from benchmarks.memory import megabytes
from sqlalchemy import bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from holdfast import fastlane

PIECE, PIECES = 1_000, 100  # rows, and how many times so many
ALL = f"SELECT {', '.join(COLUMNS)} FROM cards"
BY_ID = select(Card.id, Card.name, Card.kind, Card.data, Card.at).where(Card.id == bindparam("id"))
EVERY = select(Card.id, Card.name, Card.kind, Card.data, Card.at)
One = Callable[[], Awaitable[object]]


def by_pool(them: Parties) -> One:
    """A statement of the driver's own pool."""
    return lambda: them.pool.fetchrow(f"{ALL} WHERE id = $1", CARD["id"])


def by_get(engine: AsyncEngine) -> One:
    """The ORM, a session for each."""

    async def one() -> object:
        async with AsyncSession(engine, expire_on_commit=False) as session:
            return await session.get(Card, CARD["id"])

    return one


def by_repository(them: Parties) -> One:
    """advanced-alchemy's repository, a session for each."""

    async def one() -> object:
        async with AsyncSession(them.plain, expire_on_commit=False) as session:
            return await repository()(session=session).get(CARD["id"])

    return one


def by_read(them: Parties) -> One:
    """Ours, through a session."""

    async def one() -> object:
        async with them.db.read() as session:
            return await session.get(Card, CARD["id"])

    return one


def by_driver(them: Parties) -> One:
    """SQLAlchemy's pool, and the driver by hand."""

    async def one() -> object:
        async with them.plain.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            return await driver.fetchrow(f"{ALL} WHERE id = $1", CARD["id"])

    return one


def by_lane(them: Parties) -> One:
    """Ours, without a session."""
    parameters = {"id": CARD["id"]}
    return lambda: fastlane.fetch_one(them.db.engine, BY_ID, parameters, into=CardRow)


def by_lane_in_read(them: Parties) -> One:
    """Ours, in a session."""

    async def one() -> object:
        async with them.db.read() as session:
            return await fastlane.fetch_one(session, BY_ID, {"id": CARD["id"]}, into=CardRow)

    return one


CARD = make(1)


@asynccontextmanager
async def one(quick: bool) -> AsyncIterator[Contenders]:  # noqa: FBT001
    """More work is more reads of each task."""
    async with counting() as (them, count):
        await store(them, [CARD])
        asked = {
            "asyncpg pool": by_pool,
            "ORM": lambda each: by_get(each.plain),
            "ORM with pre-ping": lambda each: by_get(each.checked),
            "advanced-alchemy": by_repository,
            "read()": by_read,
        }
        made = [await contender(*each, them, count, quick=quick) for each in asked.items()]
        yield Contenders(limit=made[0], peers=made[1:-1], ours=made[-1])


@asynccontextmanager
async def lane(quick: bool) -> AsyncIterator[Contenders]:  # noqa: FBT001
    """More work is more reads of each task."""
    async with counting() as (them, count):
        await store(them, [CARD])
        asked = {
            "asyncpg pool": by_pool,
            "SQLAlchemy pool, driver connection": by_driver,
            "fetch_one on the engine": by_lane,
            "fetch_one in read()": by_lane_in_read,
        }
        made = [await contender(*each, them, count, quick=quick) for each in asked.items()]
        yield Contenders(limit=made[0], peers=made[1:2], ours=made[2], beside=made[3:])


async def store(them: Parties, rows: list[dict[str, object]]) -> None:
    """Put rows there for everybody."""
    async with them.db.begin() as session:
        await fastlane.copy_in(session, Card, rows)
    await them.outside.execute("VACUUM ANALYZE cards")


@asynccontextmanager
async def bulk(quick: bool) -> AsyncIterator[Contenders]:  # noqa: FBT001
    """So many rows of a table, one after the other or at once, as each can."""
    from advanced_alchemy.filters import LimitOffset  # noqa: PLC0415  -- as its repository

    number = PIECE if quick else PIECE * PIECES
    async with connected_parties() as them:
        await store(them, [make(each) for each in range(number)])
        memory = {"MB over base": await megabytes("read", them.url, number)}

        async def driver(number: int) -> int:
            async with them.pool.acquire() as connection:
                return len(await connection.fetch(f"{ALL} LIMIT {number}"))

        async def by_hand(number: int) -> int:
            async with them.pool.acquire() as connection:
                records = await connection.fetch(f"{ALL} LIMIT {number}")
                return len([typed(record) for record in records])

        async def orm(number: int) -> int:
            async with AsyncSession(them.plain) as session:
                return len((await session.scalars(select(Card).limit(number))).all())

        async def of_repository(number: int) -> int:
            async with AsyncSession(them.plain) as session:
                return len(await repository()(session=session).list(LimitOffset(number, 0)))

        async def core(number: int) -> int:
            async with them.plain.connect() as connection:
                rows = await connection.stream(text(f"{ALL} LIMIT {number}"))
                return len([row async for row in rows])

        async def ours(number: int) -> int:
            seen = 0
            async with them.db.read(snapshot=True) as session:
                async for _ in fastlane.stream(session, EVERY.limit(number), into=CardRow):
                    seen += 1
            return seen

        yield Contenders(
            limit=("asyncpg fetch", timed(driver)),
            peers=[
                ("ORM", timed(orm)),
                ("advanced-alchemy", timed(of_repository)),
                ("Core stream, rows", timed(core)),
            ],
            ours=("stream into structs", timed(ours, memory)),
            beside=[("asyncpg fetch, structs by hand", timed(by_hand))],
        )


def typed(record: Iterable[Any]) -> CardRow:
    """Make a struct as one would by hand."""
    values = list(record)
    values[2], values[3] = Kind(values[2]), json.loads(values[3])
    return CardRow(*values)


def timed(read: Callable[[int], Awaitable[int]], counts: dict[str, float] | None = None) -> Run:
    """Time the reading of so many rows, all of which must come."""

    async def run(work: int) -> Sample:
        began = time.perf_counter()
        assert await read(PIECE * work) == PIECE * work
        return Sample(seconds=time.perf_counter() - began, counts=counts or {})

    return run


ONE = Row(
    name="read.one",
    what="an object by its key, through a session, 50 tasks on 20 connections",
    goals=[
        RatioGoal(at_most=0.75, of="ORM with pre-ping"),
        CountGoal(count="round trips", at_most=1),
    ],
    contenders=one,
    repeats=REPEATS,
)
LANE = Row(
    name="read.one.lane",
    what="a struct by its key, on the driver, 50 tasks on 20 connections",
    goals=[RatioGoal(at_most=1.5), CountGoal(count="round trips", at_most=1)],
    contenders=lane,
    repeats=REPEATS,
)
BULK = Row(
    name="read.bulk",
    what="100,000 rows with UUID, time, enum and JSON",
    goals=[RatioGoal(at_most=2.0), CountGoal(count="MB over base", at_most=20)],
    contenders=bulk,
    pieces=PIECES,
    repeats=5,
)
