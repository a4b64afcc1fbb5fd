"""What many tasks ask Redis at once is sent together, in turn, and each gets its own answer."""

import asyncio
from uuid import UUID

import pytest
from redis.exceptions import BusyLoadingError
from tests.state.conftest import Board, make_store

from holdfast import redis
from holdfast.errors import OutcomeUnknownError, StoreUnavailableError
from holdfast.state.sending import Sender

FEW = redis.RedisPolicy(connect_timeout=30, timeout=30, pool_timeout=30, max_connections=2)


async def test_nobody_waits_for_those_who_come_back_at_once(redis_url, db, begin):
    """Tasks that do nothing but save, on two connections, let a flush come to its end."""
    async with redis.client(redis_url, policy=FEW) as client:
        store = make_store(db, client)
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
        await client.flushdb()


async def test_each_of_many_gets_its_own_answer(client):
    """Also those whose command the server refuses."""
    await client.set("text", "t")
    sender = Sender(client, 30)

    answers = await asyncio.gather(
        *(
            sender.send(("ECHO", str(number)) if number % 2 else ("INCR", "text"))
            for number in range(200)
        )
    )

    assert [each for each in answers if isinstance(each, bytes)] == [
        b"%d" % number for number in range(200) if number % 2
    ]
    assert all("not an integer" in str(each) for each in answers[::2])


async def test_an_answer_at_which_the_connection_is_closed(client):
    """Nobody knows what became of the others, and no later command gets their answers."""
    sender = Sender(client, 30, lanes=1)
    loading = ("EVAL", "return redis.error_reply('LOADING for a while')", 0)

    first, loaded, counted, last = await asyncio.gather(
        *(sender.send(each) for each in (("PING",), loading, ("INCR", "count"), ("ECHO", "a")))
    )

    assert first == b"PONG"
    assert isinstance(loaded, BusyLoadingError)
    assert "closed at another" in str(counted)
    assert "closed at another" in str(last)
    assert await sender.send(("GET", "count")) == b"1"


async def test_what_is_cancelled_before_its_turn_is_not_sent(client):
    """The others are, and have their answers."""
    sender = Sender(client, 30, lanes=1)
    counting = [asyncio.create_task(sender.send(("INCR", "count"))) for _ in range(10)]
    await asyncio.sleep(0)  # all have said what they want, and one is sent

    for task in counting[5:]:
        task.cancel()
    answers = await asyncio.gather(*counting, return_exceptions=True)

    assert answers[:5] == [1, 2, 3, 4, 5]
    assert all(isinstance(each, asyncio.CancelledError) for each in answers[5:])
    assert await client.get("count") == b"5"


async def test_a_cancelled_sender_takes_nobody_with_it(client):
    """The first sends by itself, and those who came meanwhile go on without it."""
    sender = Sender(client, 30, lanes=1)
    first, *others = [asyncio.create_task(sender.send(("PING",))) for _ in range(10)]
    await asyncio.sleep(0)

    first.cancel()

    assert await asyncio.gather(*others) == [b"PONG"] * 9
    assert first.cancelled()


async def test_who_has_no_turn_in_time_is_not_sent(client):
    """It is told that nothing was done."""
    sender = Sender(client, 30, lanes=1)
    first = asyncio.create_task(sender.send(("BLPOP", "list", 0)))
    await asyncio.sleep(0)  # it has the only connection until something is in the list
    sender._timeout = 0
    late = asyncio.create_task(sender.send(("INCR", "count")))
    await asyncio.sleep(0)

    await client.rpush("list", "end")

    assert await first == [b"list", b"end"]
    assert "nothing was done" in str(await late)
    assert await client.get("count") is None


async def test_a_save_that_has_no_turn_in_time(store, client, begin, monkeypatch):
    """It is known that nothing was saved."""
    key = await begin()
    entry = await store.load(key)
    sender = Sender(client, 30, lanes=1)
    monkeypatch.setattr(store._port._scripts, "_find_sender", lambda: sender)
    holding = asyncio.create_task(sender.send(("BLPOP", "list", 0)))
    await asyncio.sleep(0)
    sender._timeout = 0
    saving = asyncio.create_task(store.save(key, Board(turn=1), expect=entry.version))
    await asyncio.sleep(0)

    await client.rpush("list", "end")

    with pytest.raises(StoreUnavailableError, match="nothing was done") as caught:
        await saving
    assert not isinstance(caught.value, OutcomeUnknownError)
    assert await holding == [b"list", b"end"]
    sender._timeout = 30
    assert (await store.load(key)).version == entry.version
