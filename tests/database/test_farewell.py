"""A server that stops: whatever the driver makes of its farewell, it is a lost connection."""

import asyncpg
import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError

from holdfast.database import Database, DatabasePolicy
from holdfast.events import Events
from holdfast.retry import Kind, RetryPolicy, classify
from holdfast.testing.faults import Faults

SOON = DatabasePolicy(retry=RetryPolicy(reconnect_delay=0.001))
ADMIN_SHUTDOWN = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"
FAREWELL = b"E" + (len(ADMIN_SHUTDOWN) + 4).to_bytes(4, "big") + ADMIN_SHUTDOWN


@pytest.fixture
async def db(database_url):
    """Give a database with an empty table, on asyncpg."""
    async with Database(database_url, policy=SOON, events=Events(lambda _: None)) as db:
        async with db.begin() as session:
            await session.execute(text("CREATE TABLE notes (id integer)"))
        yield db


def take_leave(driver: asyncpg.Connection) -> None:
    """Have the driver read what a server says that stops, as it does before the socket ends."""
    driver._protocol.data_received(FAREWELL)


async def driver_of(session) -> asyncpg.Connection:
    return (await (await session.connection()).get_raw_connection()).driver_connection


async def count(db: Database) -> int:
    async with db.read() as session:
        return await session.scalar(text("SELECT count(*) FROM notes"))


async def test_it_comes_before_begin(db):
    """What asyncpg calls another operation is a lost connection, and the work is done again."""
    async with db.begin() as session:
        driver = await driver_of(session)
    take_leave(driver)
    with pytest.raises(DBAPIError, match="cannot switch to state") as caught:
        async with db.begin() as session:
            await session.connection()

    assert classify(caught.value).kind is Kind.LOST


async def test_it_comes_before_commit(db):
    """COMMIT was never sent, so nothing is unknown: the work is done again, and stored once."""
    attempts = []

    async def work(session) -> None:
        await session.execute(text("INSERT INTO notes VALUES (1)"))
        attempts.append(session)
        if len(attempts) == 1:
            take_leave(await driver_of(session))

    await db.run(work)

    assert len(attempts) == 2
    assert await count(db) == 1


async def test_a_connection_that_ends_as_soon_as_it_is_made(db, monkeypatch):
    """What SQLAlchemy sets up there meets it, and the pool makes another one."""
    connect = asyncpg.connect
    left = []

    async def leaving(*args, **options):
        driver = await connect(*args, **options)
        if not left:
            driver.terminate()  # as when its socket has ended
            left.append(driver)
        return driver

    async with db.begin() as held:
        await held.connection()  # so that another one is made
        monkeypatch.setattr(asyncpg, "connect", leaving)
        async with db.begin() as session:
            assert await session.scalar(text("SELECT 17")) == 17

    assert len(left) == 1


async def test_a_mistake_in_a_set_up_is_none(database_url, monkeypatch):
    """An error on a connection that still stands is passed on as it is."""
    db = Database(database_url, events=Events(lambda _: None))

    async def fail(*_args, **_options) -> None:
        raise asyncpg.InterfaceError("connection is closed, somebody thinks")

    monkeypatch.setattr(asyncpg.Connection, "set_type_codec", fail)
    with pytest.raises(asyncpg.InterfaceError):
        async with db.begin() as session:
            await session.connection()
    await db.close()


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
@pytest.mark.parametrize("statement", range(5))
async def test_any_statement_of_the_first_connection(database_url, driver, statement):
    """Whichever it is that SQLAlchemy asks first, work that meets the end of it is done again."""
    with Faults(database_url.replace("postgresql", f"postgresql+{driver}", 1)) as faults:
        faults.drop_connection(after=statement)
        db = Database(faults.url, policy=SOON, events=Events(lambda _: None))
        try:
            assert await db.run(lambda session: session.scalar(text("SELECT 1"))) == 1
        finally:
            await db.close()


@pytest.mark.parametrize("kind", [ConnectionAbortedError, ConnectionResetError, BrokenPipeError])
async def test_the_systems_own_error(db, monkeypatch, kind):
    """Where asyncpg passes one on, its connection is lost all the same."""
    prepare = asyncpg.Connection.prepare

    async def abort(driver, *_args, **_options):
        monkeypatch.setattr(asyncpg.Connection, "prepare", prepare)
        driver.terminate()
        raise kind(103, "Software caused connection abort")

    async def work(session) -> int:
        return await session.scalar(text("SELECT 17"))

    monkeypatch.setattr(asyncpg.Connection, "prepare", abort)
    with pytest.raises(DBAPIError, match="caused connection abort") as caught:
        async with db.begin() as session:
            await work(session)
    assert classify(caught.value).kind is Kind.LOST

    monkeypatch.setattr(asyncpg.Connection, "prepare", abort)
    assert await db.run(work) == 17


async def test_an_error_of_the_applications_own(db):
    """What a listener raises is its own affair, and the connection is used again."""

    def refuse(*_args) -> None:
        raise ConnectionAbortedError("of another server")

    event.listen(db.engine.sync_engine, "before_cursor_execute", refuse)
    async with db.session() as session:
        with pytest.raises(ConnectionAbortedError):
            await session.execute(text("SELECT 1"))
        event.remove(db.engine.sync_engine, "before_cursor_execute", refuse)

        assert await session.scalar(text("SELECT 1")) == 1
