"""Those who wait are served in their order; who is turned away is turned away at once."""

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.util import await_only, greenlet_spawn
from tests.pool.faking import Clock, FakeServer, check_out, clocked, fake_pool, turns
from tests.pool.serving import opened, until

from holdfast.errors import OverloadedError, PoolExhaustedError
from holdfast.pool import ConnectionHeld, PoolPolicy
from holdfast.pool.pace import Pace

HERE = __file__


def one_connection(story, **policy) -> None:
    """Tell a story of a pool with one connection, by the clock."""
    clock, server = Clock(), FakeServer()
    server.patient = True
    options = {"min_size": 0, "max_size": 1, "ping_after": 60} | policy
    with clocked(clock) as run:
        run(story(clock, server, fake_pool(server, PoolPolicy(**options))))


async def test_first_come_first_served(postgres_url):
    """Two hundred callers, sixty of whom give up, get three connections in their order."""
    chance, gate, served = random.Random(3), asyncio.Event(), []

    async def call(db, number: int) -> None:
        async with db.engine.connect() as connection:
            served.append(number)
            await gate.wait()
            await connection.execute(text("SELECT 1"))

    async with opened(postgres_url, max_size=3) as db:
        calls = [asyncio.create_task(call(db, number)) for number in range(200)]
        await until(lambda: len(served) >= 3)
        given_up = set(chance.sample(range(100, 200), 60))
        for number in given_up:
            calls[number].cancel()
        gate.set()
        await asyncio.gather(*calls, return_exceptions=True)

    assert served == [number for number in range(200) if number not in given_up]


def test_thousands_who_give_up_at_once_do_not_stand_in_the_way():
    """The connection passes over all of them, whose tasks have not run yet, to the next caller."""

    async def story(_clock, _server, pool) -> None:
        first = await check_out(pool)
        given_up = [asyncio.create_task(check_out(pool)) for _ in range(5_000)]
        next_one = asyncio.create_task(check_out(pool))
        await turns(3)
        for task in given_up:
            task.cancel()
        await greenlet_spawn(first.close)
        await turns(5)
        assert pool.status().endswith("callers waiting: 0")
        await greenlet_spawn(next_one.result().close)

    one_connection(story)


def test_one_that_came_back_is_not_kept_for_the_new_one():
    """While a connection is being made for a caller, one that is given back is handed to it."""

    async def story(_clock, server, pool) -> None:
        first = await check_out(pool)
        server.patient = False
        waits = asyncio.create_task(check_out(pool))
        await turns(3)
        assert pool.connecting() == 1
        await greenlet_spawn_patiently(server, first.close)
        await turns(3)
        assert pool.connecting() == 1
        server.answer_all()
        await greenlet_spawn(waits.result().close)
        await turns(5)

    one_connection(story, max_size=2)


async def greenlet_spawn_patiently(server, work) -> None:
    server.patient = True
    await greenlet_spawn(work)
    server.patient = False


def test_a_caller_who_is_cancelled_stays_cancelled():
    """Also when the driver turns what it does to a ping into an error of its own."""

    async def story(_clock, server, pool) -> None:
        fairy = await check_out(pool)
        await greenlet_spawn(fairy.close)

        def ping(_connection: object) -> bool:
            try:
                await_only(asyncio.Event().wait())
            finally:
                raise server.Error("cannot be reset")

        server.do_ping = ping
        call = asyncio.create_task(check_out(pool))
        await turns(5)
        call.cancel()
        await asyncio.wait({call})
        assert call.cancelled()
        assert pool.checkedout() == 0
        await turns(5)

    one_connection(story, ping_after=0)


