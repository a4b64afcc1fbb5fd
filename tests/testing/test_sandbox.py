"""One transaction around a production database: everything works in it, and nothing stays."""

import asyncio
import gc
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, event, inspect, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from holdfast.database import Database
from holdfast.errors import (
    InvalidValueError,
    ReadOnlyError,
    SandboxError,
    TransactionAbortedError,
    TransactionOwnedError,
)
from holdfast.testing.sandbox import Sandbox
from holdfast.urls import parse

TABLES = (
    "CREATE TABLE notes (id integer PRIMARY KEY)",
    """CREATE TABLE replies (id integer PRIMARY KEY,
        note integer REFERENCES notes DEFERRABLE INITIALLY DEFERRED)""",
)
NOTES = Table("notes", MetaData(), Column("id", Integer, primary_key=True))
POSTGRES = ("asyncpg", "psycopg")
on_postgres = pytest.mark.parametrize("url", POSTGRES, indirect=True)


@pytest.fixture(params=[*POSTGRES, "sqlite"])
async def url(request, tmp_path) -> str:
    """Give a database with notes and replies, once for each driver."""
    if request.param == "sqlite":
        found = f"sqlite:///{tmp_path}/notes.db"
    else:
        owner = request.getfixturevalue("clone").owner
        found = owner.replace("postgresql://", f"postgresql+{request.param}://")
    async with Database(found) as db, db.engine.begin() as connection:
        for table in TABLES:
            await connection.execute(text(table))
    return found


@pytest.fixture
async def sandbox(url) -> AsyncIterator[Sandbox]:
    """Give a sandbox, and see that nothing got out of it."""
    made = Sandbox(Database(url))
    yield made
    await made.roll_back()
    await made.close()
    assert await stored(url) == []


@pytest.fixture
def db(sandbox) -> Database:
    """Give the database in the sandbox."""
    return sandbox.db


async def stored(url):
    """Look from outside."""
    engine = create_async_engine(parse(url).engine, poolclass=NullPool)
    async with engine.connect() as connection:
        return list(await connection.scalars(text("SELECT id FROM notes ORDER BY id")))


async def add(session, *ids, table="notes (id)"):
    for number in ids:
        await session.execute(text(f"INSERT INTO {table} VALUES ({number})"))


async def notes(db):
    async with db.read() as session:
        return list(await session.scalars(text("SELECT id FROM notes ORDER BY id")))


async def begin_and_fail(db):
    async with db.begin() as session:
        await add(session, 2)
        raise RuntimeError("changed my mind")


async def add_in_savepoint(session, *ids):
    async with session.begin_nested():
        await add(session, *ids)


async def tell_the_driver(session, sql):
    raw = await (await session.connection()).get_raw_connection()
    await raw.driver_connection.execute(sql)


async def end_behind_the_session(db):
    async with db.session() as session:
        await tell_the_driver(session, "ROLLBACK")


async def fail_and_commit(db):
    async with db.session() as session:
        await add(session, 1)
        with pytest.raises(IntegrityError):
            await add(session, 1)
        await session.commit()


async def cut_off(db):
    async with db.session() as session:
        await session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        await session.execute(text("SELECT 1"))


async def test_what_is_committed_is_seen_inside_only(db, url):
    """A commit is one for all later sessions of the test, and for nobody else."""
    async with db.begin() as session:
        await add(session, 1)

    assert await notes(db) == [1]
    if not url.startswith("sqlite"):  # where readers would wait for the writer
        assert await stored(url) == []


async def test_what_is_rolled_back_is_gone(db):
    """A block that fails takes its own writes back, and none before it."""
    async with db.begin() as session:
        await add(session, 1)
    with pytest.raises(RuntimeError, match="changed my mind"):
        await begin_and_fail(db)

    assert await notes(db) == [1]


