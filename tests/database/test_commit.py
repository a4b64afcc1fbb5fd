"""A COMMIT that got no answer: it is never taken for a failure, and never done again by chance."""

import asyncio
import os
import select
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import anyio
import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import NullPool

from holdfast.database import CommitUnknown, Database, DatabasePolicy
from holdfast.errors import CommitUnknownError
from holdfast.events import Event, Events
from holdfast.pool import PoolPolicy
from holdfast.retry import RetryPolicy, classify
from holdfast.testing.faults import Faults
from holdfast.urls import parse

INSERT = text("INSERT INTO notes VALUES (1, 'first')")
IDS = "SELECT id FROM notes"
SOON = RetryPolicy(reconnect_delay=0.001, conflict_delay=0.001)
# Runs at COMMIT, for as long as somebody lets it.
SLOW = """
CREATE FUNCTION be_slow() RETURNS trigger LANGUAGE plpgsql
    AS 'BEGIN PERFORM pg_sleep(30); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON notes DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION be_slow();
"""
COMMITTING = (
    "SELECT pid FROM pg_stat_activity"
    " WHERE datname = current_database() AND query LIKE 'COMMIT%' AND state = 'active'"
)

Do = Callable[[str], Awaitable[list[object]]]
Way = Callable[[Database], Awaitable[object]]


class Base(DeclarativeBase):
    """A declarative base of the application's own."""


class Note(Base):
    """One row of the table of notes."""

    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[str]


async def through_run(db: Database) -> None:
    await db.run(lambda session: session.execute(INSERT))


async def through_begin(db: Database) -> None:
    async with db.begin() as session:
        await session.execute(INSERT)


async def through_session(db: Database) -> None:
    async with db.session() as session:
        await session.execute(INSERT)
        await session.commit()


async def through_engine(db: Database) -> None:
    async with db.engine.begin() as connection:
        await connection.execute(INSERT)


every_way = pytest.mark.parametrize(
    "way", [through_run, through_begin, through_session, through_engine]
)


@pytest.fixture
def outside(database_url) -> Do:
    """Give what does statements from outside, and commits; it gives the first column."""
    engine = create_async_engine(parse(database_url).engine, poolclass=NullPool)

    async def do(sql: str) -> list[object]:
        async with engine.begin() as connection:
            raw = await connection.get_raw_connection()
            if not sql.startswith("SELECT"):
                await raw.driver_connection.execute(sql)
                return []
            return [row[0] for row in await raw.driver_connection.fetch(sql)]

    return do


@pytest.fixture
async def notes(outside) -> None:
    """Have a table of notes."""
    await outside("CREATE TABLE notes (id integer PRIMARY KEY, body text)")


@pytest.fixture
def faults(postgres_url) -> Iterator[Faults]:
    """Stand in front of the database."""
    with Faults(postgres_url) as faults:
        yield faults
        faults.heal()


@pytest.fixture
def told() -> list[Event]:
    """Give the list of what the database has told."""
    return []


def unknown(told: list[Event]) -> list[str]:
    """Give the reasons of the COMMITs that got no answer."""
    return [event.reason for event in told if isinstance(event, CommitUnknown)]


@pytest.fixture
async def db(faults, notes, told) -> AsyncIterator[Database]:
    """Give a database behind the faults, with a policy that does not wait."""
    policy = DatabasePolicy(retry=SOON, pool=PoolPolicy(max_size=3, ping_after=60))
    async with Database(faults.url, policy=policy, events=Events(told.append)) as db:
        yield db
        assert db.engine.pool.checkedout() == 0


class Work:
    """Inserts a row with the number of its call, and then does what it was given."""

    def __init__(self, then: Callable[[AsyncSession], Awaitable[object]] | None = None) -> None:
        self.calls = 0
        self._then = then

    async def __call__(self, session: AsyncSession) -> int:
        """Do it."""
        self.calls += 1
        await session.execute(text(f"INSERT INTO notes VALUES ({self.calls}, 'a')"))
        if self._then is not None:
            await self._then(session)
        return self.calls


@every_way
@pytest.mark.parametrize("reached", [True, False])
async def test_the_connection_is_cut(db, faults, outside, told, *, way, reached):
    """Whether the server got it or not, the client cannot tell, and nobody tries again."""
    faults.cut_commit(reached=reached)

    with pytest.raises(CommitUnknownError) as caught:
        await way(db)

    assert classify(caught.value) is None
    assert await outside(IDS) == ([1] if reached else [])
    assert unknown(told) == ["the connection was lost"]
    await way(db) if not reached else None  # the pool is well