async def test_a_full_line_turns_away_at_once(postgres_url):
    """Without a turn of the loop, with nothing left behind; afterwards all is as before."""
    async with opened(postgres_url, max_size=2, max_waiting=3) as db:
        gate, served = asyncio.Event(), []

        async def call(number: int) -> None:
            async with db.engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
                await gate.wait()
                served.append(number)

        calls = [asyncio.create_task(call(number)) for number in range(5)]
        await until(lambda: db.engine.pool.checkedout() == 2 and len(db.engine.pool.waiting()) == 3)
        turned = []
        asyncio.get_running_loop().call_soon(lambda: turned.append("turn"))
        with pytest.raises(
            OverloadedError, match=r"callers waiting already: 3.* max_waiting.* 503"
        ):
            await db.engine.connect()
        assert turned == []
        gate.set()
        await asyncio.gather(*calls)
        assert sorted(served) == [0, 1, 2, 3, 4]
        await asyncio.gather(*(call(number) for number in range(5, 10)))


async def test_nobody_is_turned_away_while_there_is_room_to_grow(postgres_url):
    """A connection that is being made for somebody is not a line: `max_waiting=0` allows it."""
    async with opened(postgres_url, min_size=0, max_size=4, max_waiting=0) as db:

        async def call() -> None:
            async with db.read() as session:
                await session.execute(text("SELECT pg_sleep(0.05)"))

        await asyncio.gather(*(call() for _ in range(4)))
        ends = await asyncio.gather(*(call() for _ in range(6)), return_exceptions=True)

    assert [type(end) for end in ends if end] == [OverloadedError] * 2


async def test_who_waited_in_vain_is_told_who_has_the_connections(postgres_url):
    """Task, line of code and last statement, without values, longest first, and what to do."""
    async with opened(postgres_url, max_size=2, timeout=0.2) as db:
        gate = asyncio.Event()

        async def hold(number: int) -> None:
            async with db.begin() as session:
                await session.execute(text("SELECT :secret"), {"secret": f"hush{number}"})
                await gate.wait()

        holders = []
        for number in range(2):
            holders.append(asyncio.create_task(hold(number), name=f"holder-{number}"))
            await until(lambda: sum(bool(each.statement) for each in db.holders()) == len(holders))
        with pytest.raises(PoolExhaustedError) as caught:
            await db.engine.connect()
        gate.set()
        await asyncio.gather(*holders)

    said = str(caught.value)
    assert said.index("holder-0") < said.index("holder-1")
    assert said.count(f"{HERE}:") == 2
    assert "SELECT" in said
    assert "hush" not in said
    assert "raise PoolPolicy.max_size" in said


async def by_begin(db, gate) -> None:
    async with db.begin() as session:
        await session.connection()
        await gate.wait()


async def by_read(db, gate) -> None:
    async with db.read() as session:
        await session.connection()
        await gate.wait()


async def by_run(db, gate) -> None:
    async def work(session) -> None:
        await session.connection()
        await gate.wait()

    await db.run(work)


async def by_session(db, gate) -> None:
    async with db.session() as session:
        await session.connection()
        await gate.wait()


async def by_engine(db, gate) -> None:
    async with db.engine.connect():
        await gate.wait()


async def by_run_sync(db, gate) -> None:
    async with db.session() as session:
        await session.run_sync(lambda sync: sync.connection())
        await gate.wait()


async def by_group(db, gate) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(by_engine(db, gate), name="mine")


WAYS = [by_begin, by_read, by_run, by_session, by_engine, by_run_sync, by_group]


@pytest.mark.parametrize("way", WAYS)
async def test_a_holder_is_known_by_task_and_line(postgres_url, way):
    """However the connection was taken, the line is one of this file's."""
    async with opened(postgres_url) as db:
        gate = asyncio.Event()
        task = asyncio.create_task(way(db, gate), name="mine")
        await until(lambda: db.engine.pool.checkedout() == 1)
        [holder] = db.holders()
        gate.set()
        await task

    assert holder.task == "mine"
    assert holder.caller.file == HERE
    assert holder.seconds >= 0


