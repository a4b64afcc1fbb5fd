"""A connection that a cancelled task left is used again, as if it had just been made."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest
from sqlalchemy import event, literal_column, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.util import greenlet_spawn
from tests.pool.faking import Clock, FakeServer, check_out, clocked, fake_pool, turns
from tests.pool.serving import Witness, opened, until

from holdfast.database import Database
from holdfast.fastlane import stream
from holdfast.pool import PoolPolicy, elastic
from holdfast.services import PostgresServer
from holdfast.testing.faults import Faults

SLEEP = text("SELECT pg_sleep(60) /* left */")
LEFT = "state <> 'idle' AND query LIKE '%/* left */%'"
STATES = {
    "a setting": ("SET work_mem = '77MB'", "SELECT current_setting('work_mem') <> '77MB'"),
    "a role": ("SET ROLE owner", "SELECT current_setting('role') = 'none'"),
    "a lock": (
        "SELECT pg_advisory_lock(77)",
        "SELECT count(*) = 0 FROM pg_locks WHERE objid = 77 AND pid = pg_backend_pid()",
    ),
    "a temporary table": (
        "CREATE TEMPORARY TABLE left_here AS SELECT 1",
        "SELECT to_regclass('left_here') IS NULL",
    ),
    "a cursor": (
        "DECLARE left_here CURSOR WITH HOLD FOR SELECT 1",
        "SELECT count(*) = 0 FROM pg_cursors WHERE name = 'left_here'",
    ),
    "a channel": ("LISTEN left_here", "SELECT count(*) = 0 FROM pg_listening_channels()"),
}


class Word(NamedTuple):
    """What a stream gives."""

    word: str


@asynccontextmanager
async def one(url: str, **policy):
    """Give a database with one connection at most."""
    async with opened(url, max_size=1, **policy) as db:
        yield db


def asked(url: str, option: str) -> str:
    """Add an option to a URL."""
    return f"{url}{'&' if '?' in url else '?'}{option}"


async def pid(db: Database) -> int:
    """Say which process of the server serves now."""
    async with db.session() as session:
        return int(await session.scalar(text("SELECT pg_backend_pid()")) or 0)


async def cut(unit: Callable[[], Awaitable[object]], witness) -> None:
    """Cancel a unit when its statement runs on the server."""
    task = asyncio.ensure_future(unit())
    await witness.until_count(1, LEFT)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


async def sleep(session: AsyncSession, *before: str) -> None:
    """Do this and that, and then wait for a statement."""
    for sql in before:
        await session.execute(text(sql))
    await session.execute(SLEEP)


async def test_the_next_caller_gets_the_same_connection(postgres_url, witness, caplog):
    """The statement has ended on the server, its transaction is undone, nobody need know."""
    await witness.ask("CREATE TABLE notes (word text)")

    async def unit() -> None:
        async with db.begin() as session:
            await sleep(session, "INSERT INTO notes VALUES ('lost')")

    async with one(postgres_url) as db:
        served = await pid(db)
        await cut(unit, witness)

        assert await pid(db) == served
        assert await witness.pids(LEFT) == set()
        assert await witness.ask("SELECT word FROM notes") == []
        assert [each.getMessage() for each in caplog.records if each.levelname == "ERROR"] == []


async def test_again_and_again(postgres_url, witness):
    """Drivers prepare what they are given often, and several statements cannot be."""

    async def unit() -> None:
        async with db.read() as session:
            await session.execute(SLEEP)

    async with one(postgres_url) as db:
        served = await pid(db)
        for _ in range(7):
            await cut(unit, witness)

        assert await pid(db) == served


async def test_cut_before_it_is_known_to_have_begun(postgres_url, witness):
    """The server may have begun a transaction when the driver has not heard of it."""

    async def unit() -> None:
        async with autocommit.connect() as connection:
            driver = (await connection.get_raw_connection()).driver_connection
            try:
                await driver.execute(f"BEGIN; {SLEEP.text}")
            except asyncio.CancelledError as error:
                connection.sync_connection.invalidate(error)
                raise

    async with one(postgres_url) as db:
        autocommit = db.engine.execution_options(isolation_level="AUTOCOMMIT")
        served = await pid(db)
        await cut(unit, witness)

        async with db.begin() as session:
            await session.execute(text("CREATE TABLE notes (word text)"))
        assert await witness.ask("SELECT word FROM notes") == []
        assert await pid(db) == served


async def test_nothing_is_sent_after_the_cancel(database_url, witness):
    """What is prepared first and then executed is not, when it was cancelled in between."""
    await witness.ask("CREATE TABLE notes (word text)")
    insert = text("INSERT INTO notes VALUES ('seen')")
    often = 5  # after that it is prepared

    async def unit() -> None:
        async with autocommit.connect() as connection:
            await connection.execute(insert)

    with Faults(database_url.replace("://", "+psycopg://", 1)) as faults:
        async with one(faults.url) as db:
            autocommit = db.engine.execution_options(isolation_level="AUTOCOMMIT")
            served = await pid(db)
            for _ in range(often):
                await unit()
            with faults.pause_server():
                task = asyncio.ensure_future(unit())
                await turns(20)
                task.cancel()
                await asyncio.wait({task})

            assert await pid(db) == served
            assert task.cancelled()
            assert await witness.ask("SELECT count(*) FROM notes") == [often]


@pytest.mark.parametrize("way", ["session", "read", "snapshot", "autocommit", "deferrable"])
async def test_it_begins_as_any_other(postgres_url, witness, way):
    """Whichever kind of transaction the cancelled one was, the next one is its own."""

    async def unit() -> None:
        async with ways[way]() as session:
            await session.execute(SLEEP)

    async with one(postgres_url) as db:
        autocommit = db.engine.execution_options(isolation_level="AUTOCOMMIT")
        deferrable = db.engine.execution_options(postgresql_deferrable=True)
        ways = {
            "session": db.session,
            "read": db.read,
            "snapshot": lambda: db.read(snapshot=True),
            "autocommit": lambda: AsyncSession(autocommit),
            "deferrable": lambda: AsyncSession(deferrable),
        }
        served = await pid(db)
        await cut(unit, witness)

        async with db.begin() as session:
            await session.execute(text("CREATE TABLE notes AS SELECT 1 AS number"))
            assert await session.scalar(text("SHOW transaction_isolation")) == "read committed"
            assert await session.scalar(text("SHOW transaction_deferrable")) == "off"
            assert await witness.ask("SELECT to_regclass('notes') IS NULL") == [True]
        assert await pid(db) == served


@pytest.mark.parametrize("state", STATES)
async def test_nothing_of_the_session_is_left(postgres_url, witness, state):
    """What the cancelled task had set for its session, and could not take back, is undone."""
    leave, is_gone = STATES[state]

    async def unit() -> None:
        # What a transaction has set is taken back with it.
        autocommit = db.engine.execution_options(isolation_level="AUTOCOMMIT")
        async with autocommit.connect() as connection:
            await connection.exec_driver_sql(leave)
            await connection.execute(SLEEP)

    async with one(postgres_url) as db:
        served = await pid(db)
        await cut(unit, witness)

        async with db.session() as session:
            assert await session.scalar(text(is_gone))
        assert await pid(db) == served


async def test_a_superuser_is_one_again():
    """It had become somebody else, as only a superuser may."""

    async def unit() -> None:
        async with db.session() as session:
            await session.execute(text("SET SESSION AUTHORIZATION app"))
            await session.commit()
            await session.execute(SLEEP)

    async with PostgresServer() as server, one(server.url("postgres")) as db:
        await cut(unit, Witness(server.url("postgres")))

        async with db.session() as session:
            assert await session.scalar(text("SELECT session_user")) == "postgres"


async def test_the_role_of_the_url_is_kept(postgres_url, witness):
    """Its owner's rights are not those of whoever comes next."""

    async def unit() -> None:
        async with db.session() as session:
            await session.execute(text("SET ROLE NONE"))
            await session.commit()
            await session.execute(SLEEP)

    async with one(asked(postgres_url, "options=-crole%3Downer")) as db:
        served = await pid(db)
        await cut(unit, witness)

        async with db.session() as session:
            assert await session.scalar(text("SHOW role")) == "owner"
        assert await pid(db) == served


