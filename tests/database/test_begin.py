"""`begin()` and `run()`: one transaction, ended as the block ends."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from holdfast.database import Database
from holdfast.errors import TransactionAbortedError, UsageError

BODIES = "SELECT body FROM notes ORDER BY id"


class Base(DeclarativeBase):
    """A declarative base of the application's own."""


class Note(Base):
    """One row of the table that the fixtures make."""

    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[str]


async def test_begin_commits_at_the_end(any_db, look):
    """What was added in the block is stored, and the objects are usable."""
    async with any_db.begin() as session:
        note = Note(id=1, body="first")
        session.add(note)

    assert await look(BODIES) == ["first"]
    assert note.body == "first"


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, KeyboardInterrupt])
async def test_begin_rolls_back_on_any_exception(any_db, look, error):
    """Nothing of the block is stored, flushed or not, and the exception comes out as it was."""

    class Stop(error):
        pass

    async def fail():
        async with any_db.begin() as session:
            session.add(Note(id=1, body="flushed"))
            await session.flush()
            session.add(Note(id=2, body="waiting"))
            raise Stop

    with pytest.raises(Stop):
        await fail()

    assert await look(BODIES) == []


async def without_async(block: Any) -> None:
    with block:
        raise AssertionError


async def used(block: Any) -> None:
    await block.execute(text(BODIES))


@pytest.mark.parametrize("name", ["begin", "read"])
@pytest.mark.parametrize(
    ("mistake", "error"),
    [(without_async, UsageError), (used, AttributeError)],
)
async def test_a_block_that_is_not_entered(any_db, name, mistake, error):
    """The error is of the kind that Python has for it, and has the line to write."""
    with pytest.raises(error) as caught:
        await mistake(getattr(any_db, name)())

    assert str(caught.value).startswith(f"{name}() ")
    assert f"write 'async with db.{name}() as session:'" in str(caught.value)


async def test_nothing_is_seen_outside_before_the_end(db, look):
    """Another connection sees the row only when the block is over."""
    async with db.begin() as session:
        session.add(Note(id=1, body="first"))
        await session.flush()
        during = await look(BODIES)

    assert (during, await look(BODIES)) == ([], ["first"])


async def test_a_savepoint_undoes_a_part(any_db, look):
    """After a statement failed inside begin_nested(), the rest is stored."""
    async with any_db.begin() as session:
        session.add(Note(id=1, body="first"))
        await session.flush()
        with pytest.raises(IntegrityError):
            async with session.begin_nested():
                await session.execute(text("INSERT INTO notes VALUES (1, 'again')"))
        session.add(Note(id=2, body="second"))

    assert await look(BODIES) == ["first", "second"]


async def test_run_returns_the_result_after_the_commit(any_db, look):
    """The work's arguments reach it, and its result means that the rows are stored."""

    async def write(session, number, *, body):
        note = Note(id=number, body=body)
        session.add(note)
        return note

    note = await any_db.run(write, 1, body="first")

    assert (note.id, note.body, await look(BODIES)) == (1, "first", ["first"])


async def test_run_that_raises_stores_nothing(any_db, look):
    """The work's own exception comes out and its rows are gone."""

    async def fail(session):
        session.add(Note(id=1, body="first"))
        await session.flush()
        raise LookupError

    with pytest.raises(LookupError):
        await any_db.run(fail)

    assert await look(BODIES) == []


async def test_an_object_of_a_failed_block_is_new_again(any_db, look):
    """It can be added to the next block, where it is inserted and not taken for stored."""
    note = Note(id=1, body="first")

    async def add(*, fails):
        async with any_db.begin() as session:
            session.add(note)
            await session.flush()
            if fails:
                raise LookupError

    with pytest.raises(LookupError):
        await add(fails=True)
    await add(fails=False)

    assert await look(BODIES) == ["first"]


async def test_a_commit_that_fails_is_an_error(db, look):
    """A constraint that is checked at COMMIT comes out of the block, and nothing is stored."""
    async with db.engine.begin() as connection:
        await connection.execute(
            text("ALTER TABLE notes ADD parent int REFERENCES notes DEFERRABLE INITIALLY DEFERRED")
        )

    with pytest.raises(IntegrityError):
        async with db.begin() as session:
            await session.execute(text("INSERT INTO notes VALUES (1, 'first', 99)"))

    assert await look(BODIES) == []


