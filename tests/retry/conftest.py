"""Databases to fail on, and ways to look at and change them from outside."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from holdfast.database import Database, DatabasePolicy
from holdfast.events import Events
from holdfast.pool import PoolPolicy
from holdfast.retry import RetryPolicy
from holdfast.urls import parse

SOON = RetryPolicy(reconnect_delay=0.001, conflict_delay=0.001)
NOTES = "CREATE TABLE notes (id integer PRIMARY KEY, body text UNIQUE)"
ROWS = "INSERT INTO notes VALUES (1, 'first'), (2, 'second')"

Change = Callable[[str], Awaitable[list[object]]]


@pytest.fixture(params=["asyncpg", "psycopg"])
def driver(request) -> str:
    """Give the name of each driver in turn."""
    return request.param


@pytest.fixture
def outside(database_url) -> Change:
    """Give what does a statement from outside, and commits; it gives the first column."""
    engine = create_async_engine(parse(database_url).engine, poolclass=NullPool)

    async def do(sql: str) -> list[object]:
        async with engine.begin() as connection:
            result = await connection.execute(text(sql))
            return list(result.scalars()) if result.returns_rows else []

    return do


@pytest.fixture
async def db(database_url, driver, outside) -> AsyncIterator[Database]:
    """Give a database with two notes, and a policy that does not wait."""
    await outside(NOTES)
    await outside(ROWS)
    policy = DatabasePolicy(retry=SOON, pool=PoolPolicy(max_size=3, timeout=0.1))
    url = database_url.replace("postgresql://", f"postgresql+{driver}://", 1)
    async with Database(url, policy=policy, events=Events(lambda _: None)) as db:
        yield db
        assert db.engine.pool.checkedout() == 0
