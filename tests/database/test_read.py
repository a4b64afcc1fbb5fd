"""`read()`: no round trips besides the statements, and nothing that writes."""

import pytest
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from tests.database.conftest import with_driver

from holdfast.database import Database, DatabasePolicy
from holdfast.errors import ReadOnlyError
from holdfast.pool import PoolPolicy

BODIES = "SELECT body FROM notes ORDER BY id"


class Base(DeclarativeBase):
    """A declarative base of the application's own."""


class Note(Base):
    """One row of the table that the fixtures make."""

    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[str]


class Right(Base):
    """A table whose columns are called like statements."""

    __tablename__ = "rights"

    id: Mapped[int] = mapped_column(primary_key=True)
    update: Mapped[bool]
    delete: Mapped[bool]


@pytest.fixture
async def note(any_db):
    """Give the one note that is stored."""
    async with any_db.begin() as session:
        session.add(note := Note(id=1, body="first"))
    return note


async def add(session):
    session.add(Note(id=2, body="second"))
    await session.flush()


async def add_without_flush(session):
    session.add(Note(id=2, body="second"))


async def change(session):
    (await session.get(Note, 1)).body = "changed"
    await session.flush()


async def change_without_flush(session):
    (await session.get(Note, 1)).body = "changed"


async def change_and_query(session):
    (await session.get(Note, 1)).body = "changed"
    await session.execute(select(Note))


async def remove(session):
    await session.delete(await session.get(Note, 1))


async def merge(session):
    await session.merge(Note(id=1, body="changed"))


async def bulk(session):
    await session.run_sync(lambda sync: sync.bulk_save_objects([Note(id=2, body="second")]))


async def many(session):
    await session.execute(insert(Note), [{"id": 2, "body": "a"}, {"id": 3, "body": "b"}])


async def savepoint(session):
    async with session.begin_nested():
        pass


async def through_the_connection(session):
    await (await session.connection()).execute(delete(Note.__table__))


async def as_driver_string(session):
    await (await session.connection()).exec_driver_sql("DELETE FROM notes")


def execute(statement):
    async def act(session):
        await session.execute(text(statement) if isinstance(statement, str) else statement)

    return act


WRITES = [
    add, add_without_flush, change, change_without_flush, change_and_query, remove, merge, bulk,
    many, savepoint, through_the_connection, as_driver_string,
    execute(insert(Note).values(id=2, body="second")),
    execute(insert(Note).values(id=2, body="second").returning(Note)),
    execute(update(Note).values(body="changed")),
    execute(delete(Note)),
    execute("WITH gone AS (DELETE FROM notes RETURNING id) SELECT * FROM gone"),
    execute("WITH a AS (SELECT 1) INSERT INTO notes VALUES (2, 'second')"),
    execute("SELECT * FROM notes FOR UPDATE"),
    execute("SELECT * FROM notes FOR NO KEY UPDATE"),
    execute("SELECT * FROM notes FOR SHARE"),
    execute("SELECT * FROM notes FOR /* this */ KEY SHARE"),
    execute("SELECT 1 AS a INTO other"),
    execute("EXPLAIN ANALYZE DELETE FROM notes"),
    execute("-- SELECT\nDELETE FROM notes"),
    execute("/* SELECT */ DELETE FROM notes"),
    execute("SELECT 'it''s'; DELETE FROM notes"),
    execute("SELECT 1; TRUNCATE notes"),
    execute(r"SELECT E'\'' AS a; DELETE FROM notes; --'"),
    execute("SELECT $$'$$ AS a; DELETE FROM notes; --'"),
    execute("SELECT 1 AS a$$ FROM notes; DELETE FROM notes; SELECT 1 AS b$$"),
    execute("/* a /* nested */ SELECT */ DELETE FROM notes"),
    execute("WITH a AS (SELECT 1) -- said\r DELETE FROM notes"),
    execute("EXPLAIN ANALYSE CREATE TABLE other AS SELECT 1"),
    execute("BEGIN"), execute("TRUNCATE notes"), execute("DROP TABLE notes"),
    execute("CREATE TABLE other (id int)"), execute("SET lock_timeout = 0"), execute("CALL p()"),
    execute("DO $$ BEGIN END $$"), execute("LOCK notes"), execute("COPY notes TO STDOUT"),
]  # fmt: skip
# What SQLAlchemy writes differently, or not at all, for SQLite.
POSTGRES_WRITES = [
    execute(select(Note).with_for_update()),
    execute(select(Note).with_for_update(read=True, key_share=True)),
    execute(select(update(Note).values(body="changed").returning(Note.id).cte())),
]