def test_a_long_holding_is_reported_once():
    """One event for each holding that lasts, and none for one that does not."""
    events = []

    async def story(clock, server, pool) -> None:
        for _ in range(2):
            fairy = await check_out(pool)
            for _ in range(50):
                clock.now += 3
                await turns(2)
            await greenlet_spawn(fairy.close)
        brief = await check_out(pool)
        clock.now += 59
        await turns(2)
        await greenlet_spawn(brief.close)
        clock.now += 300
        await turns(2)

    clock, server = Clock(), FakeServer()
    server.patient = True
    policy = PoolPolicy(report_after=60, ping_after=1000, idle_timeout=0)
    with clocked(clock) as run:
        run(story(clock, server, fake_pool(server, policy, events.append)))

    assert [type(event) for event in events] == [ConnectionHeld] * 2
    assert all(60 <= event.seconds < 64 for event in events)


# How long one more would wait


def serve(pace: Pace, now: float, waiting: int, interval: float, until_: float) -> float:
    """Serve one after the other, and give when that ended."""
    pace.begin(now)
    while now < until_:
        now += interval
        pace.serve(now)
    return now


@given(
    size=st.integers(1, 50),
    interval=st.floats(0.001, 20),
    waiting=st.integers(0, 5_000),
    night=st.floats(0, 100_000),
    slow=st.floats(0.001, 600),
)
def test_the_expected_wait_is_the_true_one_in_a_steady_line(size, interval, waiting, night, slow):
    """Whatever was before this line began, one served each `interval` is what one more expects."""
    pace = Pace(size, patience=15)
    end = serve(pace, 0, waiting, slow, slow * 3 * size)
    now = serve(pace, end + night, waiting, interval, end + night + max(16, 3 * size * interval))

    said = pace.expect(waiting, now)

    assert waiting * interval / 2.1 <= said <= waiting * interval * 1.1


@given(size=st.integers(1, 50), waiting=st.integers(0, 10_000), night=st.floats(0, 100_000))
def test_a_new_line_says_nothing(size, waiting, night):
    """After a night of slow work a crowd is let in: what it takes is not known yet."""
    pace = Pace(size, patience=15)
    end = serve(pace, 0, 1, 60, 60 * 3 * size)
    pace.begin(end + night)

    assert pace.expect(waiting, end + night + 14.9) == 0


@given(size=st.integers(1, 50), stall=st.floats(0, 600), waiting=st.integers(0, 5_000))
def test_a_stall_is_forgotten_with_the_next_turns(size, stall, waiting):
    """Once each connection was handed over twice again, the stall counts no more."""
    pace = Pace(size, patience=15)
    now = serve(pace, 0, waiting, 0.001, 1) + stall
    for _ in range(2 * size):
        now += 0.001
        pace.serve(now)

    assert pace.expect(waiting, now) <= waiting * 0.0011


def test_who_cannot_be_served_in_time_is_turned_away():
    """Each caller holds the one connection for 10 s, and may wait for 30: the fourth in line goes.

    One caller who holds it for an hour, at first, does not count.
    """
    served, refused = [], []

    async def story(clock, server, pool) -> None:
        async def call(number: int) -> None:
            asked = clock.now
            try:
                fairy = await check_out(pool)
            except OverloadedError as error:
                refused.append((number, clock.now - asked, str(error)))
                return
            except PoolExhaustedError:
                return
            served.append(number)
            await asyncio.sleep(3600 if number == 0 else 10)
            await greenlet_spawn(fairy.close)

        calls = [asyncio.create_task(call(0))]
        for _ in range(3700):
            clock.now += 1
            await turns(4)
        assert not pool.checkedout()
        for number in range(1, 60):
            calls.append(asyncio.create_task(call(number)))
            for _ in range(5):  # twice as many as can be served
                clock.now += 1
                await turns(6)
        for _ in range(60):
            clock.now += 1
            await turns(6)
        await asyncio.gather(*calls)

    one_connection(story, timeout=30, idle_timeout=0, max_lifetime=0, report_after=0)

    assert len(served) >= 29
    assert len(refused) >= 15
    assert all("timeout is 30 s" in said for _, _, said in refused)
    assert all(waited < 1 for _, waited, _ in refused)  # the clock ticks when it is read
    assert min(number for number, _, _ in refused) > 3