async def test_a_session_commits_and_rolls_back_by_itself(db):
    """A plain session's commits stay, and what it neither committed nor kept goes."""
    async with db.session() as session:
        await add(session, 1)
        await session.commit()
        await add(session, 2)
        await session.rollback()
        await add(session, 3)

    assert await notes(db) == [1]


async def test_savepoints_work(db):
    """A savepoint that fails takes back what is in it."""
    async with db.begin() as session:
        await add(session, 1)
        with pytest.raises(IntegrityError):
            await add_in_savepoint(session, 2, 1)

    assert await notes(db) == [1]


async def test_run_and_a_snapshot(db):
    """`run` commits, and a snapshot reads it."""
    await db.run(add, 1)

    async with db.read(snapshot=True) as session:
        assert await session.scalar(text("SELECT id FROM notes")) == 1


async def test_values_are_looked_at(db):
    """Before they are sent, as without a sandbox; it can be used on."""
    async with db.begin() as session:
        with pytest.raises(InvalidValueError, match=r"notes\.id does not fit into 32 bits"):
            await session.execute(NOTES.insert(), {"id": 2**31})
        await session.execute(NOTES.insert(), {"id": 1})
        assert await session.scalar(text("SELECT count(*) FROM notes")) == 1


async def test_a_connection_of_the_engine(db):
    """Code that works with the engine is in the same transaction."""
    async with db.engine.begin() as connection:
        await connection.execute(text("INSERT INTO notes VALUES (1)"))

    assert await notes(db) == [1]


async def test_tasks_of_a_library_are_told_as_such(db):
    """Where nobody's own line asks for a connection, the message says so."""
    async with db.begin() as session:
        await add(session, 1)
        with pytest.raises(SandboxError, match=r"started \(_select\) asks for it"):
            await db.ping()


async def test_each_rolling_back_begins_anew(sandbox, db):
    """After each test the database is as before, on the same connection."""
    for _ in range(3):
        assert await notes(db) == []
        await db.run(add, 1)
        await sandbox.roll_back()


async def test_a_deferred_constraint_is_checked_at_each_commit(db):
    """What COMMIT would refuse, it refuses here; what is deferred is still deferred afterwards."""
    for _ in range(2):
        async with db.begin() as session:
            await add(session, "1, 1", table="replies")
            await add(session, 1)
        async with db.begin() as session:
            await session.execute(text("DELETE FROM replies"))
            await session.execute(text("DELETE FROM notes"))

    with pytest.raises(IntegrityError, match=r"(?i)foreign key"):
        await db.run(add, "2, 2", table="replies")
    async with db.read() as session:
        assert await session.scalar(text("SELECT count(*) FROM replies")) == 0


@on_postgres
async def test_a_failed_statement_cannot_be_ignored(db):
    """A commit that PostgreSQL would answer with ROLLBACK raises here too."""
    with pytest.raises(TransactionAbortedError):
        await fail_and_commit(db)

    assert await notes(db) == []


async def test_transactions_are_still_owned(db):
    """What production refuses, the sandbox refuses."""
    async with db.begin() as session:
        with pytest.raises(TransactionOwnedError):
            await session.commit()
    async with db.read() as session:
        with pytest.raises(ReadOnlyError):
            await add(session, 1)


@on_postgres
async def test_a_snapshot_cannot_write(db):
    """READ ONLY is in force, for its transaction only."""
    await db.run(add, 1)
    async with db.read(snapshot=True) as session:
        with pytest.raises(Exception, match="read-only transaction"):
            await tell_the_driver(session, "INSERT INTO notes VALUES (2)")

    await db.run(add, 3)
    assert await notes(db) == [1, 3]


@on_postgres
async def test_each_statement_of_autocommit_is_kept(db):
    """A statement that fails takes back itself alone, and a later rollback nothing."""
    async with db.engine.connect() as connection:
        alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await alone.execute(text("INSERT INTO notes VALUES (1)"))
        with pytest.raises(IntegrityError):
            await alone.execute(text("INSERT INTO notes VALUES (1)"))
        await alone.execute(text("INSERT INTO notes VALUES (2)"))
        await alone.rollback()

    assert await notes(db) == [1, 2]


