"""SQLite keeps transactions, foreign keys and waiting as PostgreSQL does."""

import asyncio
import subprocess
import sys

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.database import Database, DatabasePolicy
from holdfast.errors import TransactionAbortedError, TransactionOwnedError
from holdfast.pool import PoolPolicy

# One interpreter that becomes eight processes: starting eight would take ten times as long.
OPEN_AND_ADD = """
import asyncio, multiprocessing, sys
from sqlalchemy import text
from holdfast.database import Database

async def main():
    async with Database(sys.argv[1]) as db:
        for _ in range(5):
            async with db.begin() as session:
                await session.execute(text("CREATE TABLE IF NOT EXISTS counts (n int)"))
                await session.execute(text("INSERT INTO counts VALUES (1)"))

def add(_):
    asyncio.run(main())

with multiprocessing.get_context("fork").Pool(8) as pool:
    pool.map(add, range(8), chunksize=1)
"""

# A loop of another thread asks and is closed, and only then the statement ends.
ASK_AND_LEAVE = """
import asyncio, sys, threading
from sqlalchemy import text
from holdfast.database import Database

begun, go = threading.Event(), threading.Event()

async def ask(driver):
    await driver.create_function("wait", 0, lambda: begun.set() or go.wait())
    asked = asyncio.create_task(driver.execute("SELECT wait()"))
    await asyncio.to_thread(begun.wait)
    asked.cancel()

async def main():
    async with Database(sys.argv[1]) as db, db.engine.connect() as connection:
        raw = await connection.get_raw_connection()
        await asyncio.to_thread(asyncio.run, ask(raw.driver_connection))
        go.set()
        print(await connection.scalar(text("SELECT 1")))

asyncio.run(main())
"""


@pytest.fixture(params=["file", "memory"])
async def db(request, tmp_path):
    """Give a database with one count in it, once as a file and once in memory."""
    url = f"sqlite:///{tmp_path}/a.db" if request.param == "file" else "sqlite://"
    async with Database(url) as each:
        async with each.begin() as session:
            await session.execute(text("CREATE TABLE counts (n int)"))
            await session.execute(text("INSERT INTO counts VALUES (0)"))
        yield each
        assert each.engine.pool.checkedout() == 0


async def test_a_rollback_takes_nothing_of_others_along(db):
    """One task's rollback leaves what another has written, in memory too."""

    async def write(number):
        async with db.begin() as session:
            await session.execute(text(f"INSERT INTO counts VALUES ({number})"))
            await asyncio.sleep(0)
            if number % 2:
                raise LookupError

    await asyncio.gather(*map(write, range(10, 20)), return_exceptions=True)

    async with db.read() as session:
        rows = await session.scalars(text("SELECT n FROM counts ORDER BY n"))
        assert rows.all() == [0, 10, 12, 14, 16, 18]


async def test_ddl_and_savepoints_are_rolled_back(db):
    """The driver's own transactions would have committed at both."""

    async def write():
        async with db.begin() as session:
            async with session.begin_nested():
                await session.execute(text("UPDATE counts SET n = 7"))
            await session.execute(text("CREATE TABLE other (n int)"))
            raise LookupError

    with pytest.raises(LookupError):
        await write()

    async with db.read() as session:
        assert await session.scalar(text("SELECT n FROM counts")) == 0
        tables = await session.scalars(text("SELECT name FROM sqlite_master"))
        assert tables.all() == ["counts"]


async def test_foreign_keys_are_enforced(db):
    """A child without a parent is refused."""
    async with db.begin() as session:
        await session.execute(text("CREATE TABLE parents (id integer PRIMARY KEY)"))
        await session.execute(text("CREATE TABLE children (parent int REFERENCES parents)"))

    with pytest.raises(IntegrityError):
        async with db.begin() as session:
            await session.execute(text("INSERT INTO children VALUES (1)"))


async def test_in_memory_there_is_one_connection():
    """It is the database, so all tasks take turns on it, and the data stays."""
    policy = DatabasePolicy(pool=PoolPolicy(max_size=5, timeout=0.05))
    for url in ("sqlite://", "sqlite:///:memory:", "sqlite:///file:a?mode=memory&uri=true"):
        async with Database(url, policy=policy) as db:
            assert db.engine.pool.size() == 1