@every_way
async def test_the_server_ends_the_connection_during_commit(db, outside, told, way):
    """The same error for the client, although here the row is not there."""
    await outside(SLOW)
    writing = asyncio.create_task(way(db))
    while not (found := await outside(COMMITTING)):
        pass
    await outside(f"SELECT pg_terminate_backend({found[0]}, 5000)")

    with pytest.raises(CommitUnknownError, match="COMMIT was sent to"):
        await writing

    assert await outside(IDS) == []
    assert unknown(told) == ["the connection was lost"]


@pytest.mark.parametrize("state", ["08006", "08P01", "57P01", "40003"])
async def test_a_pooler_lost_its_server(db, faults, told, state):
    """It may say so and keep its connection to the client: that is no answer to COMMIT, either."""
    work = Work()
    faults.fail_next(state, at="COMMIT")

    with pytest.raises(CommitUnknownError):
        await db.run(work)

    assert work.calls == 1
    assert unknown(told) == ["the connection was lost"]


async def test_lost_before_commit_is_an_ordinary_loss(db, faults, outside, told):
    """What was not asked to be stored is not: the work is done again."""
    work = Work()
    faults.drop_connection(at="INSERT", reached=True)

    assert await db.run(work) == 2
    assert await outside(IDS) == [2]
    assert unknown(told) == []


async def lose(faults: Faults, connection: AsyncConnection) -> None:
    """Have the connection cut while nothing is asked of it."""
    driver: Any = (await connection.get_raw_connection()).driver_connection
    faults.drop_all()
    arrived = select.poll()
    arrived.register(driver.fileno(), select.POLLIN)
    assert arrived.poll(10_000)  # without a turn of the loop, which would tell the driver


async def losing_in_run(db: Database, faults: Faults) -> None:
    async def work(session: AsyncSession) -> None:
        await session.execute(INSERT)
        await lose(faults, await session.connection())

    await db.run(work)


async def losing_in_begin(db: Database, faults: Faults) -> None:
    async with db.begin() as session:
        await session.execute(INSERT)
        await lose(faults, await session.connection())


async def losing_in_session(db: Database, faults: Faults) -> None:
    async with db.session() as session:
        await session.execute(INSERT)
        await lose(faults, await session.connection())
        await session.commit()


async def losing_in_engine(db: Database, faults: Faults) -> None:
    async with db.engine.begin() as connection:
        await connection.execute(INSERT)
        await lose(faults, connection)


@pytest.mark.parametrize(
    "way", [losing_in_run, losing_in_begin, losing_in_session, losing_in_engine]
)
async def test_lost_between_the_last_statement_and_commit(db, faults, outside, told, way):
    """It is seen before COMMIT is sent, so that nothing is unknown."""
    with pytest.raises(DBAPIError) as caught:
        await way(db, faults)

    assert caught.value.connection_invalidated
    assert await outside(IDS) == []
    assert unknown(told) == []


async def test_what_was_seen_lost_is_not_sent(db, outside, told):
    """A proxy may have closed one direction only: the server would store it, and the next too."""

    async def half_close(session: AsyncSession) -> None:
        if work.calls == 1:
            raw = await (await session.connection()).get_raw_connection()
            with socket.socket(fileno=os.dup(raw.driver_connection.fileno())) as both:
                both.shutdown(socket.SHUT_RD)

    work = Work(half_close)

    assert await db.run(work) == 2
    assert await outside(IDS) == [2]
    assert unknown(told) == []


@pytest.mark.parametrize("state", ["40001", "40P01"])
async def test_a_conflict_at_commit_is_an_answer(db, faults, outside, told, state):
    """The server undid it, so it is done again."""
    work = Work()
    faults.fail_next(state, at="COMMIT")

    assert await db.run(work) == 2
    assert await outside(IDS) == [2]
    assert unknown(told) == []


async def test_a_constraint_at_commit_is_an_answer(db, outside, told):
    """It comes out as it is, once."""
    await outside("ALTER TABLE notes ADD parent int REFERENCES notes DEFERRABLE INITIALLY DEFERRED")
    work = Work(lambda session: session.execute(text("UPDATE notes SET parent = 99")))

    with pytest.raises(IntegrityError):
        await db.run(work)

    assert work.calls == 1
    assert await outside(IDS) == []
    assert unknown(told) == []