@pytest.mark.parametrize("snapshot", [False, True])
async def test_read_refuses_whatever_would_write(any_db, note, look, snapshot):
    """Each way to write is a ReadOnlyError before it reaches the server."""

    async def block(write):
        async with any_db.read(snapshot=snapshot) as session:
            await write(session)

    is_postgres = any_db.url.backend == "postgresql"
    for write in [*WRITES, *(POSTGRES_WRITES if is_postgres else [])]:
        with pytest.raises(ReadOnlyError, match=r"inside read\(\)"):
            await block(write)

    assert await look(BODIES) == ["first"]


async def test_read_reads(any_db, note):
    """Entities, columns, texts, CTEs, EXPLAIN and a locked word in quotes all pass."""
    async with any_db.read() as session:
        rows = select(Note).cte()
        assert (await session.get(Note, 1)).body == "first"
        assert (await session.scalars(select(Note))).one().id == 1
        assert await session.scalar(select(func.count()).select_from(rows)) == 1
        assert await session.scalar(text("  SELECT 'for update; delete' -- insert\n")) is not None
        assert (await session.execute(text("VALUES (1), (2)"))).scalars().all() == [1, 2]
        assert (await session.execute(text("SELECT 1;"))).scalar() == 1


async def test_columns_may_be_called_like_statements(any_db):
    """A table of rights with the columns `update` and `delete` can be read."""
    async with any_db.engine.begin() as connection:
        await connection.run_sync(Right.metadata.tables["rights"].create)
    async with any_db.begin() as session:
        session.add(Right(id=1, update=True, delete=False))

    async with any_db.read() as session:
        right = (await session.scalars(select(Right).where(Right.update))).one()

    assert (right.update, right.delete) == (True, False)


async def test_an_exception_of_the_block_is_not_replaced(any_db):
    """With changes left over, too, the block's own error comes out."""

    async def block():
        async with any_db.read() as session:
            session.add(Note(id=2, body="second"))
            raise LookupError

    with pytest.raises(LookupError):
        await block()


async def test_read_sees_what_is_committed_meanwhile(any_db, note):
    """Each statement sees the newest state, since there is no transaction."""
    async with any_db.read() as session:
        before = await session.scalar(select(func.count(Note.id)))
        async with any_db.begin() as other:
            other.add(Note(id=2, body="second"))
        after = await session.scalar(select(func.count(Note.id)))

    assert (before, after) == (1, 2)


async def test_a_snapshot_sees_one_moment(any_db, note):
    """What is committed meanwhile is not seen, also not by a second statement."""
    async with any_db.read(snapshot=True) as session:
        before = await session.scalar(select(func.count(Note.id)))
        async with any_db.begin() as other:
            other.add(Note(id=2, body="second"))
        after = await session.scalar(select(func.count(Note.id)))

    assert (before, after) == (1, 1)


async def test_the_server_enforces_a_snapshot(db):
    """It is a READ ONLY transaction at REPEATABLE READ, so functions cannot write either."""
    async with db.begin() as session:
        await session.execute(text("CREATE SEQUENCE numbers"))
    async with db.read(snapshot=True) as session:
        is_read_only = await session.scalar(text("SHOW transaction_read_only"))
        isolation = await session.scalar(text("SHOW transaction_isolation"))
    with pytest.raises(DBAPIError, match="read-only transaction"):
        async with db.read(snapshot=True) as session:
            await session.execute(text("SELECT nextval('numbers')"))

    assert (is_read_only, isolation) == ("on", "repeatable read")