def test_eight_processes_may_open_a_new_file_at_once(tmp_path):
    """Each sets it up and writes; nobody fails and nothing is lost."""
    url = f"sqlite:///{tmp_path}/a.db"
    command = [sys.executable, "-c", OPEN_AND_ADD, url]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    async def count():
        async with Database(url) as db, db.read() as session:
            return await session.scalar(text("SELECT count(*) FROM counts"))

    assert ended.stderr == ""
    assert asyncio.run(count()) == 40


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///file:{way}?mode=memory&cache=shared&uri=true"]
)
@pytest.mark.parametrize("way", ["begin", "read"])
async def test_a_database_in_memory_outlives_a_cancelled_statement(url, way):
    """SQLAlchemy gives up the connection then, and with it would go everything."""
    slow = text(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
        " SELECT i FROM n LIMIT 9000000, 1"
    )

    async def wait(db: Database) -> None:
        async with getattr(db, way)() as session:
            await session.execute(slow)

    # A name for each, as the cancelled statement of one may keep it until Python's collector comes.
    async with Database(url.format(way=way)) as db:
        async with db.begin() as session:
            await session.execute(text("CREATE TABLE notes (body text)"))
            await session.execute(text("INSERT INTO notes VALUES ('kept')"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wait(db), timeout=0.05)

        async with db.read() as session:
            assert await session.scalar(text("SELECT body FROM notes")) == "kept"


async def _write_around_a_rollback(session: AsyncSession) -> None:
    """Write, let SQLite itself roll back, and go on."""
    await session.execute(text("INSERT INTO notes VALUES (2)"))
    with pytest.raises(IntegrityError):
        await session.execute(text("INSERT OR ROLLBACK INTO notes VALUES (1)"))


async def test_what_sqlite_rolled_back_is_not_taken_for_stored(tmp_path):
    """After it has rolled back by itself, nothing more is written, and COMMIT fails."""
    async with Database(f"sqlite:///{tmp_path}/a.db") as db:
        async with db.begin() as session:
            await session.execute(text("CREATE TABLE notes (id integer PRIMARY KEY)"))
            await session.execute(text("INSERT INTO notes VALUES (1)"))

        async with db.session() as plain:
            await _write_around_a_rollback(plain)
            with pytest.raises(TransactionAbortedError):
                await plain.execute(text("INSERT INTO notes VALUES (3)"))
            with pytest.raises(TransactionAbortedError):
                await plain.commit()
        with pytest.raises((TransactionAbortedError, TransactionOwnedError)):
            await db.run(_write_around_a_rollback)

        async with db.begin() as session:
            await session.execute(text("INSERT INTO notes VALUES (4)"))
        async with db.read() as session:
            assert list(await session.scalars(text("SELECT id FROM notes"))) == [1, 4]


async def test_a_closed_database_is_one_file(tmp_path):
    """What was committed is in the file itself, so that a copy of it has everything."""
    async with Database(f"sqlite:///{tmp_path}/a.db") as db, db.begin() as session:
        await session.execute(text("CREATE TABLE notes (id integer)"))

    assert [file.name for file in tmp_path.iterdir()] == ["a.db"]


async def test_a_cursor_that_was_not_read_to_its_end_keeps_no_lock(tmp_path):
    """A task cancelled between a statement and its rows may be looked at for long after."""
    policy = DatabasePolicy(lock_timeout=0.1)
    async with Database(f"sqlite:///{tmp_path}/a.db", policy=policy) as db:
        async with db.begin() as session:
            await session.execute(text("CREATE TABLE counts (n int)"))
            await session.execute(text("INSERT INTO counts VALUES (1), (2), (3)"))
        async with db.engine.connect() as connection:
            await connection.execute(text("DELETE FROM counts"))
            raw = await connection.get_raw_connection()
            cursor = await raw.driver_connection.execute("SELECT 1 UNION ALL SELECT 2")
            assert await cursor.fetchone() == (1,)
            await connection.invalidate()

        async with db.begin() as session:
            await session.execute(text("INSERT INTO counts VALUES (4)"))
            assert await session.scalar(text("SELECT sum(n) FROM counts")) == 10
        del cursor


def test_a_statement_may_outlive_its_loop(tmp_path):
    """Nothing is printed about its answer, and its connection goes on and can be closed."""
    command = [sys.executable, "-c", ASK_AND_LEAVE, f"sqlite:///{tmp_path}/a.db"]

    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert (ended.stdout, ended.stderr) == ("1\n", "")
