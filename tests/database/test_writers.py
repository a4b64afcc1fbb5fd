"""Many writers on SQLite: none loses an update, none fails for the others, readers go on."""

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from holdfast.database import Database, DatabasePolicy
from holdfast.database.beginning import _is_locked
from holdfast.errors import PoolExhaustedError
from holdfast.pool import PoolPolicy

ROOT = Path(__file__).parents[2]
WRITERS = 50
READ = text("SELECT n FROM counts")
WAYS = ("begin", "run", "session", "engine")

# One interpreter that becomes two processes; each task reads, thinks and writes, in another way.
COUNT_IN_TWO = """
import asyncio, multiprocessing, sys
from holdfast.database import Database
from tests.database.test_writers import WAYS, count_up

async def main():
    async with Database(sys.argv[1]) as db:
        ways = [WAYS[number % len(WAYS)] for number in range(25)]
        await asyncio.gather(*(count_up(db, way, seconds=float(sys.argv[2])) for way in ways))

def count(_):
    asyncio.run(main())

with multiprocessing.get_context("fork").Pool(2) as pool:
    pool.map(count, range(2), chunksize=1)
"""


async def count_up(db, way, *, seconds=0.0):
    """Read, think and write, in one transaction."""

    async def work(session):
        number = await session.scalar(READ)
        await asyncio.sleep(seconds)
        await session.execute(text(f"UPDATE counts SET n = {number + 1}"))

    if way == "run":
        await db.run(work)
    elif way == "session":
        async with db.session() as session:
            await work(session)
            await session.commit()
    else:
        async with db.begin() if way == "begin" else db.engine.begin() as session:
            await work(session)


async def count(db):
    async with db.read() as session:
        return await session.scalar(READ)


@contextmanager
def locked(url):
    """Have another program write to the file."""
    program = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    program.execute("BEGIN IMMEDIATE")
    yield program
    program.close()


@pytest.fixture
async def url(tmp_path):
    """Give a file with one count in it."""
    url = f"sqlite:///{tmp_path}/a.db"
    async with Database(url) as db:
        await make(db)
    return url


async def make(db):
    async with db.begin() as session:
        await session.execute(text("CREATE TABLE counts (n int)"))
        await session.execute(text("INSERT INTO counts VALUES (0)"))


@pytest.mark.parametrize("way", WAYS)
async def test_fifty_writers_lose_nothing(url, way):
    """However long each waits for the others, which is no matter of lock_timeout."""
    policy = DatabasePolicy(lock_timeout=0.02)
    async with Database(url, policy=policy) as db:
        await asyncio.gather(*(count_up(db, way, seconds=0.002) for _ in range(WRITERS)))

        assert await count(db) == WRITERS


@pytest.mark.parametrize("way", WAYS)
async def test_fifty_writers_in_memory_lose_nothing(way):
    """They share one connection, and each has its transaction to itself."""
    async with Database("sqlite://") as db:
        await make(db)
        await asyncio.gather(*(count_up(db, way) for _ in range(WRITERS)))

        assert await count(db) == WRITERS


@pytest.mark.parametrize("seconds", [0, 0.02])
async def test_two_processes_with_25_writers_each_lose_nothing(url, seconds):
    """None of them is starved by the other process, which hardly ever lets go of the file."""
    command = [sys.executable, "-c", COUNT_IN_TWO, url, str(seconds)]
    ended = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=False, cwd=ROOT
    )

    assert ended.stderr == ""
    async with Database(url) as db:
        assert await count(db) == 2 * 25


async def test_writers_come_in_the_order_of_asking(url):
    """First come, first served, also where many wait."""
    served = []

    async def write(db, number):
        async with db.begin() as session:
            await session.execute(READ)
            served.append(number)

    async with Database(url) as db:
        await asyncio.gather(*(write(db, number) for number in range(WRITERS)))

    assert served == list(range(WRITERS))


async def test_readers_go_on_beside_a_writer_and_those_who_wait(url):
    """They see what was there before, and need not wait for fifty others."""
    policy = DatabasePolicy(pool=PoolPolicy(max_size=2))
    async with Database(url, policy=policy) as db, db.begin() as writer:
        await writer.execute(text("UPDATE counts SET n = 70"))
        waiting = [asyncio.create_task(count_up(db, way)) for way in WAYS * 12]
        await asyncio.sleep(0)

        assert await count(db) == 0
        async with db.read(snapshot=True) as session:
            assert await session.scalar(READ) == 0
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


