"""Rows `write.one` and `write.bulk`: from objects and mappings into the server."""

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

from benchmarks.cards import COLUMNS, REPEATS, Card, Parties, contender, counting, make, repository
from benchmarks.cards import parties as connected_parties
from benchmarks.measure import Contenders, CountGoal, RatioGoal, Row, Run, Sample
from benchmarks.memory import megabytes
from sqlalchemy import Table, insert
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from holdfast import fastlane

PIECE, PIECES = 1_000, 100  # rows, and how many times so many
INSERT = "INSERT INTO cards (id, name, kind, data, at) VALUES ($1, $2, $3, $4, $5)"
One = Callable[[], Awaitable[object]]
Values = dict[str, Any]

TABLE = cast("Table", Card.__table__)


def raw(values: Values) -> tuple[object, ...]:
    """Give a row as the driver takes it."""
    return (
        *(values["id"], values["name"], values["kind"].value),
        *(json.dumps(values["data"]), values["at"]),
    )


def by_pool(them: Parties) -> One:
    """A statement of the driver's own pool."""
    return lambda: them.pool.execute(INSERT, *raw(make(1)))


def by_orm(engine: AsyncEngine) -> One:
    """The ORM, a session for each."""

    async def one() -> None:
        async with AsyncSession(engine, expire_on_commit=False) as session:
            session.add(Card(**make(1)))
            await session.commit()

    return one


def by_repository(them: Parties) -> One:
    """advanced-alchemy's repository, a session for each."""

    async def one() -> None:
        async with AsyncSession(them.plain, expire_on_commit=False) as session:
            await repository()(session=session).add(Card(**make(1)))
            await session.commit()

    return one


def by_begin(them: Parties) -> One:
    """Ours, a transaction for each."""

    async def one() -> None:
        async with them.db.begin() as session:
            session.add(Card(**make(1)))

    return one


@asynccontextmanager
async def one(quick: bool) -> AsyncIterator[Contenders]:  # noqa: FBT001
    """More work is more writes of each task."""
    async with counting() as (them, count):
        asked = {
            "asyncpg pool": by_pool,
            "ORM": lambda each: by_orm(each.plain),
            "ORM with pre-ping": lambda each: by_orm(each.checked),
            "advanced-alchemy": by_repository,
            "begin()": by_begin,
        }
        made = [await contender(*each, them, count, quick=quick) for each in asked.items()]
        yield Contenders(limit=made[0], peers=made[1:-1], ours=made[-1])


@asynccontextmanager
async def bulk(quick: bool) -> AsyncIterator[Contenders]:  # noqa: FBT001
    """The same rows for all, as each takes them."""
    number = PIECE if quick else PIECE * PIECES
    every = [make(each) for each in range(number)]
    records = [raw(each) for each in every]
    async with connected_parties() as them:
        memory = {"MB over base": await megabytes("write", them.url, number)}

        async def driver(rows: list[Values]) -> None:
            sent = records[: len(rows)]
            async with them.pool.acquire() as connection:
                await connection.copy_records_to_table("cards", records=sent, columns=COLUMNS)

        async def add_all(rows: list[Values]) -> None:
            async with AsyncSession(them.plain) as session:
                session.add_all(Card(**row) for row in rows)
                await session.commit()

        async def of_repository(rows: list[Values]) -> None:
            async with AsyncSession(them.plain) as session:
                await repository()(session=session).add_many([Card(**row) for row in rows])
                await session.commit()

        async def of_model(rows: list[Values]) -> None:
            async with AsyncSession(them.plain) as session:
                await session.execute(insert(Card), rows)
                await session.commit()

        async def core(rows: list[Values]) -> None:
            async with them.plain.begin() as connection:
                await connection.execute(insert(TABLE), rows)

        async def ours(rows: list[Values]) -> None:
            async with them.db.begin() as session:
                assert await fastlane.copy_in(session, Card, iter(rows)) == len(rows)

        def timed(
            write: Callable[[list[Values]], Awaitable[None]], counts: dict[str, float]
        ) -> Run:
            async def run(work: int) -> Sample:
                rows = every[: PIECE * work]
                await them.outside.execute("TRUNCATE cards")
                began = time.perf_counter()
                await write(rows)
                return Sample(seconds=time.perf_counter() - began, counts=counts)

            return run

        yield Contenders(
            limit=("COPY of raw records", timed(driver, {})),
            peers=[
                ("add_all", timed(add_all, {})),
                ("advanced-alchemy add_many", timed(of_repository, {})),
                ("insert(Model)", timed(of_model, {})),
                ("Core insert", timed(core, {})),
            ],
            ours=("copy_in", timed(ours, memory)),
        )


ONE = Row(
    name="write.one",
    what="one object added and committed, 50 tasks on 20 connections",
    goals=[RatioGoal(at_most=1.05, of="ORM")],
    contenders=one,
    repeats=REPEATS,
)
BULK = Row(
    name="write.bulk",
    what="100,000 rows with UUID, time, enum and JSON",
    goals=[RatioGoal(at_most=1.7), CountGoal(count="MB over base", at_most=20)],
    contenders=bulk,
    pieces=PIECES,
    repeats=5,
)