async def test_a_mark_of_before_is_not_taken_for_this_commit(db, outside, told):
    """After a COMMIT that was refused, a loss on the same connection is an ordinary one."""
    await outside("ALTER TABLE notes ADD parent int REFERENCES notes DEFERRABLE INITIALLY DEFERRED")
    for _ in range(2):
        with pytest.raises(IntegrityError):
            await db.run(Work(lambda session: session.execute(text("UPDATE notes SET parent = 9"))))

        async with db.session() as session:
            with pytest.raises(DBAPIError):
                await session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    assert unknown(told) == []


async def task_cancel(
    writing: Awaitable[object], committing: Callable[[], Awaitable[None]]
) -> None:
    task = asyncio.ensure_future(writing)
    await committing()
    task.cancel()
    await task


async def asyncio_timeout(
    writing: Awaitable[object], committing: Callable[[], Awaitable[None]]
) -> None:
    async with asyncio.timeout(None) as limit:
        watching = asyncio.create_task(committing())
        watching.add_done_callback(lambda _: limit.reschedule(0))
        await writing


async def anyio_scope(
    writing: Awaitable[object], committing: Callable[[], Awaitable[None]]
) -> None:
    with anyio.CancelScope() as scope:
        watching = asyncio.create_task(committing())
        watching.add_done_callback(lambda _: scope.cancel())
        try:
            await writing
        except asyncio.CancelledError as error:
            seen = error
            raise
    raise TimeoutError from seen


def said(error: BaseException | None) -> list[str]:
    """Give the notes of an error and of those before it: anyio cancels a second time."""
    notes = []
    while error is not None:
        notes += getattr(error, "__notes__", [])
        error = error.__context__
    return notes


@every_way
@pytest.mark.parametrize("ending", [task_cancel, asyncio_timeout, anyio_scope])
async def test_cancelled_during_commit(db, outside, told, way, ending):
    """It stays a cancellation, which says that nobody knows; the server ends what it was doing."""
    await outside(SLOW)

    async def committing() -> None:
        while not await outside(COMMITTING):
            pass

    with pytest.raises((asyncio.CancelledError, TimeoutError)) as caught:
        await ending(way(db), committing)

    error = caught.value
    # Before Python 3.11.3 asyncio's has no cause.
    timed_out = isinstance(error, TimeoutError)
    cancelled = error.__cause__ or error.__context__ if timed_out else error
    assert isinstance(cancelled, asyncio.CancelledError)
    owned = way in {through_run, through_begin}
    notes = cancelled.__notes__ if owned else said(cancelled)
    assert any("COMMIT was sent to" in note for note in notes)
    assert unknown(told) == ["the task was cancelled"]
    async with asyncio.timeout(2):
        while await outside(COMMITTING):
            pass
    assert await outside(IDS) == []


@every_way
async def test_a_frozen_server(db, faults, outside, told, way):
    """Who gives up waiting for the answer is told, whatever becomes of it later."""
    loop = asyncio.get_running_loop()
    real = db.engine.sync_engine.dialect.do_commit

    def freezing(connection: object) -> None:
        faults.pause_server()
        loop.call_soon(cancel)
        real(connection)

    def cancel() -> None:
        # After the driver has written its COMMIT.
        loop.call_soon(writing.cancel)

    db.engine.sync_engine.dialect.do_commit = freezing
    writing = asyncio.create_task(way(db))
    async with asyncio.timeout(4):  # drivers would wait for longer
        with pytest.raises(asyncio.CancelledError) as caught:
            await writing
    faults.heal()

    assert any("COMMIT was sent to" in note for note in caught.value.__notes__)
    assert unknown(told) == ["the task was cancelled"]
    assert len(await outside(IDS)) <= 1


async def test_a_frozen_server_and_the_drivers_own_limit(faults, notes, outside, told):
    """That of asyncpg, where somebody has set it, is no answer, either."""
    if "+psycopg" in faults.url:
        return  # it has none

    def limit(_dialect: object, _entry: object, _args: object, options: dict[str, object]) -> None:
        options["command_timeout"] = 0.2

    async def freeze(_session: object) -> None:
        faults.pause_server()

    work = Work(freeze)
    async with Database(
        faults.url, policy=DatabasePolicy(retry=SOON), events=Events(told.append)
    ) as db:
        await db.engine.dispose()
        event.listen(db.engine.sync_engine, "do_connect", limit)
        with pytest.raises(CommitUnknownError):
            await db.run(work)
        faults.heal()

    assert work.calls == 1
    assert unknown(told) == ["the connection was lost"]
    assert len(await outside(IDS)) <= 1