async def test_one_that_was_given_up_before_is_closed(postgres_url, witness):
    """Nobody knows any more in which transaction it is."""

    async def unit() -> None:
        async with db.session() as session:
            connection = await session.connection()
            await connection.run_sync(lambda sync: sync.connection.invalidate(soft=True))
            await session.execute(SLEEP)

    async with one(postgres_url) as db:
        served = await pid(db)
        await cut(unit, witness)

        assert await pid(db) != served


async def test_what_the_cancelled_task_has_kept_is_closed(postgres_url, witness):
    """Its driver's connection does nothing in the transaction of whoever comes next."""
    await witness.ask("CREATE TABLE notes (word text)")
    kept = []

    async def unit() -> None:
        async with db.engine.connect() as connection:
            kept.append((await connection.get_raw_connection()).driver_connection)
            await connection.execute(SLEEP)

    async with one(postgres_url) as db:
        served = await pid(db)
        await cut(unit, witness)

        async with db.begin() as session:
            await session.execute(text("INSERT INTO notes VALUES ('mine')"))
            with pytest.raises(Exception, match=r"connection is (closed|lost)"):
                await kept[0].execute("INSERT INTO notes VALUES ('stale')")
            await session.execute(text("SELECT 1"))
        assert await witness.ask("SELECT word FROM notes") == ["mine"]
        assert await pid(db) == served


async def test_a_stream_that_was_cut_leaves_its_connection_alone(database_url, witness):
    """There is no cursor to close on it any more, which would be in the way."""
    slow = select(literal_column("pg_sleep(60)::text /* left */").label("word"))

    async def unit() -> None:
        async with db.begin() as session:
            async for _ in stream(session, slow, into=Word):
                pass

    async with one(database_url) as db:
        served = await pid(db)
        await cut(unit, witness)

        assert await pid(db) == served


