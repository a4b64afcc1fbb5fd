"""A Redis that is full: what it has is written, ended and played on from its row all the same."""

import re
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from tests.state.conftest import PATIENT, Board, Match, make_store

from holdfast import redis
from holdfast.errors import StoreUnavailableError
from holdfast.services import RedisPolicy, RedisServer
from holdfast.state import RefusedError, StateStore

REFUSED = 2**40  # no integer of 32 bits


def turn(number):
    return lambda _: Board(turn=number)


@pytest.fixture
async def own() -> AsyncIterator[Redis]:
    """Give a client of a server that nobody else uses."""
    policy = RedisPolicy(listen="127.0.0.1")
    async with (
        RedisServer(policy=policy) as server,
        redis.client(server.url(), policy=PATIENT) as opened,
    ):
        yield opened


@pytest.fixture
def store(db, own) -> StateStore[Board]:
    """Give a store on it."""
    return make_store(db, own)


async def fill_up(client, part: float = 2) -> None:
    """Have the server use so much of what it may, as it counts itself."""
    told = await client.info("memory")
    used = told["used_memory"] - told["mem_not_counted_for_evict"]
    await client.config_set("maxmemory", int(used / part))


async def test_what_waits_is_written(store, begin, own, row):
    """Also beside a state that the database refuses, and one of before a restart."""
    written, refused, old, held = [await begin() for _ in range(4)]
    for match, number in ((written, 1), (refused, REFUSED), (old, 2), (held, 3)):
        await store.update(match, turn(number))
    await own.hset(f"match:{old}", "r", "of-another-life")
    entry = await store.load(held)
    await fill_up(own)

    with pytest.raises(StoreUnavailableError, match=r"OOM .* nothing was done"):
        await store.save(held, Board(turn=4), expect=entry.version)
    assert await store.persist(held) == entry.version
    assert await store.flush() == 1
    assert [(await row(match))[1] for match in (written, refused, old, held)] == [1, 0, 2, 3]
    assert (await store.load(old)).value == Board(turn=2)
    with pytest.raises(RefusedError):
        await store.persist(refused)
    stats = await store.stats()
    assert (stats.dirty, stats.refused) == (1, 1)


async def test_what_is_over_is_deleted(store, begin, own, db, row):
    """With its state that waits, in a transaction too, and where somebody deleted the row."""
    matches = [await begin() for _ in range(3)]
    entries = [await store.update(match, turn(1)) for match in matches]
    await fill_up(own)

    assert await store.delete(matches[0])
    async with db.begin() as session:
        assert await store.delete(matches[1], expect=entries[1].version, session=session)
    await store.close()
    async with db.begin() as session:
        await session.delete(await session.get(Match, matches[2]))
    assert await store.flush() == 0

    assert [await row(match) for match in matches] == [None] * 3
    assert await own.keys("match:*") == []
    assert (await store.stats()).dirty == 0


async def test_a_key_that_it_lacks(store, begin, own):
    """It is not taken up, since that needs memory; the row answers."""
    match = await begin(turn=7)
    await fill_up(own)

    with pytest.raises(StoreUnavailableError, match="OOM"):
        await store.load(match)

    assert (await store.read_durable(match)).value == Board(turn=7)


@pytest.mark.parametrize(
    ("part", "state", "says"),
    [
        (0.5, "ok", r"uses [45]\d% of its maxmemory"),
        (0.95, "warning", r"uses 9\d% of its maxmemory"),
        (2, "failed", r"uses (19|20|21)\d% of its maxmemory"),
    ],
)
async def test_the_check_tells(*, store, own, part, state, says):
    """Before it is full, and then; with what to do."""
    assert {each.name: each.said for each in await store.check()}["memory"] == (
        "Redis has no maxmemory"
    )
    await fill_up(own, part)

    [check] = [each for each in await store.check() if each.name == "memory"]

    assert check.state == state
    assert re.search(says, check.said)
    assert ("CONFIG SET maxmemory" in check.advice) is (state != "ok")
