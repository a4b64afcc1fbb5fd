"""`run()`: work that is called again where that is safe, on real servers."""

import asyncio
import types
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from proofs.folders import open_folder
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import NullPool

from holdfast.database import Database, DatabasePolicy
from holdfast.errors import (
    CommitUnknownError,
    TransactionAbortedError,
    TransactionOwnedError,
    UsageError,
)
from holdfast.events import Event, Events
from holdfast.pool import PoolPolicy
from holdfast.retry import Retried, RetryPolicy
from holdfast.services import PostgresServer
from holdfast.testing.faults import Faults
from holdfast.urls import parse

NOTES = "CREATE TABLE notes (id integer PRIMARY KEY, body text UNIQUE)"
IDS = "SELECT id FROM notes ORDER BY id"
SOON = RetryPolicy(reconnect_delay=0.001, conflict_delay=0.001)

Work = Callable[[AsyncSession], Awaitable[object]]


class Base(DeclarativeBase):
    """A declarative base of the application's own."""


class Note(Base):
    """One row of the table that the fixtures make."""

    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[str]


class Counted:
    """Work that counts its calls and keeps its sessions; the first calls meet a fault."""

    def __init__(self, fault: Work, times: int = 1) -> None:
        self.fault = fault
        self.times = times
        self.sessions: list[AsyncSession] = []

    @property
    def calls(self) -> int:
        """How often it was called."""
        return len(self.sessions)

    async def __call__(self, session: AsyncSession) -> int:
        """Insert a row with the number of this call, and return it."""
        self.sessions.append(session)
        await session.execute(text(f"INSERT INTO notes VALUES ({self.calls}, 'a')"))
        if self.calls <= self.times:
            await self.fault(session)
        return self.calls


async def lose(session: AsyncSession) -> None:
    """Have the server end this connection in the middle of a statement."""
    await session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))


@pytest.fixture
def told() -> list[Event]:
    """Give the list of what the database has told."""
    return []


@pytest.fixture
async def retrying(postgres_url, told) -> AsyncIterator[Database]:
    """Give PostgreSQL with the table of notes, and a policy that does not wait."""
    policy = DatabasePolicy(retry=SOON, pool=PoolPolicy(max_size=5, ping_after=60))
    async with Database(postgres_url, policy=policy, events=Events(told.append)) as db:
        async with db.engine.begin() as connection:
            await connection.execute(text(NOTES))
        yield db
        assert db.engine.pool.checkedout() == 0


@pytest.fixture
def change(postgres_url) -> Callable[[str], Awaitable[None]]:
    """Give what does a statement from outside, on a connection of its own, and commits."""
    engine = create_async_engine(parse(postgres_url).engine, poolclass=NullPool)

    async def do(sql: str) -> None:
        async with engine.begin() as connection:
            await connection.execute(text(sql))

    return do


