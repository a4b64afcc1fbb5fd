"""Loops that end, connections that are forgotten, pools that are closed under their callers."""

import asyncio
import gc
import threading
import warnings

import pytest
from sqlalchemy import text
from tests.pool.serving import opened, until

from holdfast.database import Database, DatabasePolicy, PrimaryLost
from holdfast.errors import WrongLoopError
from holdfast.pool import PoolPolicy

ONE = DatabasePolicy(pool=PoolPolicy(min_size=0, max_size=1, timeout=5))


async def ask(db: Database) -> int:
    async with db.read() as session:
        return int(await session.scalar(text("SELECT 1")))


@pytest.fixture(params=["asyncpg", "psycopg", "sqlite"])
def any_url(request, tmp_path) -> str:
    """Give a database for each driver."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/any.db"
    url = request.getfixturevalue("database_url")
    return url.replace("postgresql://", f"postgresql+{request.param}://", 1)


def test_one_loop_after_the_other(any_url):
    """What the loop before has left is not used, and leaves no warning behind."""
    db = Database(any_url, policy=ONE)

    for _ in range(3):
        assert asyncio.run(ask(db)) == 1
    asyncio.run(db.close())

    gc.collect()


def test_a_session_of_a_loop_that_ended_brings_nothing_back(database_url):
    """Closed in the next loop, its connection is not lent to anybody."""
    db = Database(database_url, policy=ONE)

    async def leave():
        return await db.engine.connect()

    left = asyncio.run(leave())

    async def go_on() -> None:
        assert await ask(db) == 1
        await left.close()
        assert db.engine.pool.checkedin() <= 1
        assert await ask(db) == 1
        await db.close()

    asyncio.run(go_on())


async def test_a_loop_that_still_lives(postgres_url):
    """Using the database from another thread's loop meanwhile is said to be the mistake."""
    async with opened(postgres_url) as db:
        caught: list[BaseException] = []

        def elsewhere() -> None:
            try:
                asyncio.run(ask(db))
            except WrongLoopError as error:
                caught.append(error)

        await asyncio.to_thread(elsewhere)
        assert await ask(db) == 1

    [error] = caught
    assert "another event loop" in str(error)


@pytest.mark.parametrize("where", ["here", "another thread"])
async def test_a_forgotten_connection_frees_its_place(postgres_url, witness, where):
    """Python's garbage collector finds it; the next caller is served by a new one."""
    db = Database(postgres_url, policy=ONE)

    async def forget() -> None:
        connection = await db.engine.connect()
        await connection.execute(text("SELECT 1"))
        connection.sync_connection.cycle = connection.sync_connection

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.disable()
        try:
            await forget()
            assert db.engine.pool.checkedout() == 1
            waits = asyncio.create_task(ask(db))
            await asyncio.sleep(0)
            if where == "here":
                gc.collect()
            else:
                thread = threading.Thread(target=gc.collect)
                thread.start()
                thread.join()
        finally:
            gc.enable()
    assert await waits == 1
    await until(lambda: db.engine.pool.size() == 1)
    await witness.until_count(1)
    await db.close()


async def test_disposed_by_its_user_it_keeps_warm(postgres_url, witness):
    """`engine.dispose()` replaces the connections; callers who have one or wait end as always."""
    async with opened(postgres_url, min_size=2, max_size=3) as db:
        await witness.until_count(2)
        before, gate = await witness.pids(), asyncio.Event()
        old = db.engine.pool

        async def hold() -> None:
            async with db.begin() as session:
                await session.execute(text("SELECT 1"))
                await gate.wait()

        holding = [asyncio.create_task(hold()) for _ in range(5)]
        await until(lambda: old.checkedout() == 3 and len(old.waiting()) == 2)
        await db.engine.dispose()
        assert await ask(db) == 1
        gate.set()
        await asyncio.gather(*holding)

        await until(lambda: old.size() == 0)
        await witness.until_count(2)
        assert not before & await witness.pids()


async def test_left_without_closing_it_goes_by_itself(postgres_url, witness):
    """After `dispose(close=False)` the old pool serves who has something of it, and ends."""
    async with opened(postgres_url, min_size=1, max_size=3, max_lifetime=0.3) as db:
        await witness.until_count(1)
        old = db.engine.pool

        await db.engine.dispose(close=False)

        await until(lambda: old.size() == 0)
        assert await ask(db) == 1


async def test_a_demoted_server_is_left_with_all_of_its_age(postgres_url, witness):
    """25006 retires its connection and the older ones; a younger one stays."""
    told = []
    async with opened(postgres_url, told.append, min_size=0, max_size=4) as db:
        gate = asyncio.Event()
        pids: list[int] = []

        async def hold(demoted: bool) -> None:
            async with db.engine.connect() as connection:
                pids.append(await connection.scalar(text("SELECT pg_backend_pid()")))
                await gate.wait()
                if demoted:
                    await connection.execute(text("SET default_transaction_read_only = on"))
                    await connection.commit()
                    with pytest.raises(Exception, match="read-only"):
                        await connection.execute(text("CREATE TABLE x (y int)"))

        tasks = []
        for number in range(3):
            tasks.append(asyncio.create_task(hold(number == 1)))
            await until(lambda: len(pids) == len(tasks))
        gate.set()
        await asyncio.gather(*tasks)
        async with db.engine.connect() as connection:
            assert await connection.scalar(text("SELECT pg_backend_pid()")) == pids[2]
            async with db.engine.connect() as other:
                assert await other.scalar(text("SELECT pg_backend_pid()")) not in pids

        assert sum(isinstance(each, PrimaryLost) for each in told) == 1
        kept = await witness.pids()
        assert pids[2] in kept
        assert not {pids[0], pids[1]} & kept


async def test_a_snapshot_that_may_not_write_tells_nothing_of_the_server(postgres_url):
    """The READ ONLY of `read(snapshot=True)` was asked for: nothing is retired."""
    told = []
    async with opened(postgres_url, told.append, max_size=1) as db:
        async with db.begin() as session:
            await session.execute(text("CREATE SEQUENCE numbers"))
        before = await ask_pid(db)
        with pytest.raises(Exception, match="read-only"):
            async with db.read(snapshot=True) as session:
                await session.execute(text("SELECT nextval('numbers')"))
        assert await ask_pid(db) == before

    assert not [each for each in told if isinstance(each, PrimaryLost)]


async def ask_pid(db: Database) -> int:
    async with db.read() as session:
        return int(await session.scalar(text("SELECT pg_backend_pid()")))
