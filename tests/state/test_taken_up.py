"""What the explorer found in the store, on real servers."""

import pytest
from tests.state.conftest import Board

from holdfast.errors import StateConflictError, UnknownKeyError
from holdfast.state import operations

TOO_MANY = Board(turn=1 << 40)  # for its column


async def restarted(client, match):
    """Have the value be one of another life of the server."""
    await client.hset(f"match:{match}", "r", "0" * 40)


async def test_what_the_row_refuses_survives_a_restart(store, begin, client, row):
    """The key is usable, with that state, and still waits to be written."""
    match = await begin()
    await store.update(match, lambda _: TOO_MANY)
    await store.flush()
    await restarted(client, match)

    entry = await store.load(match)

    assert entry.value == TOO_MANY
    assert (await row(match))[1] == 0
    await store.save(match, Board(turn=2), expect=entry.version)
    assert await store.flush() == 1
    assert (await row(match))[1] == 2


async def test_recovery_does_not_end_at_what_the_row_refuses(store, begin, client):
    """The other rows of the page are taken up as well."""
    matches = [await begin() for _ in range(3)]
    for number, match in enumerate(matches):
        await store.update(match, lambda _, n=number: TOO_MANY if n == 1 else Board(turn=n))
        await restarted(client, match)

    done = await store.recover()

    assert (done.rows, done.filled, done.left) == (3, 3, 0)
    assert (await store.load(matches[1])).value == TOO_MANY
    assert (await store.load(matches[2])).value == Board(turn=2)


async def test_a_version_is_not_deleted_that_redis_does_not_vouch_for(store, begin, client, row):
    """There may be a newer one: it is a conflict, and the state is there for the next load."""
    match = await begin()
    entry = await store.load(match)
    newer = await store.save(match, Board(turn=1), expect=entry.version)
    await store.persist(match)
    await restarted(client, match)

    with pytest.raises(StateConflictError):
        await store.delete(match, expect=entry.version)
    with pytest.raises(StateConflictError):
        await store.delete(match, expect=newer.version)

    again = await store.load(match)
    assert again.value == Board(turn=1)
    assert await store.delete(match, expect=again.version)
    assert await row(match) is None


async def test_what_is_deleted_is_not_persisted(store, begin):
    """Also where the process died that was to clear it away."""
    match = await begin()
    await store.load(match)
    await operations.delete(store._port, store._port, str(match))

    with pytest.raises(UnknownKeyError):
        await store.persist(match)