@pytest.mark.parametrize("url", ["sqlite://", "file"])
@pytest.mark.parametrize("way", ["begin", "session"])
async def test_a_task_that_waits_for_itself_is_told_so_at_once(tmp_path, url, way):
    """Its own transaction would have to end first; the error names its line."""
    url = f"sqlite:///{tmp_path}/a.db" if url == "file" else url
    async with Database(url) as db:
        await make(db)
        async with db.begin() as session:
            await session.execute(READ)
            with pytest.raises(PoolExhaustedError) as caught:
                async with getattr(db, way)() as other:
                    await other.execute(READ)
        assert "which would wait for itself" in str(caught.value)
        assert f"{__file__}:" in str(caught.value)

        await count_up(db, "begin")
        assert await count(db) == 1


async def test_another_programs_lock_is_waited_for(url):
    """And the file is ours once it is free; a lock_timeout of 0 is no limit."""
    policy = DatabasePolicy(lock_timeout=0)
    async with Database(url, policy=policy) as db:
        with locked(url) as program:
            waiting = asyncio.create_task(count_up(db, "begin"))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            program.execute("COMMIT")
        await waiting

        assert await count(db) == 1


@pytest.mark.parametrize("way", WAYS)
async def test_a_lock_that_is_not_given_up_is_told_with_what_to_do(url, way):
    """SQLAlchemy's error has a note; nothing is stored, and the pool is whole."""
    policy = DatabasePolicy(lock_timeout=0.05)
    async with Database(url, policy=policy) as db:
        with locked(url), pytest.raises(OperationalError, match="locked") as caught:
            await count_up(db, way)
        assert "raise DatabasePolicy.lock_timeout" in caught.value.__notes__[0]
        assert db.engine.pool.checkedout() == 0

        await count_up(db, way)
        assert await count(db) == 1


async def test_a_statement_that_is_its_own_transaction_waits_as_long(url):
    """Also on a connection that has begun others before."""
    policy = DatabasePolicy(pool=PoolPolicy(max_size=1))
    async with Database(url, policy=policy) as db:
        await count_up(db, "begin")
        with locked(url) as program:
            asyncio.get_running_loop().call_later(0.1, program.execute, "COMMIT")
            async with db.engine.connect() as connection:
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                await connection.execute(text("UPDATE counts SET n = n + 1"))

        assert await count(db) == 2


@pytest.mark.parametrize(
    ("code", "waits"),
    [
        (sqlite3.SQLITE_BUSY, True),
        (sqlite3.SQLITE_BUSY_RECOVERY, True),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, False),
        (sqlite3.SQLITE_FULL, False),
    ],
)
def test_what_goes_by_itself_is_waited_for(code, waits):
    """A writer, and a process that recovers the file after a crash; not what stays as it is."""
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = code

    assert _is_locked(error) is waits


async def test_a_connection_whose_begin_was_refused_begins_again(url):
    """What it does next is in a transaction, too, and can be rolled back."""
    policy = DatabasePolicy(lock_timeout=0.05)
    async with Database(url, policy=policy) as db, db.engine.connect() as connection:
        with locked(url), pytest.raises(OperationalError, match="locked"):
            await connection.execute(READ)
        await connection.execute(text("UPDATE counts SET n = 7"))
        await connection.rollback()

        assert await count(db) == 0


async def test_who_waits_for_the_lock_can_be_cancelled(url):
    """Nothing waits on in a thread, and the database can be closed."""
    policy = DatabasePolicy(lock_timeout=3600)
    with locked(url):
        async with asyncio.timeout(30), Database(url, policy=policy) as db:
            waiting = asyncio.create_task(count_up(db, "begin"))
            await asyncio.sleep(0.05)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting


async def test_a_transaction_that_began_by_reading_is_told_why_it_cannot_write(url):
    """Only one that somebody began himself can come to that, in AUTOCOMMIT."""
    async with Database(url) as db, db.engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("BEGIN"))
        await connection.execute(READ)
        with locked(url) as program:
            program.execute("UPDATE counts SET n = 8")
            program.execute("COMMIT")
        with pytest.raises(OperationalError, match="locked") as caught:
            await connection.execute(text("UPDATE counts SET n = 7"))

    assert "begin it as a writer" in caught.value.__notes__[0]
