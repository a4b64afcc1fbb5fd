"""Sessions of the application: commit, rollback, close, on one database made when needed."""

import asyncio
from contextlib import suppress

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from holdfast.errors import ConfigurationError, TransactionAbortedError, UnavailableError
from mantimon.db.models import User
from mantimon.db.session import (
    close_database,
    get_database,
    get_engine,
    get_session,
    get_session_factory,
)


async def count():
    async with get_session() as session:
        return await session.scalar(select(func.count()).select_from(User))


async def add_and_fail(thing):
    """Add something, see it stored inside the transaction, and fail."""
    async with get_session() as session:
        session.add(thing)
        await session.flush()
        raise RuntimeError("changed my mind")


async def commit_and_fail(first, second):
    """Commit one thing inside the block, and fail with another."""
    async with get_session() as session:
        session.add(first)
        await session.commit()
        session.add(second)
        await session.flush()
        raise RuntimeError("changed my mind")


async def go_on_after_a_failure(thing):
    """Add something, let a statement fail, and end the block as if nothing had happened."""
    async with get_session() as session:
        session.add(thing)
        await session.flush()
        with suppress(DBAPIError):
            await session.execute(text("SELECT 1 / 0"))


async def test_session_commits_at_the_end(db, make):
    """What was added is stored when the block ends."""
    async with get_session() as session:
        session.add(make.user())

    assert await count() == 1


async def test_objects_stay_usable_after_the_commit(db, make):
    """Attributes are readable after the session is closed."""
    async with get_session() as session:
        user = make.user()
        session.add(user)

    assert user.email
    assert user.created_at


async def test_session_rolls_back_on_an_exception(db, make):
    """Nothing is stored when the block fails, and the error comes out as it was."""
    with pytest.raises(RuntimeError, match="changed my mind"):
        await add_and_fail(make.user())

    assert await count() == 0


async def test_session_rolls_back_when_cancelled(db, make):
    """A task that is cancelled stores nothing and keeps no connection."""
    flushed = asyncio.Event()

    async def work():
        async with get_session() as session:
            session.add(make.user())
            await session.flush()
            flushed.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await flushed.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert get_engine().pool.checkedout() == 0
    assert await count() == 0


async def test_an_object_can_be_added_again_after_a_failure(db, make):
    """An object that was flushed and rolled back is really stored the second time."""
    user = make.user()
    with pytest.raises(RuntimeError):
        await add_and_fail(user)

    async with get_session() as session:
        session.add(user)

    assert await count() == 1


async def test_a_commit_that_fails_is_an_error(db, make):
    """What the database refuses at the end reaches the caller, and nothing is stored."""
    first, second = make.user(email="same@example.test"), make.user(email="same@example.test")

    with pytest.raises(IntegrityError):
        async with get_session() as session:
            session.add_all([first, second])

    assert await count() == 0
    assert get_engine().pool.checkedout() == 0


async def test_a_failed_statement_cannot_be_ignored(db, make):
    """Going on after a failed statement does not end in a commit that stored nothing."""
    with pytest.raises(TransactionAbortedError):
        await go_on_after_a_failure(make.user())

    assert await count() == 0


async def test_code_inside_may_commit(db, make):
    """What was committed inside stays, whatever happens afterwards."""
    with pytest.raises(RuntimeError):
        await commit_and_fail(make.user(), make.user())

    assert await count() == 1


@pytest.mark.holdfast(isolation="database")
async def test_sessions_give_their_connection_back(db):
    """More sessions than connections, one after the other and side by side."""

    async def ask(number):
        async with get_session() as session:
            return await session.scalar(select(number))

    answers = await asyncio.gather(*map(ask, range(60)))

    assert answers == list(range(60))
    assert get_engine().pool.checkedout() == 0


async def test_the_factory_gives_plain_sessions(db, make):
    """A session of the factory neither commits nor rolls back by itself."""
    async with get_session_factory()() as session:
        session.add(make.user())
        await session.flush()

    assert await count() == 0


async def test_everybody_gets_the_same_database(db):
    """One database, one engine and one pool are shared."""
    assert get_database() is get_database()
    assert get_engine() is get_database().engine


async def test_a_closed_database_is_made_anew(on_clone):
    """After closing, the next use works, with the settings of then."""
    before = get_database()
    await close_database()
    await close_database()

    assert get_database() is not before
    assert await count() == 0


async def test_making_the_database_does_no_io(clean_environment):
    """A database that cannot be reached is an error when it is used, in one line."""
    clean_environment.setenv("DATABASE_URL", "postgresql://ada:private@127.0.0.1:1/none")
    database = get_database()

    with pytest.raises(UnavailableError) as error:
        await database.open()

    assert "127.0.0.1:1" in str(error.value)
    assert "private" not in str(error.value)
    assert "private" not in repr(database)


async def test_limits_come_from_the_environment(on_clone, clean_environment):
    """Limits of statements and of the pool are settings, and in force on the server."""
    clean_environment.setenv("MANTIMON_DB_STATEMENT_TIMEOUT", "7")
    clean_environment.setenv("MANTIMON_DB_POOL_MAX_SIZE", "2")

    async with get_session() as session:
        limit = await session.scalar(text("SHOW statement_timeout"))
        name = await session.scalar(text("SHOW application_name"))

    assert (limit, name) == ("7s", "mantimon")
    assert get_engine().pool.policy.max_size == 2


@pytest.mark.parametrize(
    "variable",
    ["MANTIMON_DB_STATEMENT_TIMEOUT", "MANTIMON_DB_STATMENT_TIMEOUT", "MANTIMON_DB_POOL_MAX_SIZE"],
)
async def test_a_wrong_limit_is_named(clean_environment, variable):
    """A limit that is no number, or no limit, is an error that names its variable."""
    clean_environment.setenv(variable, "soon")

    with pytest.raises(ConfigurationError, match=variable):
        get_database()
