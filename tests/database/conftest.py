"""A database of each kind with a table of notes, and servers of other kinds."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from proofs.encrypted import Encrypted, encrypted
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from holdfast.database import Database, DatabasePolicy
from holdfast.events import Events
from holdfast.services import PostgresPolicy, PostgresServer
from holdfast.testing.faults import Faults
from holdfast.urls import parse

DRIVERS = ("asyncpg", "psycopg")
NOTES = "CREATE TABLE notes (id integer PRIMARY KEY, body text UNIQUE)"


def with_driver(url: str, driver: str) -> str:
    return url.replace("postgresql://", f"postgresql+{driver}://", 1)


@pytest.fixture(params=DRIVERS)
def postgres_url(request, database_url: str) -> str:
    """Give an empty PostgreSQL database, once for each driver."""
    return with_driver(database_url, request.param)


@pytest.fixture(params=[*DRIVERS, "sqlite"])
def any_url(request, tmp_path: Path) -> str:
    """Give an empty database, once for each driver and once as a SQLite file."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/notes.db"
    return with_driver(request.getfixturevalue("database_url"), request.param)


@pytest.fixture
async def db(postgres_url: str) -> AsyncIterator[Database]:
    """Give PostgreSQL with the table of notes; afterwards no connection may be in use."""
    async for each in opened(postgres_url):
        yield each


@pytest.fixture
async def any_db(any_url: str) -> AsyncIterator[Database]:
    """Give a database with the table of notes; afterwards no connection may be in use."""
    async for each in opened(any_url):
        yield each


async def opened(url: str) -> AsyncIterator[Database]:
    async with Database(url, policy=DatabasePolicy(), events=Events(lambda _: None)) as db:
        async with db.engine.begin() as connection:
            await connection.execute(text(NOTES))
        yield db
        assert db.engine.pool.checkedout() == 0


Look = Callable[[str], Awaitable[list[object]]]


@pytest.fixture
def look(request) -> Look:
    """Ask the database from outside, on a connection of its own; gives the first column."""
    name = "any_url" if "any_url" in request.fixturenames else "database_url"
    engine = create_async_engine(parse(request.getfixturevalue(name)).engine, poolclass=NullPool)

    async def ask(sql: str) -> list[object]:
        async with engine.connect() as connection:
            return list((await connection.execute(text(sql))).scalars())

    return ask


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def guarded() -> AsyncIterator[PostgresServer]:
    """Give a PostgreSQL that asks for passwords, and has no TLS."""
    policy = PostgresPolicy(listen="127.0.0.1", settings={"ssl": "off"})
    async with PostgresServer(policy=policy) as server:
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session", name="encrypted")
async def encrypted_server() -> AsyncIterator[Encrypted]:
    """Give one that has it."""
    async with encrypted() as made:
        yield made


@pytest.fixture
def faults(database_url: str) -> Iterator[Faults]:
    """Give what stands in front of `database_url`: it sees, counts and holds what passes."""
    with Faults(database_url) as faults:
        yield faults
