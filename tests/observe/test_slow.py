"""Slow statements are told of, with the line that sent them, however they were sent and ended."""

import asyncio
import inspect
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import column, insert, literal, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from holdfast.database import Database, DatabasePolicy
from holdfast.errors import ConfigurationError
from holdfast.events import Events
from holdfast.models import Base
from holdfast.observe import SlowPolicy, SlowStatement, watch

ALWAYS = SlowPolicy(over=0)
SLEEP = "SELECT pg_sleep(:seconds)"


class Note(Base):
    """A row to write."""

    __tablename__ = "notes"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[str]


@pytest.fixture
def told() -> list[SlowStatement]:
    """Give what was told of."""
    return []


@pytest.fixture(params=["asyncpg", "psycopg", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/notes.db"
    given: str = request.getfixturevalue("database_url")
    return given.replace("postgresql", f"postgresql+{request.param}", 1)


@pytest.fixture(params=["asyncpg", "psycopg"])
def postgres_url(request: pytest.FixtureRequest, database_url: str) -> str:
    """Give an empty PostgreSQL for each driver."""
    return database_url.replace("postgresql", f"postgresql+{request.param}", 1)


@pytest.fixture
async def db(url: str, told: list[SlowStatement]) -> AsyncIterator[Database]:
    """Give a database with a table, of which every statement counts as slow."""
    async with Database(url, events=Events(keep(told))) as db:
        async with db.engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all, tables=[Note.__table__])
        watch(db, ALWAYS)
        yield db


def keep(told: list[SlowStatement]):
    def handler(fact):
        if isinstance(fact, SlowStatement):
            told.append(fact)

    return handler


def line(of: str) -> str:
    """Give the place of the caller's line that has this text."""
    frame = inspect.currentframe().f_back
    source, first = inspect.getsourcelines(frame.f_code)
    [offset] = [number for number, each in enumerate(source) if of in each and "line(" not in each]
    return f"{__file__}:{first + offset}"


async def test_a_session(db, told):
    """ORM statements of `begin()` are told at the line of the flush and of the query."""
    async with db.begin() as session:
        session.add(Note(id=1, body="secret"))
        await session.flush()
        await session.scalars(select(Note))

    wrote, read = (each for each in told if "notes" in each.statement)
    assert wrote.caller == line("session.flush()")
    assert wrote.statement.startswith("INSERT INTO notes (id, body) VALUES (")
    assert (wrote.rows, wrote.error) == (1, "")
    assert read.caller == line("session.scalars(")
    assert read.statement == "SELECT notes.id, notes.body FROM notes"
    assert "secret" not in str(told)


async def test_run_read_and_a_snapshot(db, told):
    """Statements of `run()` and `read()` are told at the line in the work."""

    async def work(session):
        await session.execute(text("SELECT 1"))

    await db.run(work)
    async with db.read() as session:
        await session.execute(select(literal(2)))
    async with db.read(snapshot=True) as session:
        await session.execute(text("SELECT 3"))

    callers = {each.statement[:8]: each.caller for each in told if "SELECT" in each.statement}
    assert callers["SELECT 1"] == line('text("SELECT 1")')
    assert callers["SELECT 3"] == line('text("SELECT 3")')
    assert line("literal(2)") in callers.values()


async def test_core_and_driver_sql(db, told):
    """The engine's own connections are watched, too."""
    async with db.engine.connect() as connection:
        await connection.execute(select(literal(1)))
        await connection.exec_driver_sql("SELECT 2")

    assert [each.caller for each in told if "SELECT" in each.statement] == [
        line("literal(1)"),
        line('"SELECT 2"'),
    ]


async def test_many_rows_at_once(db, told):
    """`executemany` is one statement, or a few; none has its values."""
    rows = [{"id": number, "body": f"secret {number}"} for number in range(50)]
    async with db.begin() as session:
        await session.execute(insert(Note), rows)
        await session.execute(text("UPDATE notes SET body = :body WHERE id = :id"), rows)

    assert {each.statement[:6] for each in told if each.statement[:5] != "BEGIN"} == {
        "INSERT",
        "UPDATE",
    }
    assert "secret" not in str(told)


async def test_a_commit_of_a_session_in_a_task(db, told):
    """In a task of one's own it is the line of that task."""

    async def child():
        async with db.read() as session:
            await session.execute(text("SELECT 4"))

    await asyncio.create_task(child())

    assert told[-1].caller == line('"SELECT 4"')


async def test_an_error(db, told):
    """A statement that failed says how."""
    async with db.engine.connect() as connection:
        with pytest.raises(DBAPIError):
            await connection.execute(text("SELECT * FROM nowhere"))

    assert told[-1].error
    assert told[-1].caller == line("nowhere")
    assert told[-1].rows is None


async def test_streaming(db, told):
    """Rows that are streamed are told of once, when waiting for them has taken too long."""
    async with db.begin() as session:
        await session.execute(insert(Note), [{"id": n, "body": "x"} for n in range(500)])
        told.clear()
        rows = await session.stream(select(Note.id))
        assert len([row async for row in rows]) == 500

    assert [each.statement for each in told] == ["SELECT notes.id FROM notes"]


async def test_what_is_fast_is_not_told(url, told):
    """Nothing is told of what takes less."""
    async with Database(url, events=Events(keep(told))) as db:
        watch(db, SlowPolicy(over=30))
        async with db.read() as session:
            await session.execute(text("SELECT 1"))

    assert told == []


async def test_only_this_database_is_watched(database_url, told):
    """Another one with the same URL is not."""
    events = Events(keep(told))
    async with Database(database_url, events=events) as db, Database(database_url) as other:
        watch(db, ALWAYS)
        async with other.read() as session:
            await session.execute(text("SELECT 1"))

    assert told == []


async def test_seconds_and_the_default_handler(postgres_url, caplog):
    """The time is the statement's; it goes to the log as a warning, without the value."""
    async with Database(postgres_url) as db:
        watch(db, SlowPolicy(over=0.1))
        async with db.read() as session:
            await session.execute(text(f"{SLEEP}"), {"seconds": 0.15})

    [record] = [each for each in caplog.records if "SlowStatement" in each.getMessage()]
    assert record.levelname == "WARNING"
    assert "pg_sleep(" in record.getMessage()
    assert "seconds=0.1" in record.getMessage()
    assert __file__ in record.getMessage()


async def test_a_slow_row_of_a_stream(postgres_url, told):
    """The time that a query takes while its rows are fetched is told, where they are fetched."""
    slow = select(column("n")).select_from(
        text("(SELECT n, pg_sleep(0.05) FROM generate_series(1, 4) AS n) AS slow")
    )
    async with Database(postgres_url, events=Events(keep(told))) as db:
        watch(db, SlowPolicy(over=0.1))
        async with db.begin() as session:
            rows = await session.stream(slow, execution_options={"yield_per": 1})
            found = [row.n async for row in rows]

    assert found == [1, 2, 3, 4]
    [one] = told
    assert 0.1 < one.seconds < 5
    assert one.caller in {line("session.stream("), line("async for row")}


async def test_a_stream_that_fails(postgres_url, told):
    """What ended it while its rows were waited for is told."""
    slow = select(column("n")).select_from(
        text("(SELECT pg_sleep(0.15), 1 / (n - 1) AS n FROM generate_series(1, 2) AS n) AS slow")
    )

    async def streaming(session: AsyncSession) -> None:
        rows = await session.stream(slow, execution_options={"yield_per": 1})
        await rows.all()

    async with Database(postgres_url, events=Events(keep(told))) as db:
        watch(db, SlowPolicy(over=0.1))
        # SQLAlchemy lets asyncpg's own error through here.
        with pytest.raises(Exception, match="division by zero"):
            await db.run(streaming)

    assert len(told) == 1
    assert told[0].error


async def test_a_cancelled_statement(postgres_url, told):
    """What was cut short is told with what cut it."""
    async with Database(postgres_url, events=Events(keep(told))) as db:
        watch(db, SlowPolicy(over=0.1))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2), db.read() as session:
                await session.execute(text(SLEEP), {"seconds": 60})

    [one] = told
    assert one.error == "CancelledError"
    assert one.caller == line("session.execute(")