async def test_what_the_driver_does_is_in_the_transaction(db):
    """A statement of the driver's own as the first act in a block is taken back with it."""
    async with db.session() as session:
        await tell_the_driver(session, "INSERT INTO notes VALUES (1)")
        await session.rollback()

    assert await notes(db) == []


async def test_closing_the_database_keeps_what_was_committed(db):
    """A test that closes and opens the database finds what it had committed."""
    await db.run(add, 1)
    await db.close()
    await db.open()

    assert await notes(db) == [1]


@on_postgres
async def test_constraints_of_new_tables_are_deferred_too(db):
    """A table that the test makes itself, and takes away again, changes nothing of this."""
    late = TABLES[1].replace("replies", "answers")
    await db.run(add, 1)
    async with db.engine.begin() as connection:
        await connection.execute(text(late))
    for _ in range(2):
        async with db.begin() as session:
            await session.execute(text("DELETE FROM answers"))
            await add(session, "1, 5", table="answers")
            await session.execute(text("DELETE FROM answers"))
    async with db.engine.begin() as connection:
        await connection.execute(text("DROP TABLE answers"))

    await db.run(add, 2)
    assert await notes(db) == [1, 2]


@on_postgres
@pytest.mark.parametrize(
    ("change", "table"),
    [("ALTER TABLE replies RENAME CONSTRAINT replies_note_fkey TO other", "replies"),
     ("ALTER SCHEMA public RENAME TO other", "other.replies"),
     ("CREATE SCHEMA other; ALTER TABLE replies SET SCHEMA other", "other.replies"),
     ("ALTER TABLE replies RENAME TO other", "other"),
     ("ALTER TABLE replies ALTER CONSTRAINT replies_note_fkey NOT DEFERRABLE", ""),
     ("DROP TABLE replies", "")],
)  # fmt: skip
async def test_constraints_that_change_are_deferred_for_one_test(sandbox, db, change, table):
    """What a test does to a constraint counts in its commits, and not in those of the next."""
    await db.run(add, 1)
    async with db.begin() as session:
        for each in change.split("; "):
            await session.execute(text(each))
    if table:
        await refuse_an_answer_to_nothing(db, table)
    await sandbox.roll_back()

    await refuse_an_answer_to_nothing(db, "replies")


async def refuse_an_answer_to_nothing(db, table):
    async def answer(session):
        await add(session, "1, 5", table=table)
        assert await session.scalar(text("SELECT 1"))  # it was not refused yet

    with pytest.raises(IntegrityError, match="foreign key"):
        await db.run(answer)


@on_postgres
async def test_a_deferred_constraint_may_share_its_name_with_one_that_is_not(db):
    """The two cannot be set apart by their name, and commits go on."""
    async with db.engine.begin() as connection:
        for table, when in [("now", "NOT DEFERRABLE"), ("later", "INITIALLY DEFERRED")]:
            column = f"note int CONSTRAINT names REFERENCES notes {when}"
            await connection.execute(text(f"CREATE TABLE {table} ({column})"))

    await db.run(add, 1)
    assert await notes(db) == [1]


async def test_two_at_once_are_told_apart(db):
    """Two sessions at once are an error that names both lines and the mark."""
    async with db.begin() as session:
        await add(session, 1)
        with pytest.raises(SandboxError, match="two connections at once") as error:
            await notes(db)
        await add(session, 2)

    assert str(error.value).count(__file__) == 2
    assert '@pytest.mark.holdfast(isolation="database")' in str(error.value)
    assert await notes(db) == [1, 2]


async def test_two_tasks_at_once_are_told_apart(db):
    """One of two tasks goes on, the other one says why it cannot."""
    done = await asyncio.gather(db.run(add, 1), db.run(add, 2), return_exceptions=True)

    assert [type(each) for each in done if each] == [SandboxError]
    assert len(await notes(db)) == 1


