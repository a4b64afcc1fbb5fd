"""Faults: each on both drivers, at its statement, with a look at the server from outside."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Iterator

import asyncpg
import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from holdfast.database import Database, DatabasePolicy, PoolPolicy
from holdfast.errors import ConfigurationError, UnavailableError
from holdfast.testing.faults import Faults

INSERT = text("INSERT INTO notes VALUES (1, 'first')")
MANY = DatabasePolicy(pool=PoolPolicy(size=50))


@pytest.fixture(params=["asyncpg", "psycopg"])
def faults(request, database_url: str) -> Iterator[Faults]:
    """Stand in front of an empty database, once for each driver."""
    with Faults(database_url.replace("postgresql", f"postgresql+{request.param}", 1)) as faults:
        yield faults


@pytest.fixture
async def db(faults, look) -> AsyncIterator[Database]:
    """Give a database with a table of notes, behind the faults; nothing was seen so far."""
    await look("CREATE TABLE notes (id integer PRIMARY KEY, body text)")
    async with Database(faults.url) as db:
        faults.clear()
        yield db
        faults.heal()


@pytest.fixture
async def look(database_url):
    """Ask the server from outside; gives the first column."""
    connection = await asyncpg.connect(database_url)

    async def ask(sql: str) -> list[object]:
        return [row[0] for row in await connection.fetch(sql)]

    yield ask
    await connection.close()


async def insert(db: Database) -> None:
    async with db.begin() as session:
        await session.execute(INSERT)


async def fails(db: Database) -> DBAPIError:
    """Insert, and give the error that this ends in."""
    with pytest.raises(DBAPIError) as caught:
        await insert(db)
    return caught.value


async def test_a_commit_that_is_done_and_not_answered(faults, db, look):
    """The client loses its connection, and the row is there."""
    faults.cut_commit()

    assert (await fails(db)).connection_invalidated
    assert await look("SELECT id FROM notes") == [1]


async def test_a_commit_that_does_not_arrive(faults, db, look):
    """The client sees the same, and there is no row."""
    faults.cut_commit(reached=False)

    assert (await fails(db)).connection_invalidated
    assert await look("SELECT id FROM notes") == []


async def test_a_paused_server(faults, db):
    """Nothing is answered, on open and on new connections, until it goes on."""
    with faults.pause_server():
        asked = [asyncio.create_task(insert(db)), asyncio.create_task(db.ping())]
        done, _ = await asyncio.wait(asked, timeout=0.1)
        assert done == set()

    await asyncio.gather(*asked)