async def test_a_statement_over_its_limit(postgres_url, told):
    """The server's own end of it is an error like any other."""
    policy = DatabasePolicy(statement_timeout=0.2)
    async with Database(postgres_url, policy=policy, events=Events(keep(told))) as db:
        watch(db, SlowPolicy(over=0.1))
        with pytest.raises(DBAPIError):
            async with db.read() as session:
                await session.execute(text(SLEEP), {"seconds": 60})

    [one] = told
    assert one.error
    assert one.seconds >= 0.2


async def test_a_long_text_is_cut(database_url, told):
    """A statement with a thousand values is not all told."""
    async with (
        Database(database_url, events=Events(keep(told))) as db,
        db.read() as session,
    ):
        watch(db, replace(ALWAYS, length=20))
        await session.execute(text(f"SELECT   {', '.join('1' * 100)}"))

    assert told[-1].statement == "SELECT 1, 1, 1, 1, …"


async def test_it_is_watched_once(db):
    """A second call would tell of everything twice."""
    with pytest.raises(ConfigurationError, match="watched already"):
        watch(db)


async def test_it_may_begin_in_the_middle(database_url, told):
    """A statement that is under way when it begins goes on as it was."""
    async with Database(database_url, events=Events(keep(told))) as db, db.read() as session:
        under_way = asyncio.create_task(session.scalar(text("SELECT pg_sleep(0.1), 7")))
        while not any("pg_sleep" in each.statement for each in db.holders()):  # noqa: ASYNC110
            await asyncio.sleep(0)
        watch(db, ALWAYS)
        await under_way

    assert told == []


@pytest.mark.parametrize("wrong", [{"over": -1}, {"over": "1"}, {"length": 0}, {"length": 2.5}])
def test_a_policy_that_cannot_be(wrong):
    """It names the field."""
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        SlowPolicy(**wrong)
