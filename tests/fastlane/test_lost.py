"""Lost connections and cancelled tasks: errors are SQLAlchemy's, and nothing is left behind."""

import asyncio

import pytest
from sqlalchemy import Integer, String, cast, func, literal, select, text
from sqlalchemy.exc import DBAPIError
from tests.fastlane.conftest import Card, Kind

from holdfast import fastlane

OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
RUNNING = f"{OTHERS} AND state <> 'idle'"
SLEEP = select(func.pg_sleep(30).label("number"))
SERIES = func.generate_series(1, 10_000, type_=Integer).table_valued("number").render_derived()
# A row takes the server a millisecond, so that what happens meets it at work.
MANY = select(SERIES.c.number).where(cast(func.pg_sleep(0.001), String).is_not(None))
PID = select(func.pg_backend_pid().label("number"))


def number(number):
    return number


def rows(count=10_000):
    return [{"name": str(each), "kind": Kind.BEAST, "data": {}} for each in range(count)]


async def fetching(session, reached):
    reached()
    await fastlane.fetch(session, SLEEP, into=number)


async def streaming(session, reached):
    async for row in fastlane.stream(session, MANY, into=number, batch=10):
        if row == 5:
            reached()
        await asyncio.sleep(0)


async def copying_in(session, reached):
    async def long():
        for _ in range(80):
            for row in rows(500):
                yield row
            reached()
            await asyncio.sleep(0)

    await fastlane.copy_in(session, Card, long())


async def copying_out(session, reached):
    async def sink(_piece):
        reached()
        await asyncio.sleep(0)

    many = select(func.generate_series(1, 1_000_000_000).label("number"))
    await fastlane.copy_out(session, many, sink)


WAYS = [fetching, streaming, copying_in, copying_out]


async def until(fact):
    """Wait for what the server does in its own time."""
    async with asyncio.timeout(10):
        while not await fact():  # noqa: ASYNC110  -- a server sets no event
            await asyncio.sleep(0.01)


async def begun(db, way, outside):
    """Start one in a transaction, and give its task and process once the server is at it."""
    reached, pid = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def work():
        async with db.begin() as session:
            session.add(Card(name="first", kind=Kind.SPELL, data={}))
            pid.set_result(await fastlane.fetch_one(session, PID, into=number))
            await way(session, reached.set)

    task = asyncio.create_task(work())
    await asyncio.wait([task, asyncio.create_task(reached.wait())], return_when="FIRST_COMPLETED")

    async def is_running():
        return task.done() or await outside.fetchval(RUNNING) > 0

    await until(is_running)
    return task, await pid


async def require_clean(db, outside):
    """Nothing was stored, runs, or is taken; and the next one works."""

    async def is_quiet():
        return await outside.fetchval(RUNNING) == 0

    await until(is_quiet)
    assert db.engine.pool.checkedout() == 0
    assert await outside.fetchval("SELECT count(*) FROM cards") == 0
    async with db.begin() as session:
        assert await fastlane.fetch_one(session, select(literal(7).label("number")), into=number)


@pytest.mark.parametrize("way", WAYS)
async def test_a_terminated_back_end(db, outside, way):
    """The error is one to retry on, and the connection is not used again."""
    task, pid = await begun(db, way, outside)

    await outside.execute("SELECT pg_terminate_backend($1)", pid)
    with pytest.raises(DBAPIError) as error:
        await task

    assert error.value.connection_invalidated
    assert isinstance(error.value.orig, db.engine.dialect.loaded_dbapi.Error)
    await require_clean(db, outside)
    async with db.begin() as session:
        assert await fastlane.fetch_one(session, PID, into=number) != pid


async def test_copying_ends_when_the_connection_is_lost(db, outside):
    """A source without an end is not read for ever."""

    async def endless():
        number = 0
        while True:
            number += 1
            yield {"name": "x", "kind": Kind.BEAST, "data": {}}
            if number == 1000:
                await outside.execute("SELECT pg_terminate_backend($1)", pid)

    async def work():
        nonlocal pid
        async with db.begin() as session:
            pid = await fastlane.fetch_one(session, PID, into=number)
            await fastlane.copy_in(session, Card, endless())

    pid = 0
    with pytest.raises(DBAPIError) as error:
        await asyncio.wait_for(work(), 30)

    assert error.value.connection_invalidated
    await require_clean(db, outside)


@pytest.mark.parametrize("way", WAYS)
async def test_a_cancelled_task(db, outside, way):
    """The statement ends on the server, and the pool has no half-used connection."""
    task, _ = await begun(db, way, outside)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await require_clean(db, outside)


async def test_a_cancelled_task_on_the_engine(db, outside):
    """The connection that was taken for the statement is given up with it."""
    task = asyncio.create_task(fastlane.fetch(db.engine, SLEEP, into=number))

    async def is_running():
        return await outside.fetchval(RUNNING) > 0

    await until(is_running)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await require_clean(db, outside)


@pytest.mark.parametrize("way", WAYS)
async def test_a_cancelled_statement_is_told_by_its_code(db, outside, way):
    """A statement that the server ends leaves the connection as it is."""
    task, pid = await begun(db, way, outside)

    async def is_cancelled():
        await outside.execute("SELECT pg_cancel_backend($1)", pid)
        return task.done()

    await until(is_cancelled)
    with pytest.raises(DBAPIError) as error:
        await task

    assert error.value.orig.sqlstate == "57014"
    assert not error.value.connection_invalidated
    await require_clean(db, outside)


async def test_cancelled_at_any_moment(db, outside):
    """Hundreds of times, in turn in all ways: nothing leaks."""
    await asyncio.gather(*(cancelled(db, turn) for turn in range(200)))

    await require_clean(db, outside)


async def cancelled(db, turn):
    async def work():
        async with db.begin() as session:
            await session.execute(text("SELECT 1"))
            await WAYS[turn % len(WAYS)](session, lambda: None)

    task = asyncio.create_task(work())
    for _ in range(turn):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
