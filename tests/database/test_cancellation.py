"""Cancelled at any moment, a unit of work is stored whole or not at all, and nothing leaks."""

import asyncio
import gc
import random
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import anyio
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from tests.database.conftest import with_driver

from holdfast.database import Database, DatabasePolicy
from holdfast.pool import PoolPolicy
from holdfast.testing.faults import Faults

UNITS = 120
STATE = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
IDLE_IN_TRANSACTION = STATE + " AND state LIKE 'idle in transaction%'"


async def write_pair(session, number):
    """Write two rows that belong together."""
    for half in ("a", "b"):
        await session.execute(text(f"INSERT INTO pairs VALUES ({number}, '{half}')"))
    return number


async def through_begin(db: Database, number: int) -> None:
    async with db.begin() as session:
        await write_pair(session, number)


async def through_run(db: Database, number: int) -> None:
    await db.run(write_pair, number)


async def through_commit(db: Database, number: int) -> None:
    async with db.session() as session:
        await write_pair(session, number)
        await session.commit()


async def through_read(db: Database, number: int) -> None:
    async with db.read(snapshot=number % 2 == 0) as session:
        await session.execute(text("SELECT * FROM pairs"))


async def through_ping(db: Database, number: int) -> None:
    await db.ping()


WAYS = [through_begin, through_run, through_commit, through_read, through_ping]


async def turns(number: int) -> None:
    """Let the loop turn so often, which is a moment that no clock decides."""
    for _ in range(number):
        await asyncio.sleep(0)


async def cancel_midway(unit: Callable[[], Awaitable[None]], after: int) -> bool:
    """Start the unit, cancel it after so many turns, and tell whether it had finished."""
    task = asyncio.ensure_future(unit())
    await turns(after)
    task.cancel()
    [ended] = await asyncio.gather(task, return_exceptions=True)
    if isinstance(ended, Exception):
        raise ended
    return not isinstance(ended, asyncio.CancelledError)


async def at_every_moment(
    unit: Callable[[int], Awaitable[None]],
) -> AsyncIterator[tuple[int, bool]]:
    """Cancel units, each after more turns than the one before, until some have finished.

    Later moments are further apart: for a server's answer the loop may turn hundreds of times.
    """
    number = after = finished = 0
    while finished < 3:
        done = await cancel_midway(partial(unit, number), after)
        yield number, done
        number, after, finished = number + 1, after + 1 + after // 16, finished + done