@on_postgres
async def test_locks_and_settings_end_with_the_test(sandbox, db, url):
    """What belongs to the session rather than the transaction is not there in the next test."""
    async with db.session() as session:
        await session.execute(
            text("SELECT pg_advisory_lock(7), set_config('app.name', 'x', false)")
        )
        await session.commit()
    await sandbox.roll_back()

    async with db.session() as session:
        assert await session.scalar(text("SELECT current_setting('app.name', true)")) != "x"
    async with Database(url) as outside, outside.session() as session:
        assert await session.scalar(text("SELECT pg_try_advisory_lock(7)"))


@on_postgres
async def test_a_cancelled_statement_is_explained(sandbox, db):
    """The connection is lost, with what was on it: that is said, and the next test has another."""
    await db.run(add, 1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05), db.begin() as session:
            await session.execute(text("SELECT pg_sleep(30)"))

    with pytest.raises(SandboxError, match="cancelled in the middle of a statement"):
        await notes(db)
    await sandbox.roll_back()
    assert await notes(db) == []


@on_postgres
async def test_a_connection_that_was_cut_off_is_replaced(sandbox, db):
    """A test that loses its connection fails alone."""
    with pytest.raises(DBAPIError):
        await cut_off(db)

    await sandbox.roll_back()
    await db.run(add, 1)
    assert await notes(db) == [1]


@on_postgres
async def test_an_idle_connection_that_was_cut_off_is_replaced(sandbox, db, url):
    """A connection that ended between two tests is none of the next one's business."""
    async with db.session() as session:
        number = await session.scalar(text("SELECT pg_backend_pid()"))
    async with Database(url) as outside, outside.session() as session:
        await session.execute(text(f"SELECT pg_terminate_backend({number}, 5000)"))

    await sandbox.roll_back()
    await db.run(add, 1)
    assert await notes(db) == [1]


@on_postgres
async def test_a_transaction_ended_by_the_driver_is_an_error(sandbox, db):
    """What may be stored for real is said at once, and at the end of the test."""
    with pytest.raises(SandboxError, match="ended by a COMMIT or ROLLBACK"):
        await end_behind_the_session(db)

    with pytest.raises(SandboxError, match="ended by a COMMIT or ROLLBACK"):
        await sandbox.roll_back()


async def test_a_connection_that_is_kept_is_taken_away(sandbox, db):
    """A session that was never closed cannot reach into the next test."""
    leaked = db.session()
    await add(leaked, 1)
    assert [each.file for each in sandbox.checkouts.callers] == [__file__]

    await sandbox.roll_back()
    with pytest.raises(Exception, match=r"closed|lost|no active connection"):
        await add(leaked, 2)
    assert await notes(db) == []


async def test_a_connection_that_is_forgotten_disturbs_nobody(sandbox, db, recwarn):
    """A session that nobody has any more is not complained about in a later test."""
    await add(db.session(), 1)
    await sandbox.roll_back()
    gc.collect()

    assert await notes(db) == []
    assert [str(each.message) for each in recwarn.list] == []


@pytest.mark.parametrize("first", [False, True])
async def test_what_the_driver_does_before_any_session_is_taken_back(sandbox, db, url, first):
    """It is in the transaction too, and a COMMIT of its own is noticed."""
    if not first:
        await db.run(add, 1)
        await sandbox.roll_back()
    async with db.engine.connect() as connection:
        raw = await connection.get_raw_connection()
        await raw.driver_connection.execute("INSERT INTO notes VALUES (2)")

    await sandbox.roll_back()
    assert await stored(url) == await notes(db) == []


@pytest.mark.parametrize("url", ["psycopg", "sqlite"], indirect=True)
async def test_a_commit_of_the_driver_is_an_error(sandbox, db):
    """A method of the driver's connection ends the transaction as its SQL would."""
    await notes(db)
    await sandbox.roll_back()
    async with db.engine.connect() as connection:
        raw = await connection.get_raw_connection()
        await raw.driver_connection.commit()

    with pytest.raises(SandboxError, match="was ended"):
        await sandbox.roll_back()