async def test_a_view_with_more_options_is_a_snapshot_too(db):
    """Options that are added to the engine of a session take nothing away from it."""
    async with db.begin() as session:
        await session.execute(text("CREATE SEQUENCE numbers"))
    async with db.read(snapshot=True) as session:
        view = session.bind.execution_options(schema_translate_map={})
        with pytest.raises(DBAPIError, match="read-only transaction"):
            async with view.begin() as connection:
                await connection.execute(text("SELECT nextval('numbers')"))


async def test_an_error_of_setting_up_is_the_one_that_is_raised(db, monkeypatch):
    """A connection that could not be made READ ONLY is closed, and why is not hidden."""

    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(db.engine.dialect, "set_readonly", fail)

    with pytest.raises(ZeroDivisionError):
        async with db.read(snapshot=True) as session:
            await session.execute(text("SELECT 1"))


async def test_the_pool_does_not_remember_a_read(any_url, look):
    """On the one connection of a pool, a write after both kinds of read is a transaction again."""
    async with Database(any_url, policy=DatabasePolicy(pool=PoolPolicy(max_size=1))) as db:
        async with db.begin() as session:
            await session.execute(text("CREATE TABLE notes (id int, body text)"))
        for snapshot in (False, True, False):
            async with db.read(snapshot=snapshot) as session:
                await session.execute(select(Note))
            async with db.session() as session:
                await session.execute(text("INSERT INTO notes VALUES (1, 'undone')"))
                await session.rollback()
        async with db.begin() as session:
            await session.execute(text("INSERT INTO notes VALUES (2, 'second')"))

    assert await look(BODIES) == ["second"]


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_read_sends_its_statements_and_nothing_else(faults, driver):
    """On a warm connection two statements are two round trips, without BEGIN or COMMIT."""
    url = with_driver(faults.url, driver)

    async with Database(url) as db:

        async def read():
            async with db.read() as session:
                await session.execute(text("SELECT 1"))
                await session.execute(text("SELECT 2"))

        for _ in range(6):  # psycopg prepares what it has seen five times
            await read()
        faults.clear()
        await read()

        assert faults.transactions == []
        assert faults.round_trips == 2


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_begin_sends_one_begin_and_one_commit(faults, driver):
    """A write costs its statement and these two, and nothing for checking the connection."""
    url = with_driver(faults.url, driver)

    async with Database(url) as db:

        async def write():
            async with db.begin() as session:
                await session.execute(text("SELECT 1"))

        for _ in range(6):
            await write()
        faults.clear()
        await write()

        assert faults.transactions == ["BEGIN", "COMMIT"]
        assert faults.round_trips == 3


async def test_objects_are_usable_after_the_block(any_db, note):
    """What was read stays as it was read, with or without a transaction."""
    for snapshot in (False, True):
        async with any_db.read(snapshot=snapshot) as session:
            read = await session.get_one(Note, 1)
        assert (read.id, read.body) == (1, "first")


async def test_a_stream_without_a_transaction(db):
    """The driver's own words for it get a note with what to use."""
    async with db.read() as session:
        with pytest.raises(DBAPIError) as caught:
            await session.stream(text("SELECT 1"))

    assert caught.value.__notes__ == [
        "stream() needs a transaction: use read(snapshot=True) or begin(), or execute()"
    ]


async def test_large_results_stream_from_a_snapshot(any_db, note):
    """A cursor on the server lives in a transaction, which a snapshot is."""
    async with any_db.read(snapshot=True) as session:
        rows = await session.stream_scalars(select(Note).execution_options(yield_per=10))

        assert [each.body async for each in rows] == ["first"]
