"""The writer in the background: what it takes, gives back, and never leaves lying."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from proofs.redis_node import wait_until
from sqlalchemy import text
from tests.state.conftest import Board, make_store

from holdfast.errors import OutcomeUnknownError, StoreUnavailableError
from holdfast.state import StoreFailed, flushing
from holdfast.state.requests import Read

MARKS = "holdfast:state:match:dirty"
WAITING = text(
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND wait_event_type = 'Lock'"
)
PATIENCE = 30  # seconds, for a machine that is busy; what is waited for is a fact


LINGER = """
    CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_sleep(0.1); RETURN NEW; END'
"""
LINGERS = "CREATE TRIGGER linger BEFORE UPDATE ON matches FOR EACH ROW EXECUTE FUNCTION linger()"


@asynccontextmanager
async def locked(db, match) -> AsyncIterator[None]:
    """Hold the lock of a row, as a transaction does that deletes it and goes on."""
    async with db.session() as session:
        await session.execute(text("DELETE FROM matches WHERE id = :id"), {"id": match})
        yield
        await session.rollback()


async def until_blocked(db):
    async with asyncio.timeout(PATIENCE):
        async with db.session() as session:
            while not await session.scalar(WAITING):
                await session.rollback()


async def close(client, match):
    """Close a key in Redis, as a deletion does whose process then dies."""
    await client.hset(f"match:{match}", "x", "somebody")
    await client.zadd(MARKS, {str(match): 1})


async def lease_is_over(client, match):
    """Let somebody have taken the key long ago."""
    await client.hset(f"{MARKS}:leases", str(match), 1)


async def test_a_cancelled_round_gives_back_what_it_took(store, begin, db, client):
    """Others need not wait until its lease is over."""
    match = await begin()
    await store.update(match, lambda _: Board(turn=1))
    async with db.session() as other:
        await other.execute(text("LOCK TABLE matches IN EXCLUSIVE MODE"))
        flushing = asyncio.create_task(store.flush())
        await until_blocked(db)
        flushing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await flushing
        await other.rollback()

    assert await client.hlen(f"{MARKS}:leases") == 0
    assert await store.flush() == 1


@pytest.mark.parametrize("lost", ["take", "read"])
async def test_a_round_that_redis_has_cut_off_is_made_again_at_once(
    db, client, begin, monkeypatch, lost
):
    """By the same writer; others wait until its lease is over."""
    store, other = make_store(db, client), make_store(db, client)
    for match in [await begin() for _ in range(3)]:
        await store.update(match, lambda _: Board(turn=1))
    assert await count_waiting(store) == 3
    run = store._port._scripts.run

    async def lose(call):
        answer = await run(call)
        if call.name == lost:
            raise OutcomeUnknownError("lost")
        if call.name == "ack":
            raise OutcomeUnknownError("lost as well")
        return answer

    monkeypatch.setattr(store._port._scripts, "run", lose)
    for _ in range(2):
        with suppress(StoreUnavailableError):  # it is told of keys that could not be read
            await store.flush()
    monkeypatch.undo()
    assert await count_waiting(store) == 3

    assert await other.flush() == 0
    assert await store.flush() == 3
    assert await count_waiting(store) == 0


async def count_waiting(store):
    return (await store.stats()).dirty


async def test_a_row_that_is_locked_keeps_no_other_one(store, begin, db, row):
    """It is written by the next round after that."""
    matches = [await begin() for _ in range(3)]
    for match in matches:
        await store.update(match, lambda _: Board(turn=1))
    async with locked(db, matches[1]):
        assert await store.flush() == 2
        assert await store.flush() == 0

    assert await store.flush() == 1
    assert [(await row(match))[1] for match in matches] == [1, 1, 1]


async def test_a_batch_that_takes_too_long(db, client, begin, row):
    """It is halved, round by round, until it does not."""
    store = make_store(db, client, flush_timeout=0.5, lease=1, flush_interval=0.05)
    async with db.engine.begin() as connection:
        for statement in (LINGER, LINGERS):
            await connection.execute(text(statement))
    matches = [await begin() for _ in range(12)]
    for match in matches:
        await store.update(match, lambda _: Board(turn=1))

    async def written():
        return (await store.stats()).dirty == 0

    async with store.flushing():
        await wait_until(written, PATIENCE)

    assert [(await row(match))[1] for match in matches] == [1] * 12


async def test_a_batch_of_large_states(store, begin, row, monkeypatch):
    """Few are read and written at once, however many wait; one that is larger goes alone."""
    matches = [await begin() for _ in range(9)]
    for number, match in enumerate(matches):
        moves = ["x" * (5_000 if number == 4 else 1_000)]
        await store.update(match, lambda _, moves=moves: Board(turn=1, moves=moves))
    read, written, before = [], [], []
    read_some, write_some = store._port.all, store._rows.flush

    async def note_reads(requests):
        read.append(sum(isinstance(each, Read) for each in requests))
        return await read_some(requests)

    async def note_writes(writes, *args, **options):
        before.append(sum(read))
        written.append(sum(len(each.text.state) for each in writes))
        return await write_some(writes, *args, **options)

    monkeypatch.setattr(store._port, "all", note_reads)
    monkeypatch.setattr(store._rows, "flush", note_writes)
    monkeypatch.setattr(flushing, "_BATCH_BYTES", 3_500)
    monkeypatch.setattr(flushing, "_READ", 2)

    assert await store.flush() == 9

    assert [(await row(match))[1] for match in matches] == [1] * 9
    assert max(read) == 2
    assert before[0] == 4, "no more are read than are written then"
    assert max(written) > 5_000, "it has to be written"
    assert sorted(written)[-2] < 3_500
    assert len(written) < 9, "several are written together"


async def test_a_recovery_waits_for_no_locked_row(store, begin, db):
    """The others of its page are there; that one is taken up when it is loaded."""
    matches = [await begin() for _ in range(3)]
    async with locked(db, matches[1]):
        done = await store.recover()

    assert (done.rows, done.filled, done.left) == (3, 2, 1)
    assert (await store.load(matches[1])).value == Board()


async def test_a_round_has_an_end(db, client, begin, row, monkeypatch):
    """A key that is saved again whenever it was written keeps no other one waiting."""
    store = make_store(db, client, batch_size=1)
    busy, other = await begin(), await begin()
    for match in (busy, other):
        await store.update(match, lambda _: Board(turn=1))
    await client.zadd(MARKS, {str(busy): 1})
    acknowledge = store._port._scripts.run_all

    async def save_before(calls):
        if any(call.name == "ack" for call in calls):
            await store.update(busy, lambda board: Board(turn=board.turn + 1))
        return await acknowledge(calls)

    monkeypatch.setattr(store._port._scripts, "run_all", save_before)
    async with asyncio.timeout(PATIENCE):
        written = await store.flush()

    assert written == 3  # the busy one twice: before the other, and behind it
    assert (await row(other))[1] == 1


async def test_a_key_whose_deletion_died_is_opened(store, begin, client, row):
    """A lease later, by whichever writer comes; until then it may only be slow."""
    match = await begin()
    await store.update(match, lambda _: Board(turn=1))
    await store.persist(match)
    await close(client, match)

    assert await store.flush() == 0
    assert (await store.look(match)).in_redis == "somebody is about to delete the row"
    await lease_is_over(client, match)
    assert await store.flush() == 0

    assert (await store.look(match)).in_redis == "it goes on from there"
    assert (await store.stats()).dirty == 0
    assert (await store.load(match)).value == Board(turn=1)


async def test_a_deletion_that_goes_on_is_not_waited_for(db, client, begin, monkeypatch):
    """However many keys a long transaction has closed, a round is no longer for it; a load is."""
    store = make_store(db, client, timeout=0.3)
    matches = [await begin() for _ in range(5)]
    for match in matches:
        await store.load(match)
    adopt, adopted = store._rows.adopt, []

    async def count(rows, within, **how):
        adopted.extend(rows)
        return await adopt(rows, within, **how)

    monkeypatch.setattr(store._rows, "adopt", count)
    async with db.session() as session:
        for match in matches:
            assert await store.delete(match, session=session)
            await lease_is_over(client, match)
        await store.flush()
        assert len(adopted) == 5  # none is waited for

        with pytest.raises(StoreUnavailableError, match="PostgreSQL gave no answer"):
            await store.load(matches[0])
        assert len(adopted) == 7
        await session.rollback()
    await store.close()
    assert [(await store.load(match)).value for match in matches] == [Board()] * 5


async def test_a_row_that_somebody_fenced_and_died(store, begin, db, row):
    """Redis is behind it, and closed: it is deleted all the same."""
    match = await begin()
    await store.update(match, lambda _: Board(turn=1))
    await close(store._redis, match)
    async with db.engine.begin() as connection:
        fence = "UPDATE matches SET version = nextval('holdfast_epoch') << 23"
        await connection.execute(text(fence))

    assert await store.delete(match) is True
    assert await row(match) is None


async def test_a_writer_that_is_cancelled_by_somebody_else(store, begin, row, facts):
    """It is told, and what is left is written at the end."""
    match = await begin()
    before = asyncio.all_tasks()
    async with store.flushing():
        (writer,) = asyncio.all_tasks() - before
        await store.update(match, lambda _: Board(turn=1))
        writer.cancel()
        await asyncio.wait([writer])

    assert [each.error for each in facts if isinstance(each, StoreFailed)] == [
        "the task that writes was cancelled by somebody else; it begins again at the end"
    ]
    assert (await row(match))[1] == 1


async def test_the_last_round_is_tried_again(db, client, begin, row, monkeypatch):
    """As long as there is time for it."""
    store = make_store(db, client)
    match = await begin()
    flush, failed = store._rows.flush, []

    async def fail_once(writes, within, **how):
        if not failed:
            failed.append(writes)
            raise StoreUnavailableError("PostgreSQL: not now; nothing was done")
        return await flush(writes, within, **how)

    monkeypatch.setattr(store._rows, "flush", fail_once)
    async with store.flushing():
        await store.update(match, lambda _: Board(turn=1))
        # The pause before it is tried again is as long as one between two rounds.
        object.__setattr__(store.policy, "flush_interval", 0.01)

    assert failed
    assert (await row(match))[1] == 1
