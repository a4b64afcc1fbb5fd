"""What many tasks ask Redis at once is sent together, in turn, and each gets its own answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

import pytest
from proofs.redis_node import wait_until
from redis.exceptions import TimeoutError as RedisTimeoutError
from tests.state.conftest import Board, make_store

from holdfast import redis
from holdfast.errors import OutcomeUnknownError, StoreUnavailableError
from holdfast.services import RedisServer
from holdfast.state.pipelining import Pipelines

# Two connections: one pipeline at a time, and one connection for whatever else a test does.
FEW = redis.RedisPolicy(connect_timeout=30, timeout=30, pool_timeout=30, max_connections=2)
LATE = 0.05  # seconds that something is given which does not come


@pytest.fixture
async def few(redis_url):
    """A client of two connections."""
    async with redis.client(redis_url, policy=FEW) as client:
        yield client
        await client.flushdb()


@asynccontextmanager
async def held(client, pipelines: Pipelines) -> AsyncIterator[None]:
    """Have what is sent wait for an answer that does not come yet."""
    holding = asyncio.create_task(pipelines.send(("BLPOP", "list", 0)))

    async def is_waiting() -> bool:
        return bool((await client.info("clients"))["blocked_clients"])

    await wait_until(is_waiting, 30)
    yield
    await client.rpush("list", "end")
    assert await holding == (b"list", b"end")


async def sent(pipelines: Pipelines) -> None:
    """Let others go on until what they ask is sent."""
    await asyncio.sleep(0)  # they say what they want
    last = pipelines._waiting[-1]
    while not last.sent:  # noqa: ASYNC110  -- a moment later it is
        await asyncio.sleep(0)


async def test_nobody_waits_for_those_who_come_back_at_once(few, db, begin):
    """Tasks that do nothing but save, on two connections, let a flush come to its end."""
    store = make_store(db, few)
    keys = [await begin() for _ in range(20)]
    flushed = asyncio.Event()
    saved = asyncio.Barrier(len(keys) + 1)

    async def play(key: UUID) -> None:
        entry = await store.load(key)
        entry = await store.save(key, entry.value, expect=entry.version)
        await saved.wait()
        while not flushed.is_set():
            entry = await store.save(key, entry.value, expect=entry.version)

    playing = [asyncio.create_task(play(key)) for key in keys]
    await saved.wait()
    async with asyncio.timeout(60):
        await store.flush()
    flushed.set()
    await asyncio.gather(*playing)


async def test_others_of_the_pool_have_their_turn(redis_url):
    """Whoever uses the same client, of one connection, waits for no end of what is sent."""
    few = redis.client(redis_url, policy=replace(FEW, max_connections=1))
    pipelines = Pipelines(few, 30)
    over = asyncio.Event()

    async def go_on() -> None:
        while not over.is_set():
            await pipelines.send(("PING",))

    going = [asyncio.create_task(go_on()) for _ in range(100)]
    async with asyncio.timeout(60):
        assert await asyncio.gather(*(few.echo(f"{number}") for number in range(20))) == [
            b"%d" % number for number in range(20)
        ]
    over.set()
    await asyncio.gather(*going)
    await few.aclose()


async def test_each_of_many_gets_its_own_answer(client):
    """Also those whose command the server refuses."""
    await client.set("text", "t")
    pipelines = Pipelines(client, 30)

    answers = await asyncio.gather(
        *(
            pipelines.send(("ECHO", str(number)) if number % 2 else ("INCR", "text"))
            for number in range(200)
        )
    )

    assert [each for each in answers if isinstance(each, bytes)] == [
        b"%d" % number for number in range(200) if number % 2
    ]
    assert all("not an integer" in str(each) for each in answers[::2])


async def test_many_are_few_round_trips():
    """A hundred at once are not a hundred."""
    # A server's own counts: other tests have the one that they share.
    async with RedisServer() as server, redis.client(server.url(), policy=FEW) as client:
        pipelines = Pipelines(client, 30)
        before = (await client.info("stats"))["total_reads_processed"]

        await asyncio.gather(*(pipelines.send(("ECHO", "a")) for _ in range(96)))

        reads = (await client.info("stats"))["total_reads_processed"] - before
    assert reads < 20  # six pipelines, INFO, and the beginning of another connection


@pytest.mark.parametrize("said", ["LOADING for a while", "NOAUTH again"])
async def test_an_answer_at_which_the_connection_is_closed(few, said):
    """Nobody knows whose it was, and no later command gets the answers behind it."""
    pipelines = Pipelines(few, 30)
    closing = ("EVAL", f"return redis.error_reply('{said}')", 0)

    answers = await asyncio.gather(
        *(pipelines.send(each) for each in (("PING",), closing, ("INCR", "count"), ("ECHO", "a")))
    )

    assert ["closed at another" in str(each) for each in answers] == [True] * 4
    assert await pipelines.send(("GET", "count")) == b"1"
    assert "closed at another" not in str(await pipelines.send(closing))  # alone it is its own


async def test_what_is_cancelled_before_its_turn_is_not_sent(few):
    """The others are, and have their answers."""
    pipelines = Pipelines(few, 30)
    async with held(few, pipelines):
        counting = [asyncio.create_task(pipelines.send(("INCR", "count"))) for _ in range(10)]
        await asyncio.sleep(0)  # all have said what they want
        for task in counting[5:]:
            task.cancel()
    answers = await asyncio.gather(*counting, return_exceptions=True)

    assert answers[:5] == [1, 2, 3, 4, 5]
    assert all(isinstance(each, asyncio.CancelledError) for each in answers[5:])
    assert await few.get("count") == b"5"


async def test_who_is_cancelled_takes_nobody_with_it(few):
    """What was sent with it goes on."""
    pipelines = Pipelines(few, 30)
    first, *others = [asyncio.create_task(pipelines.send(("ECHO", "a"))) for _ in range(10)]
    await sent(pipelines)

    first.cancel()

    assert await asyncio.gather(*others) == [b"a"] * 9
    assert first.cancelled()


async def test_who_has_no_turn_in_time_is_not_sent(few):
    """It is told that nothing was done."""
    pipelines = Pipelines(few, 30)
    async with held(few, pipelines):
        pipelines._timeout = LATE

        late = await pipelines.send(("INCR", "count"))

    assert "not sent in time; nothing was done" in str(late)
    pipelines._timeout = 30
    assert await pipelines.send(("GET", "count")) is None


async def test_who_has_no_connection_in_time_is_not_sent(few):
    """Others have them all."""
    connections = [await few.connection_pool.get_connection() for _ in range(2)]

    late = await Pipelines(few, LATE).send(("INCR", "count"))

    assert "not sent in time; nothing was done" in str(late)
    for connection in connections:
        await few.connection_pool.release(connection)
    assert await few.get("count") is None


async def test_who_gave_up_before_there_was_a_connection_is_not_sent(few):
    """Also where others that were taken with it are."""
    connections = [await few.connection_pool.get_connection() for _ in range(2)]
    pipelines = Pipelines(few, LATE)

    async def count_patiently() -> object:
        pipelines._timeout = 30
        return await pipelines.send(("INCR", "count"))

    hasty = asyncio.create_task(pipelines.send(("INCR", "count")))
    patient = asyncio.create_task(count_patiently())

    assert "not sent in time; nothing was done" in str(await hasty)
    for connection in connections:
        await few.connection_pool.release(connection)
    assert await patient == 1


async def test_a_deadline_that_is_swallowed(few, monkeypatch):
    """As a write of redis-py does at times before Python 3.12; the others are sent soon."""
    pipelines = Pipelines(few, LATE)
    connection = await few.connection_pool.get_connection()
    swallowed = asyncio.Event()

    async def send_nothing(_: object) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            swallowed.set()

    monkeypatch.setattr(connection, "send_packed_command", send_nothing)
    await few.connection_pool.release(connection)

    assert isinstance(await pipelines.send(("ECHO", "a")), RedisTimeoutError)
    await asyncio.wait_for(swallowed.wait(), 20)
    monkeypatch.undo()
    pipelines._timeout = 20  # seconds, less than the client's own

    assert await pipelines.send(("ECHO", "b")) == b"b"


async def test_who_has_no_answer_in_time(few):
    """It may have been done, and the connection is used no more."""
    pipelines = Pipelines(few, LATE)

    late = await pipelines.send(("BLPOP", "list", 0))

    assert isinstance(late, RedisTimeoutError)
    await pipelines.close()
    pipelines._timeout = 30
    assert await pipelines.send(("ECHO", "a")) == b"a"


async def test_a_save_that_has_no_turn_in_time(few, db, begin):
    """It is known that nothing was saved."""
    store = make_store(db, few)
    key = await begin()
    entry = await store.load(key)
    pipelines = store._port._scripts._pipelines
    async with held(few, pipelines):
        pipelines._timeout = LATE
        with pytest.raises(StoreUnavailableError, match="nothing was done") as caught:
            await store.save(key, Board(turn=1), expect=entry.version)

    assert not isinstance(caught.value, OutcomeUnknownError)
    pipelines._timeout = 30
    assert (await store.load(key)).version == entry.version


async def test_a_closed_store_has_nothing_under_way(few, db, begin):
    """What a cancelled caller had sent has its answer."""
    store = make_store(db, few)
    key = await begin()
    entry = await store.update(key, lambda _: Board())  # from now on Redis knows the scripts
    pipelines = store._port._scripts._pipelines
    saving = asyncio.create_task(store.save(key, Board(turn=1), expect=entry.version))
    await sent(pipelines)
    saving.cancel()

    await store.close()

    assert not pipelines._sending
    assert (await store.load(key)).value == Board(turn=1)


async def test_the_end_waits_for_nobody_who_goes_on(few):
    """Others may use what is being closed."""
    pipelines = Pipelines(few, 1)
    over = asyncio.Event()

    async def go_on() -> None:
        while not over.is_set():
            await pipelines.send(("ECHO", "a"))

    going = [asyncio.create_task(go_on()) for _ in range(50)]
    await pipelines.send(("ECHO", "a"))

    async with asyncio.timeout(30):
        await pipelines.close()
    over.set()
    await asyncio.gather(*going)


async def test_who_comes_while_the_last_answer_is_given(few):
    """Nobody is forgotten."""
    pipelines = Pipelines(few, 30)
    for turns in range(12):
        await pipelines.send(("ECHO", "a"))
        for _ in range(turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(20):
            assert await pipelines.send(("ECHO", "b")) == b"b"


@pytest.mark.parametrize("turns", range(8))
async def test_tasks_that_somebody_else_cancels(few, turns):
    """Those who asked are told, and the next ones are served."""
    pipelines = Pipelines(few, 30)
    first = asyncio.create_task(pipelines.send(("ECHO", "a")))
    for _ in range(turns):
        await asyncio.sleep(0)
    for task in pipelines._sending:
        task.cancel()

    assert await first == b"a" or "it was cancelled" in str(await first)
    assert await pipelines.send(("ECHO", "b")) == b"b"


async def test_a_command_that_cannot_be_written(few):
    """Whoever asked is told at once, and nothing is left behind."""
    pipelines = Pipelines(few, 30)

    answer = await pipelines.send(("ECHO", object()))

    assert "Convert to a bytes, string, int or float first" in str(answer)
    assert await pipelines.send(("ECHO", "b")) == b"b"
