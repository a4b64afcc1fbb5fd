"""What may happen to a SQLite file and its connections, and what is stored then."""

import asyncio
import gc
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from holdfast.database import Database, DatabasePolicy
from holdfast.errors import TransactionAbortedError
from holdfast.pool import PoolPolicy

COUNT = text("SELECT count(*) FROM notes")

# Says each number once it is committed, in both tables.
ADD_AND_SAY = """
import asyncio, itertools, sys
from sqlalchemy import text
from holdfast.database import Database

async def main():
    async with Database(sys.argv[1]) as db:
        for number in itertools.count(int(sys.argv[2])):
            async with db.begin() as session:
                await session.execute(text(f"INSERT INTO notes VALUES ({number})"))
                await session.execute(text(f"INSERT INTO others VALUES ({number})"))
            print(number, flush=True)

asyncio.run(main())
"""

# The loop that the database was opened in has ended, and a child goes on with another.
FORK = """
import asyncio, os, sys
from sqlalchemy import text
from holdfast.database import Database

db = Database(sys.argv[1])

async def add():
    async with db.begin() as session:
        await session.execute(text("INSERT INTO notes VALUES (1)"))

asyncio.run(add())
child = os.fork()
asyncio.run(add())
if child:
    print(os.waitpid(child, 0)[1])
    asyncio.run(add())
    asyncio.run(db.close())
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.db"


@pytest.fixture
async def db(file: Path):
    """Give a file with an empty table of notes; in the end no connection is in use."""
    async with Database(f"sqlite:///{file}") as db:
        await make(db)
        yield db
        assert db.engine.pool.checkedout() == 0


async def make(db):
    async with db.begin() as session:
        await session.execute(text("CREATE TABLE notes (id int)"))
        await session.execute(text("CREATE TABLE others (id int)"))


async def add(db, number=1):
    async with db.begin() as session:
        await session.execute(text(f"INSERT INTO notes VALUES ({number})"))


async def count(db):
    async with db.read() as session:
        return await session.scalar(COUNT)


# How it is set up


@pytest.mark.parametrize(
    ("name", "value"), [("journal_mode", "wal"), ("foreign_keys", 1), ("synchronous", 2)]
)
async def test_each_connection_is_set_up(db, name, value):
    """What was committed survives a power failure, too: `synchronous` is FULL."""
    query = text(f"SELECT * FROM pragma_{name}")
    async with db.begin() as session, db.read() as other:
        assert [await each.scalar(query) for each in (session, other)] == [value, value]


async def test_autocommit_stores_each_statement(db):
    """As on PostgreSQL; afterwards the driver still begins nothing by itself."""
    async with db.engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("INSERT INTO notes VALUES (1)"))
        raw = await connection.get_raw_connection()
        driver = raw.driver_connection
        assert await count(db) == 1
    async with db.session() as session:
        await session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
        await session.execute(text("INSERT INTO notes VALUES (2)"))

    assert (await count(db), driver.isolation_level) == (2, None)


@pytest.mark.parametrize("how", ["AUTOCOMMIT", "read"])
async def test_without_a_transaction_an_error_ends_nothing(db, how):
    """The next statement is as good as the first one."""
    async with db.read() if how == "read" else db.engine.connect() as connection:
        if how == "AUTOCOMMIT":
            await connection.execution_options(isolation_level=how)
        with pytest.raises(OperationalError, match="no such table"):
            await connection.execute(text("SELECT * FROM elsewhere"))

        assert await connection.scalar(COUNT) == 0


async def test_isolation_levels_that_sqlite_has_can_be_asked_for(db):
    """SERIALIZABLE is what it does anyway, in a transaction that can be rolled back."""
    async with db.engine.connect() as connection:
        await connection.execution_options(isolation_level="SERIALIZABLE")
        await connection.execute(text("INSERT INTO notes VALUES (1)"))
        raw = await connection.get_raw_connection()
        assert raw.driver_connection.isolation_level is None
        await connection.rollback()

    assert await count(db) == 0


# Cursors


@pytest.mark.parametrize("options", [{}, {"no_parameters": True}])
@pytest.mark.parametrize("way", ["read", "begin", "session"])
async def test_a_stream_that_was_not_read_to_its_end_shows_nobody_the_past(file, way, options):
    """Its connection is the only one here, and the next who has it sees what is there now."""
    policy = DatabasePolicy(pool=PoolPolicy(max_size=1))
    async with Database(f"sqlite:///{file}", policy=policy) as db:
        await make(db)
        for number in range(3):
            await add(db, number)
        async with getattr(db, way)() as session:
            rows = await session.stream(text("SELECT id FROM notes"), execution_options=options)
            assert (await rows.fetchone())[0] == 0
        with sqlite3.connect(file) as program:
            program.execute("DELETE FROM notes")

        assert await count(db) == 0
        await add(db)
        assert await count(db) == 1


@pytest.mark.filterwarnings("ignore:The garbage collector:sqlalchemy.exc.SAWarning")
async def test_a_stream_that_was_forgotten_is_found_by_the_garbage_collector(db, caplog):
    """No error is logged of its end, and the next writer has its turn."""
    connection = await db.engine.connect()
    rows = await connection.stream(text("SELECT 1 UNION ALL SELECT 2"))
    assert await rows.fetchone() == (1,)
    del connection, rows
    gc.collect()

    await add(db)
    assert "Exception during reset" not in caplog.text


# The file


async def fill(session):
    """Write more than there is room for."""
    for size in (9_000, 30_000):
        await session.execute(text(f"INSERT INTO others VALUES (randomblob({size}))"))


async def test_a_file_that_was_removed_is_not_written_to(db, file):
    """SQLite itself would go on in what nobody can see any more, and tell of no error."""
    file.unlink()

    with pytest.raises(OperationalError, match="no such table"):
        await add(db)


async def test_a_file_that_was_replaced_is_the_one_that_is_used(db, file, tmp_path):
    """A backup that was put in its place has what is written from now on."""
    await add(db)
    async with Database(f"sqlite:///{tmp_path}/backup.db") as backup:
        await make(backup)
        for number in range(10):
            await add(backup, number)
    for each in tmp_path.glob("a.db*"):
        each.unlink()
    (tmp_path / "backup.db").rename(file)

    await add(db)

    assert await count(db) == 11
    assert sqlite3.connect(file).execute("SELECT count(*) FROM notes").fetchone() == (11,)


async def test_a_file_that_is_removed_during_a_transaction_cannot_be_committed(db, file):
    """It would be told as stored, and be nowhere."""

    async def work(session):
        await session.execute(text("INSERT INTO notes VALUES (1)"))
        file.unlink()

    with pytest.raises(TransactionAbortedError, match="was removed, or replaced"):
        await db.run(work)


@pytest.mark.parametrize("mode", ["wal", "delete"])
async def test_a_database_that_is_only_read(db, file, mode):
    """Whatever journal it has, which cannot be changed there."""
    await add(db)
    await db.close()
    with sqlite3.connect(file) as program:
        program.execute(f"PRAGMA journal_mode={mode}")
    program.close()

    async with Database(f"sqlite:///file:{file}?mode=ro&uri=true") as reading:
        assert await count(reading) == 1
        with pytest.raises(OperationalError, match="readonly"):
            await add(reading)


async def test_a_full_disk_undoes_the_block_and_no_more(db):
    """What was there before stays, and there is more room when something was deleted."""

    @event.listens_for(db.engine.sync_engine, "connect")
    def limit(connection, _entry):
        cursor = connection.cursor()
        cursor.execute("PRAGMA max_page_count = 8")
        cursor.close()

    await db.engine.dispose()
    await add(db)
    with pytest.raises(OperationalError, match="full"):
        await db.run(fill)
    await add(db)

    async with db.read() as session:
        assert await session.scalar(text("SELECT count(*) FROM others")) == 0
    assert await count(db) == 2


# Processes


def kill_after(rows, url, first):
    """Let a process write from this number on, kill it, and count what it said."""
    command = [sys.executable, "-c", ADD_AND_SAY, url, str(first)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for _ in range(rows):
        process.stdout.readline()
    process.kill()
    rest, _ = process.communicate()
    return rows + len(rest.split())


async def test_what_was_acknowledged_survives_kill_9(db, file):
    """Both tables have each number that was said, and at most one more, which was not yet."""
    first = 0
    for rows in (1, 7, 30):
        said = await asyncio.to_thread(kill_after, rows, f"sqlite:///{file}", first)
        async with db.read() as session:
            stored = list(await session.scalars(text("SELECT id FROM notes ORDER BY id")))
            others = list(await session.scalars(text("SELECT id FROM others ORDER BY id")))
        assert stored == others == list(range(len(stored)))
        assert first + said <= len(stored) <= first + said + 1
        first = len(stored)


async def test_a_forked_process_makes_connections_of_its_own(db, file):
    """Those of its parent have no threads there, and are left alone."""
    command = [sys.executable, "-c", FORK, f"sqlite:///{file}"]
    ended = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=False, timeout=60
    )

    assert (ended.stdout, ended.stderr) == ("0\n", "")
    assert await count(db) == 4