async def test_a_beginning_that_is_cancelled_is_explained(sandbox, db, monkeypatch):
    """Whether it has begun is not known, and the next test gets another connection."""
    await db.run(add, 1)
    await sandbox.roll_back()

    def cancel(_connection):
        raise asyncio.CancelledError

    with monkeypatch.context() as patched:
        patched.setattr(type(sandbox._connection), "begin_real", cancel)
        with pytest.raises(asyncio.CancelledError):
            await notes(db)
    with pytest.raises(SandboxError, match="was closed"):
        await notes(db)

    await sandbox.roll_back()
    assert await notes(db) == []


@on_postgres
@pytest.mark.parametrize("sql", ["COMMIT AND CHAIN", "COMMIT; BEGIN", "ROLLBACK; BEGIN"])
async def test_another_transaction_is_noticed(sandbox, db, sql):
    """One that was begun behind the sandbox's back is not taken for its own."""
    with pytest.raises(SandboxError, match="was ended"):
        await commit_after(db, sql)

    with pytest.raises(SandboxError, match="was ended"):
        await sandbox.roll_back()


async def commit_after(db, sql):
    async with db.session() as session:
        await tell_the_driver(session, sql)
        await session.commit()


@on_postgres
async def test_two_phases_are_refused(db):
    """PREPARE TRANSACTION would end the one that everything is in."""
    async with db.engine.connect() as connection:
        with pytest.raises(SandboxError, match="PREPARE TRANSACTION"):
            await connection.run_sync(Connection.begin_twophase)


@pytest.mark.parametrize("automatic", [False, True])
@on_postgres
async def test_what_is_set_when_connecting_stays(sandbox, db, automatic, url):
    """As in production, where every connection has it."""

    @event.listens_for(db.engine.sync_engine, "connect")
    def set_up(connection, _entry):
        before, connection.autocommit = connection.autocommit, automatic
        cursor = connection.cursor()
        cursor.execute("SET application_name = 'scales'")
        cursor.close()
        connection.autocommit = before
        if not automatic:
            connection.commit()

    for _ in range(3):
        async with db.begin() as session:
            assert await session.scalar(text("SHOW application_name")) == "scales"
            await session.execute(text("SET application_name = 'another'"))
        await sandbox.roll_back()


@on_postgres
@pytest.mark.parametrize(
    "ddl",
    ["CREATE TYPE kind AS ENUM ('a'); CREATE TABLE kinds (it kind); INSERT INTO kinds VALUES (:k)",
     "/* once */ CREATE TABLE kinds (kind text); INSERT INTO kinds VALUES (:k)",
     "PREPARE kinds AS SELECT 1; SELECT :k"],
)  # fmt: skip
async def test_what_was_made_can_be_made_again(sandbox, db, ddl):
    """Nothing is remembered of a table, a type or a statement that was taken back."""
    for _ in range(2):
        async with db.engine.begin() as connection:
            for sql in ddl.split("; "):
                await connection.execute(text(sql), {"k": "a"} if ":k" in sql else {})
        await sandbox.roll_back()


@on_postgres
async def test_autocommit_keeps_what_gave_rows(db):
    """RETURNING is kept by itself too, and checked."""
    async with db.engine.connect() as connection:
        alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
        kept = await alone.execute(text("INSERT INTO notes VALUES (1) RETURNING id"))
        assert kept.all() == [(1,)]
        with pytest.raises(IntegrityError, match="foreign key"):
            await alone.execute(text("INSERT INTO replies VALUES (1, 5) RETURNING id"))

    assert await notes(db) == [1]


