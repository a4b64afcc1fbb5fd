"""Sessions on the shared engine: they commit or roll back, and are SQLModel's."""

import asyncio
import inspect
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from holdfast.database import Database
from holdfast.errors import ConfigurationError, TransactionAbortedError
from todo.core.database import (
    async_session_factory,
    close_database,
    get_async_engine,
    get_async_session,
    get_database,
    make_database,
)
from todo.models import Task

session_of = asynccontextmanager(get_async_session)
TWICE = text("INSERT INTO tasks (id, user_id, title) VALUES (:id, :id, 'a'), (:id, :id, 'b')")


async def titles() -> list[str]:
    async with async_session_factory() as session:
        return [task.title for task in (await session.exec(select(Task))).all()]


@pytest.fixture(params=["sqlite", "postgresql"])
def anywhere(request, clean_environment):
    """Let the application run on either engine, by the URL in its environment."""
    name = "file_url" if request.param == "sqlite" else "on_clone"
    given = request.getfixturevalue(name)
    if request.param == "sqlite":
        clean_environment.setenv("DATABASE_URL", given)


@pytest.mark.usefixtures("anywhere")
class TestSessions:
    """On either engine."""

    async def test_one_engine(self):
        """Everybody gets the same, and it is Holdfast's."""
        assert get_async_engine() is get_async_engine() is get_database().engine
        async with async_session_factory() as session:
            assert session.bind is get_async_engine()

    async def test_it_commits(self, make_task):
        """What was added is there afterwards, and its objects can still be read."""
        async with session_of() as session:
            assert isinstance(session, AsyncSession)
            task = make_task()
            session.add(task)

        assert task.title == "Buy milk"
        assert await titles() == ["Buy milk"]

    @pytest.mark.parametrize("error", [LookupError, asyncio.CancelledError, KeyboardInterrupt])
    async def test_it_rolls_back(self, make_task, error):
        """Whatever goes wrong inside, nothing is stored, and it comes out as it was."""

        async def fail() -> None:
            async with session_of() as session:
                session.add(make_task())
                await session.flush()
                raise error

        with pytest.raises(error):
            await fail()

        assert await titles() == []
        assert get_async_engine().pool.checkedout() == 0

    async def test_a_session_for_code_that_commits_itself(self, make_task):
        """`async_session_factory` gives one, and blocks that commit."""
        async with async_session_factory() as session:
            session.add(make_task(title="lost"))
        async with async_session_factory.begin() as session:
            session.add(make_task(title="kept"))

        assert await titles() == ["kept"]

    async def test_a_closed_database_is_made_anew(self):
        """After closing, the next use works; closing twice is harmless."""
        before = get_async_engine()
        await close_database()
        await close_database()

        assert get_async_engine() is not before
        assert await titles() == []


async def test_an_aborted_transaction_is_not_taken_for_stored(on_clone, make_task, ann):
    """A statement failed and the code went on: PostgreSQL rolls back, and it is said so."""

    async def go_on() -> None:
        async with session_of() as session:
            session.add(make_task())
            await session.flush()
            with pytest.raises(IntegrityError):
                await (await session.connection()).execute(TWICE, {"id": ann})

    with pytest.raises(TransactionAbortedError):
        await go_on()

    assert await titles() == []


async def test_each_task_has_a_session_of_its_own(on_clone, make_task):
    """Fifty at once, of which every second fails, store twenty-five."""

    async def add(number: int) -> None:
        async with session_of() as session:
            session.add(make_task(title=f"task {number}"))
            await session.flush()
            if number % 2:
                raise LookupError

    ended = await asyncio.gather(*(add(number) for number in range(50)), return_exceptions=True)

    assert [type(each) for each in ended] == [type(None), LookupError] * 25
    assert sorted(await titles()) == sorted(f"task {number}" for number in range(0, 50, 2))


def test_its_docstring_says_how_fastapi_takes_it():
    """Without the scope the client would get its answer before the commit."""
    assert inspect.isasyncgenfunction(get_async_session)
    assert 'Depends(get_async_session, scope="function")' in (get_async_session.__doc__ or "")


async def test_the_end_of_the_generator_is_the_commit(on_clone, make_task):
    """Who ends it before answering knows what became of it: a COMMIT that fails is raised."""
    generator = get_async_session()
    session = await anext(generator)
    session.add(make_task())
    assert await titles() == []
    with pytest.raises(StopAsyncIteration):
        await anext(generator)

    assert await titles() == ["Buy milk"]


async def test_limits_come_from_the_environment(on_clone, clean_environment):
    """Limits of statements are settings too, and in force on the server."""
    clean_environment.setenv("TODO_DB_STATEMENT_TIMEOUT", "7")

    async with async_session_factory() as session:
        assert await session.scalar(text("SHOW statement_timeout")) == "7s"
        assert await session.scalar(text("SHOW application_name")) == "todo"


async def test_a_wrong_limit_is_named(on_clone, clean_environment):
    """A limit that is none is an error that names its variable."""
    clean_environment.setenv("TODO_DB_STATMENT_TIMEOUT", "7")

    with pytest.raises(ConfigurationError, match="TODO_DB_STATMENT_TIMEOUT"):
        get_async_engine()


def test_a_command_needs_one_connection(clean_environment):
    """A program that ends keeps no connections for later."""
    made = make_database("postgresql://app@127.0.0.1:1/todo", connections=1)

    assert isinstance(made, Database)
    assert (made.policy.pool.min_size, made.policy.pool.max_size) == (0, 1)
