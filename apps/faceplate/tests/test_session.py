"""Sessions of the application: commit, rollback, close, on one database made when needed."""

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from faceplate.db.session import (
    close_database,
    get_database,
    get_db,
    get_session,
    make_database,
)
from faceplate.db.start import running
from faceplate.models import User
from holdfast.errors import ConfigurationError, TransactionAbortedError

# A session for code, and the one that a web framework asks for.
WAYS = pytest.mark.parametrize("way", [get_session, asynccontextmanager(get_db)])


async def count():
    async with get_session() as session:
        return await session.scalar(select(func.count()).select_from(User))


async def add_and_fail(way, thing):
    """Add something, see it stored inside the transaction, and fail."""
    async with way() as session:
        session.add(thing)
        await session.flush()
        raise RuntimeError("changed my mind")


@WAYS
async def test_session_commits_at_the_end(db, make, way):
    """What was added is stored when the block ends, and can be read afterwards."""
    async with way() as session:
        user = make.user()
        session.add(user)

    assert await count() == 1
    assert user.created_at


@WAYS
async def test_session_rolls_back_on_an_exception(db, make, way):
    """Nothing is stored when the block fails, and the error comes out as it was."""
    with pytest.raises(RuntimeError, match="changed my mind"):
        await add_and_fail(way, make.user())

    assert await count() == 0


@WAYS
async def test_session_rolls_back_when_cancelled(db, make, way):
    """A task that is cancelled stores nothing and keeps no connection."""
    flushed = asyncio.Event()

    async def work():
        async with way() as session:
            session.add(make.user())
            await session.flush()
            flushed.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await flushed.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert list(db.holders()) == []
    assert await count() == 0


@WAYS
async def test_a_commit_that_fails_is_an_error(db, make, way):
    """What the database refuses at the end reaches the caller, and nothing is stored."""
    users = [make.user(email="same@example.test") for _ in range(2)]

    with pytest.raises(IntegrityError):
        async with way() as session:
            session.add_all(users)

    assert await count() == 0


async def test_a_failed_statement_cannot_be_ignored(db, make):
    """Going on after a failed statement does not end in a commit that stored nothing."""

    async def go_on():
        async with get_session() as session:
            session.add(make.user())
            await session.flush()
            with suppress(DBAPIError):
                await session.execute(text("SELECT 1 / 0"))

    with pytest.raises(TransactionAbortedError):
        await go_on()

    assert await count() == 0


async def test_an_object_can_be_added_again_after_a_failure(db, make):
    """An object that was flushed and rolled back is really stored the second time."""
    user = make.user()
    with pytest.raises(RuntimeError):
        await add_and_fail(get_session, user)

    async with get_session() as session:
        session.add(user)

    assert await count() == 1


async def test_code_inside_may_commit(db, make):
    """What was committed inside stays, whatever happens afterwards."""

    async def commit_and_fail():
        async with get_session() as session:
            session.add(make.user())
            await session.commit()
            session.add(make.user())
            await session.flush()
            raise RuntimeError("changed my mind")

    with pytest.raises(RuntimeError):
        await commit_and_fail()

    assert await count() == 1


async def test_everybody_gets_the_same_database(db):
    """One database and one pool are shared."""
    assert get_database() is get_database() is db


async def test_a_closed_database_is_made_anew(on_clone):
    """After closing, the next use works; closing twice is harmless."""
    before = get_database()
    await close_database()
    await close_database()

    assert get_database() is not before
    assert await count() == 0


async def test_running_opens_and_closes(on_clone):
    """In the block the shared database is open, afterwards it is forgotten."""
    async with running() as db:
        assert db is get_database()
        assert await count() == 0

    assert get_database() is not db


async def test_limits_come_from_the_environment(on_clone, clean_environment):
    """Limits of statements are settings too, and in force on the server."""
    clean_environment.setenv("FACEPLATE_DB_STATEMENT_TIMEOUT", "7")

    async with get_session() as session:
        limit = await session.scalar(text("SHOW statement_timeout"))
        name = await session.scalar(text("SHOW application_name"))

    assert (limit, name) == ("7s", "faceplate")


@pytest.mark.parametrize(
    "variable",
    [
        "FACEPLATE_DB_STATEMENT_TIMEOUT",
        "FACEPLATE_DB_STATMENT_TIMEOUT",
        "FACEPLATE_DB_POOL_MAX_SIZE",
        "FACEPLATE_DB_RETRY_RECONNECTS",
    ],
)
async def test_a_wrong_limit_is_named(on_clone, clean_environment, variable):
    """A limit that is no number, or no limit, is an error that names its variable."""
    clean_environment.setenv(variable, "soon")

    with pytest.raises(ConfigurationError, match=variable):
        get_database()


def test_a_command_needs_one_connection(clean_environment):
    """A program that ends keeps no connections for later, whatever the service does."""
    clean_environment.setenv("FACEPLATE_DB_STATEMENT_TIMEOUT", "7")
    policy = make_database("postgresql://app@127.0.0.1:1/range", connections=1).policy

    assert (policy.pool.min_size, policy.pool.max_size) == (0, 1)
    assert policy.statement_timeout == 7