async def until(fact: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what goes on in the background: a server's goodbye, a connection on its way."""
    async with asyncio.timeout(10):
        while not await fact():
            pass


async def until_all_are_back(db: Database) -> None:
    async def fact() -> bool:
        await asyncio.sleep(0)
        return db.engine.pool.checkedout() == 0

    await until(fact)


async def only_one(look) -> bool:
    """Tell whether the asker's own connection is the only one to the database."""
    return await look(STATE) == [1]


@pytest.mark.parametrize("way", WAYS)
async def test_nothing_leaks_and_nothing_is_half(postgres_url, look, way):
    """After a storm of cancellations the pool is whole, and no pair of rows is torn."""
    chance = random.Random(7)
    policy = DatabasePolicy(pool=PoolPolicy(max_size=4, ping_after=0))
    async with Database(postgres_url, policy=policy) as db:
        async with db.begin() as session:
            await session.execute(text("CREATE TABLE pairs (number int, half text)"))

        finished = await asyncio.gather(
            *(
                cancel_midway(lambda number=number: way(db, number), chance.randrange(120))
                for number in range(UNITS)
            )
        )

        await until_all_are_back(db)
        async with asyncio.timeout(10):
            while await look(IDLE_IN_TRANSACTION) != [0]:  # one may be closing yet
                pass
        torn = await look("SELECT number FROM pairs GROUP BY number HAVING count(*) <> 2")
        assert torn == []
        stored = set(await look("SELECT number FROM pairs"))
        acknowledged = {number for number, done in enumerate(finished) if done}
        assert way in {through_read, through_ping} or acknowledged <= stored
        await asyncio.gather(*(way(db, UNITS + number) for number in range(8)))

    await until(partial(only_one, look))


def open_below(folder: Path) -> list[Path]:
    """List the files of a folder that this process has open."""
    return [each for each in Path("/dev/fd").iterdir() if folder in each.resolve().parents]


async def ask_in_begin(db: Database) -> None:
    async with db.begin() as session:
        await session.execute(text("SELECT 1"))


@pytest.fixture
def without_gc():
    """Keep what is in a circle of references, as a service does until its next collection."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_gc")
@pytest.mark.parametrize("way", [Database.open, ask_in_begin])
async def test_a_connection_on_its_way_is_not_forgotten(postgres_url, look, way):
    """Cancelled at any moment of connecting, the server is not left with a session of nobody."""
    db = Database(postgres_url)

    async for _ in at_every_moment(lambda _: way(db)):
        await db.close()

    await until(partial(only_one, look))


@pytest.mark.usefixtures("without_gc")
async def test_no_file_of_sqlite_stays_open(tmp_path):
    """Cancelled at any moment of opening it, neither file nor thread are left."""
    before = set(threading.enumerate())

    for number in range(30):
        db = Database(f"sqlite:///{tmp_path}/notes.db")
        task = asyncio.ensure_future(db.open())
        await turns(number)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await db.close()

    left = [each for each in set(threading.enumerate()) - before if "worker_thread" in each.name]
    for each in left:
        await asyncio.to_thread(each.join, 5)
    assert not any(each.is_alive() for each in left)
    gc.collect()  # SQLite keeps a closed file open for a cursor that nobody has taken away yet
    assert open_below(tmp_path) == []


async def test_every_moment_of_one_unit(any_url, look):
    """Cancelled after each number of turns in order, one unit never leaves half of itself."""
    async with Database(any_url, policy=DatabasePolicy(pool=PoolPolicy(max_size=1))) as db:
        async with db.begin() as session:
            await session.execute(text("CREATE TABLE pairs (number int, half text)"))

        ends = [end async for end in at_every_moment(partial(through_begin, db))]

        assert db.engine.pool.checkedout() == 0
        assert await look("SELECT number FROM pairs GROUP BY number HAVING count(*) <> 2") == []
        stored = set(await look("SELECT number FROM pairs"))
        assert {number for number, done in ends if done} <= stored


async def with_autocommit(db: Database) -> None:
    connection = await db.engine.connect()
    try:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
    finally:
        await connection.close()


async def with_options(db: Database) -> None:
    session = AsyncSession(db.engine)
    try:
        options = {
            "isolation_level": "SERIALIZABLE",
            "postgresql_readonly": True,
            "postgresql_deferrable": True,
        }
        await session.connection(execution_options=options)
    finally:
        await session.close()


@pytest.mark.usefixtures("without_gc")
@pytest.mark.parametrize("way", [with_autocommit, with_options])
async def test_a_connection_that_is_set_up_or_back_is_not_forgotten(
    database_url, look, way, monkeypatch
):
    """Cancelled while psycopg sets AUTOCOMMIT or its like, it does not wait for the collector.

    psycopg lets the loop turn there where the loop was busy before: here, each time. `async with`
    closes in a task of its own, `close()` in that of the caller.
    """
    policy = DatabasePolicy(pool=PoolPolicy(max_size=1))
    async with Database(with_driver(database_url, "psycopg"), policy=policy) as db:
        for moment in range(100):
            task = asyncio.ensure_future(way(db))
            turned = cancel_at_turn_of_psycopg(task, moment, monkeypatch)
            [ended] = await asyncio.gather(task, return_exceptions=True)
            await until_all_are_back(db)
            if ended is None and turned() <= moment:
                break

        assert ended is None

    await until(partial(only_one, look))


def cancel_at_turn_of_psycopg(task, moment, monkeypatch) -> Callable[[], int]:
    """Cancel the task at the so-many-th turn that psycopg takes in it; give their number."""
    taken = 0

    async def turn(_seconds: float) -> None:
        nonlocal taken
        if asyncio.current_task() is task:
            taken += 1
            if taken == moment + 1:
                task.cancel()
        await asyncio.sleep(0)

    monkeypatch.setattr("psycopg.waiting.MAX_BUSY_TIME", 0)
    monkeypatch.setattr("psycopg.waiting.sleep", turn)
    return lambda: taken


async def test_a_cancelled_group_leaves_nothing_open(db, look):
    """When one task of a group fails, the others are rolled back with it."""

    async def write(number):
        async with db.begin() as session:
            await session.execute(text(f"INSERT INTO notes VALUES ({number}, '{number}')"))
            await (asyncio.Event().wait() if number else session.execute(text("SELECT 1/0")))

    async def write_together():
        async with asyncio.TaskGroup() as group:
            for number in (1, 2, 3, 0):
                group.create_task(write(number))

    with pytest.raises(ExceptionGroup) as caught:
        await write_together()

    assert caught.group_contains(DBAPIError)
    assert await look("SELECT count(*) FROM notes") == [0]
    assert await look(IDLE_IN_TRANSACTION) == [0]


async def test_a_connection_that_died_while_idle_is_replaced(postgres_url, look):
    """After the server ended every connection of the pool, the next units do not notice."""
    policy = DatabasePolicy(pool=PoolPolicy(max_size=3, ping_after=0))
    async with Database(postgres_url, policy=policy) as db:
        await asyncio.gather(*(db.ping() for _ in range(3)))
        await look(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

        assert all(await asyncio.gather(*(db.ping() for _ in range(6))))


async def test_closing_while_a_unit_runs_leaves_no_connection(postgres_url, look):
    """The unit ends as it would have, and its connection is closed afterwards."""
    db = Database(postgres_url)
    async with db:
        async with db.begin() as session:
            await session.execute(text("CREATE TABLE pairs (number int, half text)"))
        async with db.begin() as session:
            await session.execute(text("SELECT 1"))
            await db.close()
            await write_pair(session, 1)

    assert await look("SELECT count(*) FROM pairs") == [2]
    await until(partial(only_one, look))


async def test_who_waited_for_a_closed_pool_leaves_no_connection(postgres_url, look):
    """Their connection belongs to a pool that is gone, and is closed with their unit."""
    db = Database(postgres_url, policy=DatabasePolicy(pool=PoolPolicy(max_size=1)))
    begun, going_on = asyncio.Event(), asyncio.Event()

    async def unit() -> None:
        async with db.begin() as session:
            await session.execute(text("SELECT 1"))
            begun.set()
            await going_on.wait()

    units = [asyncio.create_task(unit()) for _ in range(3)]
    await begun.wait()
    await db.close()
    going_on.set()
    await asyncio.gather(*units)
    await db.close()

    await until(partial(only_one, look))


async def test_a_cancelled_close_goes_on(postgres_url, look):
    """The database is closed all the same, and can be used again."""
    for moment in range(20):
        db = Database(postgres_url, policy=DatabasePolicy(pool=PoolPolicy(max_size=2)))
        await db.open()
        await cancel_midway(db.close, moment)
        await asyncio.gather(db.ping(), db.ping())
        await db.close()

    await until(partial(only_one, look))


async def test_a_cancelled_scope_ends_its_statement_on_the_server(postgres_url, look):
    """By TCP too, where asking for that takes several turns, each of which anyio cancels."""
    sleeping = f"{STATE} AND query = 'SELECT pg_sleep(30)'"

    async def sleeps(number: int) -> bool:
        return await look(f"{sleeping} AND state = 'active'") == [number]

    async def sleep() -> None:
        async with db.begin() as session:
            await session.execute(text("SELECT pg_sleep(30)"))

    with Faults(postgres_url) as faults:
        async with Database(faults.url) as db:
            async with anyio.create_task_group() as group:
                group.start_soon(sleep)
                await until(partial(sleeps, 1))
                group.cancel_scope.cancel()
            await until(partial(sleeps, 0))


async def test_rows_sent_together_are_cancelled_together(postgres_url, look, caplog):
    """Sent by psycopg as a pipeline, which cannot be left while the server is at work on it."""
    slowly = text("INSERT INTO pairs SELECT :number, 'a' FROM pg_sleep(1)")
    working = f"{STATE} AND state = 'active' AND query LIKE 'INSERT INTO pairs SELECT%'"

    async def works(number: int) -> bool:
        return await look(working) == [number]

    async with Database(postgres_url) as db:
        async with db.begin() as session:
            await session.execute(text("CREATE TABLE pairs (number int, half text)"))

        async def unit() -> None:
            async with db.begin() as session:
                await session.execute(slowly, [{"number": number} for number in range(20)])

        task = asyncio.create_task(unit())
        await until(partial(works, 1))
        task.cancel()
        await asyncio.wait({task})

        assert task.cancelled()
        await until(partial(works, 0))
        assert await look("SELECT number FROM pairs") == []
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


async def test_cancelled_while_the_server_cannot_be_asked(postgres_url, caplog):
    """A server that takes no more connections, as one that stops, is no error of the log's."""

    async def sent() -> bool:
        await asyncio.sleep(0)
        return any("pg_sleep" in sql for sql in faults.statements)

    with Faults(postgres_url) as faults:
        async with Database(faults.url) as db, db.read() as session:
            sleeping = asyncio.create_task(session.execute(text("SELECT pg_sleep(1)")))
            await until(sent)
            faults.refuse()
            sleeping.cancel()
            await asyncio.gather(sleeping, return_exceptions=True)

    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