class TestLostConnection:
    """The work is called once more, and not twice."""

    async def test_once_more(self, retrying, look, told):
        """The second call has a session of its own, and its result is the one that comes out."""
        work = Counted(lose)

        assert await retrying.run(work) == 2

        first, second = work.sessions
        assert first is not second
        assert await look(IDS) == [2]
        [event] = [each for each in told if isinstance(each, Retried)]
        assert (event.attempt, event.reason) == (1, "the connection was lost")

    async def test_lost_again(self, retrying, look):
        """The error comes out, with the number of attempts, and nothing is stored."""
        work = Counted(lose, times=2)

        with pytest.raises(DBAPIError) as caught:
            await retrying.run(work)

        assert work.calls == 2
        assert caught.value.connection_invalidated
        assert any("was tried 2 times" in note for note in caught.value.__notes__)
        assert await look(IDS) == []

    async def test_the_delay_is_asked_for(self, postgres_url, change, monkeypatch):
        """It is the policy's, a second where nothing else is said."""
        slept = []
        real = asyncio.sleep

        async def sleep(seconds: float) -> None:
            slept.append(seconds)
            await real(0)

        await change(NOTES)
        async with Database(postgres_url, events=Events(lambda _: None)) as db:
            monkeypatch.setattr(asyncio, "sleep", sleep)
            await db.run(Counted(lose))

        assert [seconds for seconds in slept if seconds] == [1.0]

    async def test_the_session_of_before_is_closed(self, retrying):
        """Whoever kept it cannot use it, nor the objects that it had."""
        work = Counted(lose)
        await retrying.run(work)

        for session in work.sessions:
            assert list(session) == []
            with pytest.raises(Exception, match="closed"):
                await session.execute(text("SELECT 1"))

    async def test_a_dead_pool_is_one_failure(self, retrying, look):
        """After every connection was ended, one attempt more is enough for each unit."""
        together = asyncio.Barrier(5)

        async def hold(session: AsyncSession) -> None:
            await session.execute(text("SELECT 1"))
            await together.wait()

        await asyncio.gather(*(retrying.run(hold) for _ in range(5)))
        assert retrying.engine.pool.checkedin() == 5
        await look(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        works = [Counted(nothing) for _ in range(5)]

        await asyncio.gather(
            *(retrying.run(insert, number, work) for number, work in enumerate(works))
        )

        assert all(work.calls <= 2 for work in works)
        assert await look(IDS) == [0, 1, 2, 3, 4]

    async def test_work_that_swallows_it(self, retrying, look):
        """Its result does not come out, as nothing is stored."""

        async def work(session: AsyncSession) -> str:
            await session.execute(text("INSERT INTO notes VALUES (1, 'a')"))
            with pytest.raises(DBAPIError):
                await lose(session)
            return "stored"

        with pytest.raises(TransactionAbortedError, match="connection was lost"):
            await retrying.run(work)

        assert await look(IDS) == []

    async def test_work_that_goes_on_after_it(self, retrying, look):
        """A statement after the loss is not sent on another connection, outside of everything."""

        async def work(session: AsyncSession) -> str:
            with pytest.raises(DBAPIError):
                await lose(session)
            await session.execute(text("INSERT INTO notes VALUES (1, 'a')"))
            return "stored"

        with pytest.raises(Exception, match="transaction"):
            await retrying.run(work)

        assert await look(IDS) == []

    async def test_lost_between_two_statements(self, retrying, look):
        """A connection that goes while the work does something else is found by COMMIT."""

        async def fault(session: AsyncSession) -> None:
            pid = await session.scalar(text("SELECT pg_backend_pid()"))
            await look(f"SELECT pg_terminate_backend({pid}, 5000)")

        work = Counted(fault)

        assert await retrying.run(work) == 2
        assert await look(IDS) == [2]


async def nothing(session: AsyncSession) -> None:
    """Meet no fault."""


async def insert(session: AsyncSession, number: int, work: Counted) -> None:
    work.sessions.append(session)
    await session.execute(text(f"INSERT INTO notes VALUES ({number}, '{number}')"))


class TestStalePlan:
    """Another process changes a column's type under prepared statements."""

    async def test_once_at_once(self, retrying, change, told):
        """The work is called again without a wait."""
        calls = []

        async def work(session: AsyncSession) -> list[object]:
            calls.append(session)
            return list(await session.execute(text("SELECT id, body FROM notes")))

        for _ in range(7):  # psycopg prepares what it has seen five times
            await retrying.run(work)
        await change("ALTER TABLE notes ALTER COLUMN body TYPE varchar(99)")

        assert await retrying.run(work) == []
        assert len(calls) == 7 + 2
        [event] = [each for each in told if isinstance(each, Retried)]
        assert (event.delay, event.reason) == (0.0, "a cached plan no longer fits the schema")


class TestInside:
    """What may be inside of what, on one task."""

    async def test_run_inside_run(self, any_db, look):
        """It is refused before anything is done, and both names are said."""

        async def inner(session: AsyncSession) -> None:
            await session.execute(text("INSERT INTO notes VALUES (2, 'inner')"))

        async def outer(session: AsyncSession) -> None:
            await session.execute(text("INSERT INTO notes VALUES (1, 'outer')"))
            await any_db.run(inner)

        with pytest.raises(TransactionOwnedError, match=r"run\(.*inner\) inside run\(.*outer\)"):
            await any_db.run(outer)

        assert await look(IDS) == []

    async def test_run_inside_begin(self, any_db, look):
        """What it commits would stay when the block is rolled back."""

        async def block() -> None:
            async with any_db.begin() as session:
                await session.execute(text("INSERT INTO notes VALUES (1, 'outer')"))
                await any_db.run(nothing)

        with pytest.raises(TransactionOwnedError, match=r"inside begin\(\)"):
            await block()

        assert await look(IDS) == []

    async def test_begin_inside_run(self, any_db, look):
        """What it commits would be done twice when the work is run again."""

        async def work(session: AsyncSession) -> None:
            async with any_db.begin() as other:
                await other.execute(text("INSERT INTO notes VALUES (1, 'inner')"))

        with pytest.raises(TransactionOwnedError, match=r"begin\(\) inside run\(.*work\)"):
            await any_db.run(work)

        assert await look(IDS) == []

    async def test_after_a_refusal_all_goes_on(self, any_db):
        """Nothing of it is remembered, neither for the task nor for others."""
        for _ in range(2):
            with pytest.raises(TransactionOwnedError):
                await any_db.run(lambda _: any_db.run(nothing))
            await any_db.run(nothing)
        async with any_db.begin():
            pass
        await any_db.run(nothing)

        assert any_db._blocks._inside == {}

    async def test_another_task(self, db, look):
        """What a task of a group does is its own."""

        async def work(session: AsyncSession) -> None:
            async with asyncio.TaskGroup() as group:
                for number in (1, 2):
                    group.create_task(db.run(insert, number, Counted(nothing)))
                group.create_task(begin_in(db))

        await db.run(work)

        assert await look(IDS) == [1, 2]

    async def test_another_database(self, db, look, postgres_url):
        """Each has transactions of its own."""
        async with Database(postgres_url) as other:
            await db.run(lambda _: other.run(insert, 1, Counted(nothing)))
            async with db.begin():
                await other.run(insert, 2, Counted(nothing))

        assert await look(IDS) == [1, 2]

    async def test_reading_around_it(self, db, look):
        """A loop over what was read may write; nothing there could be rolled back."""
        async with db.read():
            await db.run(insert, 1, Counted(nothing))
        async with db.read(snapshot=True):
            await db.run(insert, 2, Counted(nothing))

        assert await look(IDS) == [1, 2]

    async def test_a_block_that_is_left_in_another_task(self, db):
        """So a generator may be closed; the task that began it is free again."""
        block = db.begin()
        await block.__aenter__()
        await asyncio.create_task(block.__aexit__(None, None, None))

        await db.run(nothing)

    @pytest.mark.parametrize("way", ["begin", "run"])
    async def test_an_inner_commit(self, retrying, look, way):
        """It is refused, so that the row is not there twice after a retry."""
        calls = []

        async def work(session: AsyncSession) -> None:
            calls.append(session)
            await session.execute(text("INSERT INTO notes VALUES (1, 'a')"))
            await session.commit()
            await lose(session)

        async def block() -> None:
            async with retrying.begin() as session:
                await work(session)

        with pytest.raises(TransactionOwnedError):
            await (block() if way == "begin" else retrying.run(work))

        assert len(calls) == 1
        assert await look(IDS) == []


async def begin_in(db: Database) -> None:
    async with db.begin():
        pass


@pytest.mark.parametrize("error", [OSError, TimeoutError, ConnectionResetError, BrokenPipeError])
async def test_the_works_own_errors_are_not_run_again(any_db, error):
    """A file or a web service that fails says nothing about the database."""
    calls = []

    async def work(session: AsyncSession) -> None:
        calls.append(session)
        raise error

    with pytest.raises(error):
        await any_db.run(work)

    assert len(calls) == 1


async def write_and_forget(session: AsyncSession) -> None:
    await session.execute(text("INSERT INTO notes VALUES (1, 'a')"))


def not_async(session: AsyncSession) -> int:
    session.add(Note(id=1, body="a"))
    return 5


async def test_work_that_is_not_async(any_db, look):
    """The error names it, says what to write, and is the kind that Python has for it."""
    with pytest.raises(
        UsageError, match=r"^not_async gave run\(\) an object of type int"
    ) as caught:
        await any_db.run(not_async)

    assert isinstance(caught.value, TypeError)
    assert "make it an async function" in str(caught.value)
    assert await look(IDS) == []


async def test_work_of_an_older_kind(any_db, look):
    """A generator that `types.coroutine` made one that can be awaited is async."""

    @types.coroutine
    def work(session: AsyncSession) -> Generator[Any, Any, int]:
        yield from write_and_forget(session).__await__()
        return 5

    assert await any_db.run(work) == 5
    assert await look(IDS) == [1]


async def test_work_that_was_called_already(any_db, look):
    """The error says how its arguments are given; the coroutine is not reported as forgotten."""
    with pytest.raises(UsageError, match=r"type coroutine, which cannot be called; .*run\(work, 1"):
        await any_db.run(write_and_forget(any_db.session()))

    assert await look(IDS) == []


async def test_a_group_of_lost_connections(retrying, look):
    """A TaskGroup in the work wraps them; all of it is run again."""
    calls = []

    async def read_other() -> None:
        async with retrying.read() as session:
            await (lose(session) if len(calls) == 1 else session.execute(text("SELECT 1")))

    async def work(session: AsyncSession) -> None:
        calls.append(session)
        async with asyncio.TaskGroup() as group:
            group.create_task(read_other())
        await insert(session, len(calls), Counted(nothing))

    await retrying.run(work)

    assert await look(IDS) == [2]


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_ten_units_survive_a_restart(own_server, driver):
    """A fast shutdown ends every connection; all ten are stored, once each."""
    begun, all_begun, restarted = 0, asyncio.Event(), asyncio.Event()

    async def work(session: AsyncSession, number: int) -> None:
        nonlocal begun
        await session.execute(text(f"INSERT INTO notes VALUES ({number}, '{number}')"))
        begun += 1
        if begun == 10:
            all_begun.set()
        await restarted.wait()

    url = own_server.url("owner").replace("postgresql:", f"postgresql+{driver}:")
    async with Database(url, policy=DatabasePolicy(retry=SOON), events=Events(ignore)) as db:
        async with db.engine.begin() as connection:
            await connection.execute(text(NOTES))
        units = [asyncio.create_task(db.run(work, number)) for number in range(10)]
        await all_begun.wait()
        await own_server.stop()
        await own_server.start()
        restarted.set()
        await asyncio.gather(*units)

        async with db.read() as session:
            assert list(await session.scalars(text(IDS))) == list(range(10))
        assert begun == 20


@pytest.fixture
async def own_server() -> AsyncIterator[PostgresServer]:
    """Give a server that may be stopped and started."""
    with open_folder() as folder:
        async with PostgresServer(folder, events=Events(ignore)) as server:
            yield server


def ignore(_event: Event) -> None:
    """Let a test's output be the test's."""


class CancelledAt:
    """Runs a coroutine in a task that is cancelled at one of its awaits.

    Args:
        coroutine: to run.
        number: of the await, from 1.
        answered: whether the answer that is awaited is there in the same moment.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, str], number: int, *, answered: bool) -> None:
        self._coroutine = coroutine
        self._number = number
        self._answered = answered
        self.awaits = 0

    async def run(self) -> str:
        """Give its result."""
        self._task = asyncio.create_task(self._step())
        return await self._task

    async def _step(self) -> str:
        return await self

    def __await__(self) -> Generator[Any, None, str]:
        """Pass on what is awaited, and count it."""
        resume: Callable[[], Any] = partial(self._coroutine.send, None)
        while True:
            try:
                awaited = resume()
            except StopIteration as ended:
                return ended.value
            self.awaits += 1
            if self.awaits == self._number:
                self._cancel_soon(awaited)
            try:
                yield awaited
            except BaseException as error:  # noqa: BLE001  -- it goes to the coroutine
                resume = partial(self._coroutine.throw, error)
            else:
                resume = partial(self._coroutine.send, None)

    def _cancel_soon(self, awaited: "asyncio.Future[Any] | None") -> None:
        if awaited is not None and self._answered:
            awaited.add_done_callback(lambda _: self._task.cancel())
        else:
            asyncio.get_running_loop().call_soon(self._task.cancel)


class TestEveryMoment:
    """Cancelled at each of its awaits in order, while something goes wrong as well."""

    @pytest.fixture
    def faults(self, postgres_url) -> Iterator[Faults]:
        """Stand in front of the database; what a cancelled unit did not meet is left over."""
        with suppress(AssertionError), Faults(postgres_url) as faults:
            yield faults
            faults.heal()

    @pytest.fixture
    async def pairs(self, faults, change, resolve) -> AsyncIterator[Database]:
        """Give a database behind the faults, with a table of what belongs together."""
        await change("CREATE TABLE pairs (number int, half text)")
        policy = DatabasePolicy(
            retry=RetryPolicy(reconnect_delay=0, conflict_delay=0, resolve=resolve),
            pool=PoolPolicy(max_size=2),
        )
        options = "options=-c%20synchronous_commit%3Don"
        durable = f"{faults.url}{'&' if '?' in faults.url else '?'}{options}"
        async with Database(durable, policy=policy, events=Events(ignore)) as db:
            yield db

    @pytest.mark.parametrize("answered", [False, True], ids=["waiting", "answered"])
    @pytest.mark.parametrize(
        ("fault", "resolve"),
        [("drop", False), ("conflict", False), ("cut", False), ("cut", True), ("lost", True)],
    )
    async def test_no_unit_is_half_or_double(self, pairs, faults, look, *, fault, answered):
        """Each is stored whole, once, or not at all; what was acknowledged is there."""
        ends: dict[int, str] = {}
        number, reached = int(answered) - 1, True
        while reached:
            number += 2
            arm(faults, fault)
            unit = CancelledAt(write_pair(pairs, number), number, answered=answered)
            ends[number] = await ending(unit)
            reached = unit.awaits >= number
            await asyncio.gather(*pairs._leaving, return_exceptions=True)
            assert pairs.engine.pool.checkedout() == 0

        stored = Counter(await look("SELECT number FROM pairs"))
        done = {number for number, end in ends.items() if end == "done"}
        assert set(stored.values()) <= {2}
        assert done <= set(stored)
        assert "CancelledError" in ends.values()
        assert ends[number] != "CancelledError"  # which came after all of its awaits
        assert pairs._blocks._inside == {}


def arm(faults: Faults, fault: str) -> None:
    """Have the next unit meet it, once."""
    faults._running.armed._waiting.clear()
    match fault:
        case "drop":
            faults.drop_connection(at="INSERT", after=1)
        case "conflict":
            faults.fail_next("40001", at="COMMIT")
        case "cut":
            faults.cut_commit()
        case "lost":
            faults.cut_commit(reached=False)


async def write_pair(db: Database, number: int) -> str:
    """Write two rows that belong together, and prove that no session outlives its attempt."""
    sessions = []

    async def work(session: AsyncSession) -> str:
        sessions.append(session)
        for half in ("a", "b"):
            await session.execute(text(f"INSERT INTO pairs VALUES ({number}, '{half}')"))
        return "done"

    result = await db.run(work)
    for session in sessions:
        with pytest.raises(InvalidRequestError, match="closed"):
            session.sync_session.connection()
    return result


async def ending(unit: CancelledAt) -> str:
    try:
        return await unit.run()
    except (asyncio.CancelledError, CommitUnknownError) as error:
        return type(error).__name__
