"""Where one may write at a time, writers take turns before they take a connection."""

import asyncio
import gc
import threading
import warnings

import pytest
from sqlalchemy.util import greenlet_spawn
from tests.pool.faking import Clock, FakeServer, check_out, clocked, fake_pool, turns

from holdfast.errors import OverloadedError, PoolExhaustedError
from holdfast.pool import PoolPolicy, TurnTakingPool


async def check_out_to_read(pool):
    return await greenlet_spawn(pool.connect_to_read)


async def give_back(fairy):
    await greenlet_spawn(fairy.close)


def tell(story, **policy):
    """Tell a story of a pool with turns, by the clock."""
    clock, server = Clock(), FakeServer()
    server.patient = True
    pool = fake_pool(
        server, PoolPolicy(**{"min_size": 0, "ping_after": 60} | policy), kind=TurnTakingPool
    )
    with clocked(clock) as run:
        run(story(clock, pool))


def test_readers_pass_by():
    """Beside a writer, and thirty who wait for their turn, a reader has its connection at once."""

    async def story(_clock, pool):
        writer = await check_out(pool)
        waiting = [asyncio.create_task(check_out(pool)) for _ in range(30)]
        await turns(3)

        reader = await check_out_to_read(pool)

        assert (pool.checkedout(), len(pool.waiting())) == (2, 30)
        await give_back(reader)
        for each in waiting:
            each.cancel()
        await turns(3)
        await give_back(writer)
        assert pool.checkedout() == 0

    tell(story, max_size=3)


def test_only_the_next_one_passes_by():
    """Whoever comes after a reader and does not say that it reads waits for its turn."""

    async def story(_clock, pool):
        reader, writer = await check_out_to_read(pool), await check_out(pool)
        other = asyncio.create_task(check_out(pool))
        await turns(20)
        assert not other.done()
        await give_back(writer)
        await give_back(await other)
        await give_back(reader)

    tell(story)


def test_one_connection_is_a_turn_for_readers_as_well():
    """They would wait for it in any case, and get it in their order."""

    async def story(_clock, pool):
        writer = await check_out(pool)
        with pytest.raises(PoolExhaustedError, match="one connection, and it is this task's"):
            await check_out_to_read(pool)
        await give_back(writer)

    tell(story, max_size=1)


def test_a_turn_that_does_not_come_is_refused_with_the_writers_name():
    """After `timeout`, by task, line and statement; what was done is nothing."""

    async def story(clock, pool):
        writer = await asyncio.create_task(check_out(pool), name="the slow one")
        pool.note(writer._connection_record, "UPDATE decks SET name = ?")
        other = asyncio.create_task(check_out(pool))
        await turns(3)
        clock.now += 31
        await turns(5)

        with pytest.raises(PoolExhaustedError) as caught:
            await other
        said = str(caught.value)
        assert "SQLite has one writer at a time, and no turn came within 30 s" in said
        assert "31.0 s  the slow one at " in said
        assert ": UPDATE decks SET name = ?" in said
        assert not pool.waiting()
        await give_back(writer)

    tell(story)


def test_who_waits_for_itself_is_refused_at_once():
    """A second turn of the same task would not come however long it waited."""

    async def story(_clock, pool):
        writer = await check_out(pool)
        with pytest.raises(PoolExhaustedError, match=r"it is this task's already(?s:.)*read\(\)"):
            await check_out(pool)
        await give_back(writer)
        await give_back(await check_out(pool))

    tell(story)


def test_a_turn_that_another_task_will_end_is_waited_for():
    """Only who holds it knows that it waits for itself."""

    async def story(_clock, pool):
        writer = await asyncio.create_task(check_out(pool))
        asyncio.get_running_loop().call_later(0, asyncio.ensure_future, give_back(writer))
        await give_back(await check_out(pool))

    tell(story)


def test_the_line_for_a_turn_has_an_end():
    """Who would be one too many is turned away at once."""

    async def story(_clock, pool):
        writer = await check_out(pool)
        other = asyncio.create_task(check_out(pool))
        await turns(3)
        with pytest.raises(OverloadedError, match="as many as max_waiting allows"):
            await asyncio.create_task(check_out(pool))
        await give_back(writer)
        await give_back(await other)

    tell(story, max_waiting=1)


def test_a_turn_is_found_by_the_garbage_collector():
    """In another thread as well; whoever waits is the next."""

    async def story(_clock, pool):
        writer = [await asyncio.create_task(check_out(pool))]
        other = asyncio.create_task(check_out(pool))
        await turns(3)

        def forget():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                writer.clear()
                gc.collect()

        thread = threading.Thread(target=forget)
        thread.start()
        await asyncio.to_thread(thread.join)
        await turns(3)
        await give_back(await other)

    tell(story)


def test_after_a_long_turn_the_file_is_left_alone_for_a_moment():
    """So that another process, which looks every few milliseconds, finds it free."""

    async def story(clock, pool):
        for seconds, pauses in ((0.05, False), (0.1, True)):
            writer = await check_out(pool)
            other = asyncio.create_task(check_out(pool))
            await turns(3)
            clock.now += seconds
            await give_back(writer)
            await turns(5)
            assert other.done() is not pauses
            clock.now += 0.01
            await give_back(await other)

    tell(story)


def test_waiting_for_a_turn_is_not_part_of_it():
    """After a short turn there is no pause, however long that one had waited."""

    async def story(clock, pool):
        writer = await check_out(pool)
        others = [asyncio.create_task(check_out(pool)) for _ in range(2)]
        await turns(3)
        clock.now += 1
        await give_back(writer)
        await turns(3)
        clock.now += 0.01
        await turns(3)
        await give_back(others[0].result())
        await turns(5)
        await give_back(others[1].result())

    tell(story)


def test_who_is_cancelled_in_that_moment_takes_no_turn_along():
    """The next one has it."""

    async def story(clock, pool):
        writer = await check_out(pool)
        others = [asyncio.create_task(check_out(pool)) for _ in range(2)]
        await turns(3)
        clock.now += 1
        await give_back(writer)
        await turns(3)
        others[0].cancel()
        await turns(3)
        clock.now += 1
        await give_back(await others[1])

    tell(story)


def test_a_new_pool_is_of_the_same_kind():
    """After `engine.dispose()` it takes turns, or not, as the one before."""

    async def story(_clock, pool):
        pool.takes_turns = False
        new = pool.recreate()
        assert (type(new), new.takes_turns) == (TurnTakingPool, False)

    tell(story)


def test_a_turn_ends_with_its_loop():
    """What a loop that was closed has left does not hold up the next one."""
    server = FakeServer()
    server.patient = True
    pool = fake_pool(server, PoolPolicy(min_size=0), kind=TurnTakingPool)
    kept = []

    async def take():
        kept.append(await check_out(pool))

    async def take_and_give_back():
        await give_back(await check_out(pool))

    asyncio.run(take())
    asyncio.run(take_and_give_back())
    assert pool.checkedout() == 0
    kept[0]._connection_record.fairy_ref = None  # or SQLAlchemy would warn of it