async def add_and_swallow(session, error=DBAPIError, sql="SELECT 1/0"):
    session.add(Note(id=1, body="first"))
    await session.flush()
    with pytest.raises(error):
        await session.execute(text(sql))


class TestSwallowedError:
    """A statement failed and the code went on: PostgreSQL answers COMMIT with ROLLBACK."""

    async def test_run_and_begin_report_it(self, db, look):
        """No result comes back, and nothing is stored."""
        with pytest.raises(TransactionAbortedError, match=r"begin_nested\(\)"):
            await db.run(add_and_swallow)

        assert await look(BODIES) == []

    async def test_commit_by_hand_reports_it(self, db, look):
        """So does `session().commit()`, and after a rollback the session works again."""
        async with db.session() as session:
            await add_and_swallow(session)
            with pytest.raises(TransactionAbortedError):
                await session.commit()
            await session.rollback()
            session.add(Note(id=2, body="second"))
            await session.commit()

        assert await look(BODIES) == ["second"]

    async def test_the_engine_reports_it(self, db, look):
        """So does a plain `engine.begin()`."""

        async def write():
            async with db.engine.begin() as connection:
                await connection.execute(text("INSERT INTO notes VALUES (1, 'first')"))
                with pytest.raises(DBAPIError):
                    await connection.execute(text("SELECT 1/0"))

        with pytest.raises(TransactionAbortedError):
            await write()

        assert await look(BODIES) == []

    async def test_a_failed_flush_is_reported_as_the_same(self, any_db, look):
        """SQLAlchemy rolls back at once when a flush fails; the block says so at its end."""

        async def work(session):
            session.add(Note(id=1, body="first"))
            await session.flush()
            session.add(Note(id=2, body="first"))
            with pytest.raises(IntegrityError):
                await session.flush()

        with pytest.raises(TransactionAbortedError):
            await any_db.run(work)

        assert await look(BODIES) == []

    async def test_an_error_of_the_client_aborts_nothing(self, db, look):
        """A value that the driver itself refused never reached the server: the rest is stored."""

        async def work(session):
            session.add(Note(id=1, body="first"))
            await session.flush()
            with pytest.raises(DBAPIError):
                await session.execute(text("SELECT CAST(:n AS int)"), {"n": object()})

        await db.run(work)

        assert await look(BODIES) == ["first"]

    async def test_the_connection_is_whole_afterwards(self, db):
        """The pool's next users get connections that work."""
        for _ in range(3):
            with pytest.raises(TransactionAbortedError):
                await db.run(add_and_swallow)

        async with db.begin() as session:
            assert await session.scalar(select(1)) == 1

    async def test_the_connection_is_whole_after_a_commit_by_hand(self, db):
        """So do they when nobody rolled back."""
        async with db.session() as session:
            await add_and_swallow(session)
            with pytest.raises(TransactionAbortedError):
                await session.commit()

        async with db.session() as session:
            assert await session.scalar(select(1)) == 1


async def test_a_rollback_that_fails_hides_nothing(db, look):
    """When the connection dies inside the block, the block's own exception comes out."""

    async def work(session):
        pid = await session.scalar(text("SELECT pg_backend_pid()"))
        await look(f"SELECT pg_terminate_backend({pid}, 5000)")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await db.run(work)

    async with db.begin() as session:
        assert await session.scalar(select(1)) == 1


async def test_a_detached_connection_goes_on(any_url, caplog):
    """SQLAlchemy takes it out of the pool for good; it begins, commits and closes as before."""
    async with Database(any_url) as db:
        async with db.engine.connect() as connection:
            await connection.run_sync(lambda each: each.detach())
            await connection.execute(text("CREATE TABLE apart (id int)"))
            await connection.commit()

        assert not caplog.records  # of an error in closing it SQLAlchemy only logs

        async with db.read() as session:
            assert await session.scalar(text("SELECT count(*) FROM apart")) == 0
