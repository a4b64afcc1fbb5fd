"""What cannot be connected to: who waits is told at once, and a server is not stormed."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import event, text
from sqlalchemy.util import greenlet_spawn
from tests.pool.faking import Clock, FakeServer, check_out, clocked, fake_pool, turns
from tests.pool.serving import opened, until

from holdfast.database import Database, DatabasePolicy
from holdfast.errors import PoolExhaustedError, UnavailableError
from holdfast.pool import PoolPolicy
from holdfast.urls import parse


def with_fakes(story, **policy) -> None:
    """Tell a story of a pool by the clock."""
    clock, server = Clock(), FakeServer()
    with clocked(clock) as run:
        run(story(clock, server, fake_pool(server, PoolPolicy(**policy))))


def refuse(server: FakeServer, error: Exception | None = None) -> int:
    """Have everything that is being connected fail, and count it."""
    asked = [each for each in server.pending if each.what == "connect" and not each.answer.done()]
    for each in asked:
        each.answer.set_exception(error or UnavailableError("refused"))
    return len(asked)


def test_min_size_is_not_tried_for_all_the_time():
    """Where the server is away and nobody waits, there is one attempt a second."""
    attempts = []

    async def story(clock, server, pool) -> None:
        pool.keep_warm()
        for _ in range(1000):
            await turns(1)
            attempts.append(refuse(server))
            clock.now += 0.01

    with_fakes(story, min_size=2, max_size=5)

    assert 10 <= sum(attempts) <= 13


def test_all_who_wait_are_told_when_nothing_can_come_free():
    """A thousand callers of a server that refuses cost as many attempts as there are places."""
    attempts = []

    async def story(_clock, server, pool) -> None:
        calls = [asyncio.create_task(check_out(pool)) for _ in range(1000)]
        for _ in range(20):
            await turns(1)
            attempts.append(refuse(server))
        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(end, UnavailableError) for end in ends)
        assert len({id(end) for end in ends}) == 1000

    with_fakes(story, min_size=0, max_size=5)

    assert sum(attempts) == 5


def test_one_failure_among_successes_costs_one_caller_at_most():
    """The others get what the other attempts bring."""

    async def story(_clock, server, pool) -> None:
        calls = [asyncio.create_task(check_out(pool)) for _ in range(3)]
        await turns(3)
        server.pending[0].answer.set_exception(UnavailableError("once"))
        await turns(3)
        server.answer_all()
        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert [isinstance(end, UnavailableError) for end in ends] == [True, False, False]
        for fairy in ends[1:]:
            await greenlet_spawn(fairy.close)

    with_fakes(story, min_size=0, max_size=3)


def test_what_circulates_serves_those_who_wait():
    """While somebody has a connection, a refused attempt is nobody's error, and rare."""
    attempts = []

    async def story(clock, server, pool) -> None:
        first = asyncio.create_task(check_out(pool))
        await turns(3)
        server.pending[0].answer.set_result(None)
        held = await first
        calls = [asyncio.create_task(check_out(pool)) for _ in range(20)]
        for _ in range(300):
            await turns(1)
            attempts.append(refuse(server))
            clock.now += 0.01
        assert not any(call.done() for call in calls)
        server.answer_all()
        await greenlet_spawn(held.close)
        for call in calls:
            await greenlet_spawn((await call).close)

    with_fakes(story, min_size=0, max_size=5)

    assert sum(attempts) <= 8


def test_who_waited_in_vain_learns_why_there_was_no_other():
    """The message says what became of the attempt to make one."""

    async def story(clock, server, pool) -> None:
        first = asyncio.create_task(check_out(pool))
        await turns(3)
        server.pending[0].answer.set_result(None)
        held = await first
        call = asyncio.create_task(check_out(pool))
        await turns(3)
        refuse(server, UnavailableError("no room"))
        await turns(3)
        clock.now += 31
        server.answer_all()
        with pytest.raises(PoolExhaustedError, match=r"could not be made: no room\nHeld, longest"):
            await call
        await greenlet_spawn(held.close)

    with_fakes(story, min_size=0, max_size=5)


@pytest.fixture
async def narrow(postgres_url, witness) -> AsyncIterator[str]:
    """Give a database that takes two connections."""
    name = parse(postgres_url).engine.database
    await witness.ask(f'ALTER DATABASE "{name}" CONNECTION LIMIT 2')
    await witness.gone()
    yield postgres_url
    await witness.gone()


async def test_a_full_server_slows_and_fails_nobody(narrow):
    """Thirty callers, twenty places, and a server that gives two connections."""
    tries = []
    async with opened(narrow, min_size=0, max_size=20) as db:
        event.listen(db.engine.sync_engine, "do_connect", lambda *_: tries.append(1))

        async def call() -> None:
            async with db.read() as session:
                await session.execute(text("SELECT pg_sleep(0.01)"))

        await call()
        await asyncio.gather(*(call() for _ in range(30)))
        assert db.engine.pool.checkedin() == 2
        assert len(tries) < 40  # without a pause each caller would bring some more


async def test_a_full_server_without_a_connection_is_an_error_at_once(narrow):
    """With nothing in circulation there is nothing to wait for."""
    async with opened(narrow, min_size=2, max_size=2) as db:
        await until(lambda: db.engine.pool.checkedin() == 2)
        other = Database(narrow)
        with pytest.raises(UnavailableError, match=r"too many connections|no free connection"):
            async with asyncio.timeout(5):
                await other.open()


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_a_refused_connection_is_everybodys_error_at_once(driver):
    """Forty callers learn it in much less than their timeout."""
    db = Database(f"postgresql+{driver}://ann@127.0.0.1:1/shop")

    async def call() -> None:
        async with db.read() as session:
            await session.execute(text("SELECT 1"))

    async with asyncio.timeout(5):
        ends = await asyncio.gather(*(call() for _ in range(40)), return_exceptions=True)

    assert all(isinstance(end, UnavailableError) for end in ends)
    assert db.engine.pool.size() == 0


async def test_only_what_idled_is_asked_whether_it_lives(faults):
    """Within `ping_after` a checkout costs no round trip; beyond it does."""
    async with opened(faults.url, max_size=1, ping_after=3600) as db:
        for expected in (2, 1):  # a driver prepares a statement the first time
            faults.clear()
            async with db.read() as session:
                await session.execute(text("SELECT 17"))
            assert faults.round_trips <= expected
        pool = db.engine.pool
        [(record, since)] = pool._idle
        pool._idle[0] = (record, since - 3601)
        faults.clear()
        async with db.read() as session:
            await session.execute(text("SELECT 17"))
        assert 2 <= faults.round_trips <= 3  # psycopg's is in a transaction


async def test_a_server_that_fell_silent_does_not_keep_the_places(faults):
    """Connections that are given up there are closed within seconds, without its farewell."""
    policy = DatabasePolicy(pool=PoolPolicy(min_size=0, max_size=3, idle_timeout=0.1))
    db = Database(faults.url, policy=policy)
    await asyncio.gather(*(db.ping() for _ in range(3)))
    pool = db.engine.pool
    assert pool.size() > 0

    faults.pause_server()

    await until(lambda: pool.size() == 0, seconds=6)
    faults.heal()
    await db.close()