@on_postgres
@pytest.mark.parametrize(
    ("sql", "values"),
    [("SET LOCAL shop.tenant = '7'", {}),
     ("SET LOCAL shop.tenant TO '7'", {}),
     ("SELECT set_config('shop.tenant', '7', true)", {}),
     ("SELECT set_config('shop.tenant', CAST(:value AS text), :local)",
      {"value": "7", "local": True}),
     ("SELECT set_config(:name, concat('7', ''), true)", {"name": "shop.tenant"}),
     ("SELECT set_config(:name, '7', true)", [{"name": "shop.other"}, {"name": "shop.tenant"}])],
)  # fmt: skip
async def test_what_is_set_for_a_transaction_ends_with_it(db, sql, values):
    """The next transaction has what was set before, as after COMMIT."""
    show = text("SELECT current_setting('shop.tenant', true)")
    for before in ("", "3"):
        async with db.engine.begin() as connection:
            await connection.execute(text(f"SET shop.tenant = '{before}'"))
        async with db.engine.begin() as connection:
            await connection.execute(text(sql), values)
            assert (await connection.execute(show)).scalar() == "7"
        async with db.engine.begin() as connection:
            assert (await connection.execute(show)).scalar() == before


@on_postgres
async def test_what_is_set_for_the_session_stays(db):
    """A commit ends what is LOCAL alone."""
    async with db.engine.begin() as connection:
        await connection.execute(text("SELECT set_config('shop.tenant', '7', false)"))
    async with db.engine.begin() as connection:
        shown = await connection.execute(text("SELECT current_setting('shop.tenant', true)"))
        assert shown.scalar() == "7"


@on_postgres
async def test_read_only_is_for_one_connection(db):
    """Who writes after a connection that could only read can."""
    async with db.engine.connect() as connection:
        reading = await connection.execution_options(postgresql_readonly=True)
        await reading.execute(text("SELECT 1"))
        await reading.commit()

    await db.run(add, 1)
    assert await notes(db) == [1]


@on_postgres
async def test_a_cursor_before_the_first_statement_is_in_its_transaction(db):
    """One rollback takes back all, whoever began."""
    async with db.engine.connect() as connection:
        await connection.run_sync(insert_by_cursor)
        await connection.execute(text("INSERT INTO notes VALUES (2)"))
        await connection.rollback()

    assert await notes(db) == []


def insert_by_cursor(connection):
    cursor = connection.connection.cursor()
    cursor.execute("INSERT INTO notes VALUES (1)")
    cursor.close()


@on_postgres
async def test_a_name_of_two_constraints_defers_neither_more_than_before(db):
    """One that waits for COMMIT shares its name with one that waits only if told."""
    async with db.engine.begin() as connection:
        for table, when in [("at_once", "DEFERRABLE"), ("later", "INITIALLY DEFERRED")]:
            column = f"note int CONSTRAINT names REFERENCES notes {when}"
            await connection.execute(text(f"CREATE TABLE {table} ({column})"))
    async with db.begin() as session:
        with pytest.raises(IntegrityError):
            async with session.begin_nested():
                await session.execute(text("INSERT INTO at_once VALUES (5)"))


@pytest.mark.parametrize("url", ["asyncpg"], indirect=True)
async def test_a_constraint_in_a_schema_that_the_role_cannot_use(url, clone):
    """It does not stand in the way of commits."""
    async with Database(url) as owner, owner.engine.begin() as connection:
        for sql in (
            "CREATE SCHEMA hidden",
            "CREATE TABLE hidden.of_all (note int REFERENCES notes INITIALLY DEFERRED)",
            "GRANT ALL ON notes TO app",
        ):
            await connection.execute(text(sql))
    sandbox = Sandbox(Database(clone.app))
    await sandbox.db.run(add, 1)
    assert await notes(sandbox.db) == [1]
    await sandbox.roll_back()
    await sandbox.close()


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_a_schema_can_be_inspected(db):
    """PRAGMAs that answer do so."""
    async with db.engine.connect() as connection:
        columns = await connection.run_sync(lambda it: inspect(it).get_columns("notes"))

    assert [column["name"] for column in columns] == ["id"]