async def test_what_hears_of_connections_hears_once(database_url, witness):
    """What a service hangs on each new connection is not there twice."""
    heard = []

    async def unit() -> None:
        async with db.begin() as session:
            await session.execute(SLEEP)

    def connect(connection, _record) -> None:
        connection.driver_connection.add_notify_handler(heard.append)

    async with one(database_url.replace("://", "+psycopg://", 1)) as db:
        event.listen(db.engine.sync_engine, "connect", connect)
        served = await pid(db)
        for _ in range(2):
            await cut(unit, witness)

        async with db.begin() as session:
            await session.execute(text("LISTEN channel"))
            await session.execute(text("NOTIFY channel"))
        assert await pid(db) == served
        assert len(heard) == 1


async def test_no_number_of_a_sequence_is_left(postgres_url, witness):
    """`lastval()` does not give what was drawn by somebody else."""
    await witness.ask("CREATE SEQUENCE numbers")

    async def unit() -> None:
        async with db.begin() as session:
            await sleep(session, "SELECT nextval('numbers')")

    async with one(postgres_url) as db:
        await cut(unit, witness)

        with pytest.raises(DBAPIError, match="lastval is not yet defined"):
            async with db.begin() as session:
                await session.execute(text("SELECT lastval()"))


async def test_listeners_hear_of_an_end_and_a_beginning(postgres_url, witness):
    """What a service sets up on each new connection is set up on this one, too."""
    heard = []

    async def unit() -> None:
        async with db.begin() as session:
            await session.execute(SLEEP)

    def connect(connection, _record) -> None:
        heard.append("connect")
        connection.cursor().execute("SET work_mem = '55MB'")
        connection.commit()

    async with one(postgres_url) as db:
        event.listen(db.engine.sync_engine, "connect", connect)
        event.listen(db.engine.sync_engine, "close", lambda *_: heard.append("close"))
        event.listen(db.engine.sync_engine, "invalidate", lambda *_: heard.append("invalidate"))
        await cut(unit, witness)

        async with db.session() as session:
            assert await session.scalar(text("SHOW work_mem")) == "55MB"
        assert heard == ["invalidate", "close", "connect"]


async def test_one_of_a_demoted_server_is_not_used_again(postgres_url, witness):
    """Whoever found its server demoted meanwhile has retired it, too."""

    async def unit() -> None:
        async with db.begin() as session:
            begun.append((await session.connection()).sync_connection.connection)
            await session.execute(SLEEP)

    begun = []
    async with one(postgres_url) as db:
        served = await pid(db)
        task = asyncio.ensure_future(unit())
        await witness.until_count(1, LEFT)
        db.engine.pool.retire_with(begun[0]._connection_record)
        task.cancel()
        await asyncio.wait({task})

        assert await pid(db) != served


async def test_behind_a_pooler_it_is_closed(postgres_url, witness):
    """There the session is not one's own, and the pooler may take its time to cancel."""

    async def unit() -> None:
        async with db.begin() as session:
            await session.execute(SLEEP)

    async with one(asked(postgres_url, "pooler=transaction")) as db:
        served = await pid(db)
        await cut(unit, witness)

        assert await pid(db) != served
        await witness.until_count(0, LEFT, seconds=2)


async def test_one_that_cannot_be_renewed_is_closed(postgres_url, witness, monkeypatch):
    """A server that falls silent keeps no place in the pool for longer than the limit."""
    monkeypatch.setattr(elastic, "_RENEW_TIMEOUT", 0.01)

    async def unit() -> None:
        async with db.begin() as session:
            await session.execute(SLEEP)

    with Faults(postgres_url) as faults:
        async with one(faults.url, min_size=0) as db:
            task = asyncio.ensure_future(unit())
            await witness.until_count(1, LEFT)
            with faults.pause_server():
                task.cancel()
                await asyncio.wait({task})
                await until(lambda: not db.engine.pool.size())

            assert await pid(db)


async def test_one_that_two_tasks_use_is_closed(postgres_url, witness):
    """The other one's statement would go on, in the transaction of whoever came next."""
    async with one(postgres_url) as db:
        served = await pid(db)
        async with db.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
            driver = (await connection.get_raw_connection()).driver_connection
            task = asyncio.ensure_future(driver.execute(SLEEP.text))
            await witness.until_count(1, LEFT)
            connection.sync_connection.invalidate(asyncio.CancelledError())

        assert await pid(db) != served
        await asyncio.wait({task})
        assert task.exception()
        await witness.until_count(0, LEFT, seconds=2)


def test_it_grows_no_younger():
    """Cut short again and again, a connection is replaced at the end of its lifetime."""

    async def story(clock, server, pool) -> None:
        for _ in range(30):
            fairy = await check_out(pool)
            clock.now += 1
            await greenlet_spawn(fairy.invalidate, asyncio.CancelledError())
            await greenlet_spawn(fairy.close)
            await turns(10)

        assert server.made >= 3  # in 30 seconds, and none was older than 10

    clock, server = Clock(), FakeServer()
    server.answer_all()
    pool = fake_pool(server, PoolPolicy(max_size=1, max_lifetime=10, ping_after=60))
    with clocked(clock) as run:
        run(story(clock, server, pool))
