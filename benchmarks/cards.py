"""What the rows `read.*` and `write.*` read and write, and who does it.

50 tasks share 20 connections. Each contender has what its documentation says; advanced-alchemy
its repository, with objects that stay usable after the commit, as its plugins set it up.
"""

import asyncio
import enum
import gc
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

import asyncpg
import msgspec
from benchmarks.measure import Run, Sample
from sqlalchemy import MetaData, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import Mapped, mapped_column

from holdfast.database import Database
from holdfast.models import Base as HoldfastBase
from holdfast.models import UTCDateTime, UUIDKey, ValueEnum, json_type, uuid7
from holdfast.services import PostgresServer
from holdfast.testing.faults import Faults

TASKS, CONNECTIONS = 50, 20
EACH = 10  # units of a task in one run
REPEATS = 21  # such runs are short, and so the more
QUICK = 1


class Kind(enum.Enum):
    """Stored by value."""

    BEAST = "beast"
    SPELL = "spell"


class Base(HoldfastBase):
    """The benchmark's own tables."""

    __abstract__ = True
    metadata = MetaData()


class Card(UUIDKey, Base):
    """A row with what is dear: a UUID, a time, an enum, JSON."""

    __tablename__ = "cards"

    name: Mapped[str]
    kind: Mapped[Kind] = mapped_column(ValueEnum(Kind))
    data: Mapped[dict[str, object]] = mapped_column(json_type())
    at: Mapped[datetime] = mapped_column(UTCDateTime())


class CardRow(msgspec.Struct):
    """The same as a struct."""

    id: uuid.UUID
    name: str
    kind: Kind
    data: dict[str, object]
    at: datetime


@cache
def repository() -> type[Any]:
    """Give advanced-alchemy's repository of cards, whose import warns of itself."""
    from advanced_alchemy.repository import SQLAlchemyAsyncRepository  # noqa: PLC0415

    class Cards(SQLAlchemyAsyncRepository[Card]):
        model_type = Card

    return Cards


COLUMNS = ("id", "name", "kind", "data", "at")
CREATE = "CREATE TABLE cards (id uuid PRIMARY KEY, name varchar NOT NULL, kind varchar(32) NOT NULL"
CREATE += ", data jsonb NOT NULL, at timestamptz NOT NULL)"


def make(number: int) -> dict[str, object]:
    """Make one row's values."""
    return {
        "id": uuid7(),
        "name": f"card {number}",
        "kind": Kind.BEAST if number % 2 else Kind.SPELL,
        "data": {"number": number, "tags": ["a", "b"]},
        "at": datetime.now(UTC),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Parties:
    """The server's URL, and all who use it, each with its own connections."""

    url: str
    outside: asyncpg.Connection
    pool: asyncpg.Pool
    plain: AsyncEngine
    checked: AsyncEngine
    db: Database


@asynccontextmanager
async def parties() -> AsyncIterator[Parties]:
    """Start a server with the table, and connect everybody."""
    async with PostgresServer() as server:
        url = server.url("owner")
        outside = await asyncpg.connect(url)
        await outside.execute(CREATE)
        async with connected(url, outside) as all_of_them:
            yield all_of_them
        await outside.close()


@asynccontextmanager
async def connected(url: str, outside: asyncpg.Connection) -> AsyncIterator[Parties]:
    """Connect everybody to a server."""
    engine_url = make_url(url).set(drivername="postgresql+asyncpg")
    sizes = {"pool_size": CONNECTIONS, "max_overflow": 0}
    plain = create_async_engine(engine_url, **sizes)
    checked = create_async_engine(engine_url, **sizes, pool_pre_ping=True)
    pool = await asyncpg.create_pool(url, min_size=1, max_size=CONNECTIONS)
    async with Database(url) as db:
        try:
            yield Parties(url=url, outside=outside, pool=pool, plain=plain, checked=checked, db=db)
        finally:
            await pool.close()
            for engine in (plain, checked):
                await engine.dispose()


def together(one: Callable[[], Awaitable[object]], *, quick: bool) -> Run:
    """Give a run of many tasks that each do so much one after the other; more work is more."""

    async def task(times: int) -> None:
        for _ in range(times):
            await one()

    async def run(work: int) -> Sample:
        times = (QUICK if quick else EACH) * work
        gc.collect()  # nobody's waste is the next one's work
        began = time.perf_counter()
        await asyncio.gather(*(task(times) for _ in range(TASKS)))
        return Sample(seconds=(time.perf_counter() - began) / (times * TASKS))

    return run


Doing = Callable[[Parties], Callable[[], Awaitable[object]]]


@asynccontextmanager
async def counting() -> AsyncIterator[tuple[Parties, Callable[[Doing], Awaitable[float]]]]:
    """Give everybody, and a function that counts the round trips of one unit of a contender."""
    async with (
        parties() as direct,
        Faults(direct.url) as seen,
        connected(seen.url, direct.outside) as through,
    ):

        async def count(doing: Doing) -> float:
            one = doing(through)
            for _ in range(3):  # connects, and learns what it keeps
                await one()
            seen.clear()
            await one()
            return seen.round_trips

        yield direct, count


async def contender(
    title: str,
    doing: Doing,
    parties: Parties,
    count: Callable[[Doing], Awaitable[float]],
    *,
    quick: bool,
) -> tuple[str, Run]:
    """Give a contender whose samples say how many round trips one unit has."""
    counts = {"round trips": await count(doing)}
    run = together(doing(parties), quick=quick)

    async def counted(work: int) -> Sample:
        sample = await run(work)
        return Sample(seconds=sample.seconds, counts=counts)

    return title, counted
