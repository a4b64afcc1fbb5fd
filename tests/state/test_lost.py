"""Servers that freeze, are cut off, restart or lose an answer, under a store."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from proofs.folders import open_folder
from proofs.redis_node import Node, wait_until
from sqlalchemy import text
from tests.state.conftest import PATIENT, Board, make_store
from tests.state.lossy import lossy_way

from holdfast import redis
from holdfast.database import Database
from holdfast.errors import (
    CommitUnknownError,
    OutcomeUnknownError,
    StateConflictError,
    StoreUnavailableError,
)
from holdfast.services import find_redis
from holdfast.state.requests import Acknowledge
from holdfast.testing.faults import Faults

HASTY = redis.RedisPolicy(connect_timeout=0.3, timeout=0.3)
GUARD = 30.0  # seconds: a call that hangs ends the test; how long one takes is no test


def turn(number):
    return lambda _: Board(turn=number)


async def count_calls(client):
    """Count how often a script was run by its hash."""
    return (await client.info("commandstats"))["cmdstat_evalsha"]["calls"]


async def resumes(call):
    """Call until it succeeds: what was away is there again, and nothing else was done."""

    async def succeeds():
        try:
            await call()
        except StoreUnavailableError:
            return False
        return True

    await wait_until(succeeds, GUARD)


# --- PostgreSQL


@pytest.fixture
async def behind(database_url, db):
    """Give what stands in front of the database, and the database behind it."""
    with Faults(database_url) as faults:
        async with Database(faults.url) as opened:
            yield faults, opened


@pytest.mark.parametrize("how", ["paused", "refused"])
async def test_postgres_away(behind, client, begin, row, how):
    """Saving goes on, what needs the row fails and changes nothing, and it resumes by itself."""
    faults, db = behind
    store = make_store(db, client, timeout=0.3, flush_timeout=0.5)
    known, unknown = await begin(), await begin(turn=7)
    entry = await make_store(db, client).load(known)

    if how == "paused":
        faults.pause_server()
    else:
        faults.refuse()
        faults.drop_all()
    async with asyncio.timeout(GUARD):
        entry = await make_store(db, client).save(known, Board(turn=1), expect=entry.version)
        for call in (
            lambda: store.persist(known),
            lambda: store.persist(known, entry),
            lambda: store.load(unknown),
            lambda: store.read_durable(known),
            store.flush,
            lambda: store.delete(unknown),
        ):
            with pytest.raises(StoreUnavailableError):
                await call()
    faults.heal()

    patient = make_store(db, client)
    await resumes(lambda: patient.persist(known))
    assert (await row(known))[:2] == (entry.version, 1)
    await resumes(lambda: patient.load(unknown))
    assert (await patient.load(known)).value == Board(turn=1)


async def test_what_waits_while_postgres_is_away_is_written_later(behind, client, begin, row):
    """By the writer in the background, which is told of each round that failed."""
    faults, db = behind
    facts = []
    store = make_store(db, client, facts, flush_interval=0.01, flush_timeout=0.3)
    match = await begin()
    await store.load(match)

    async with store.flushing():
        faults.refuse()
        faults.drop_all()
        await store.update(match, turn(1))

        async def failed():
            return any(type(each).__name__ == "StoreFailed" for each in facts)

        await wait_until(failed, GUARD)
        faults.heal()

        async def written():
            return (await row(match))[1] == 1

        await wait_until(written, GUARD)


async def test_what_is_left_at_the_end_is_not_waited_for_without_end(behind, client, begin):
    """A service that stops while PostgreSQL is frozen stops; what waits is written by another."""
    faults, db = behind
    facts = []
    store = make_store(db, client, facts, drain_timeout=0.2)
    match = await begin()

    async with asyncio.timeout(GUARD):
        async with store.flushing():
            await store.update(match, turn(1))
            faults.pause_server()
    faults.heal()

    assert [each.what for each in facts if type(each).__name__ == "StoreFailed"] == ["drain"]
    assert (await store.stats()).dirty == 1


@pytest.mark.parametrize("reached", [True, False])
async def test_a_write_whose_answer_is_lost(behind, client, begin, row, reached):
    """It is sent once more, which changes nothing where the first one was done."""
    faults, db = behind
    store = make_store(db, client)
    match = await begin()
    entry = await store.update(match, turn(1))

    faults.drop_connection(at="WITH locked", reached=reached)

    assert await store.persist(match) == entry.version
    assert (await row(match))[:2] == (entry.version, 1)


@pytest.mark.parametrize("reached", [True, False])
async def test_a_fence_whose_answer_is_lost(behind, client, begin, reached):
    """The row is read again, and fenced again."""
    faults, db = behind
    store = make_store(db, client)
    match = await begin(turn=5)

    faults.drop_connection(at="WITH locked", reached=reached)
    entry = await store.load(match)

    assert entry.value == Board(turn=5)
    await store.save(match, Board(turn=6), expect=entry.version)


@pytest.mark.parametrize("reached", [True, False])
async def test_a_deletion_whose_answer_is_lost(behind, client, begin, row, reached):
    """The row is looked for, and deleted where it is still there."""
    faults, db = behind
    store = make_store(db, client)
    match = await begin()
    await store.update(match, turn(1))

    faults.drop_connection(at="DELETE", reached=reached)

    assert await store.delete(match) is True
    assert (await row(match), await store.load(match)) == (None, None)


@pytest.mark.parametrize("reached", [True, False])
async def test_a_commit_whose_answer_is_lost(behind, client, begin, row, reached):
    """The next load finds out by the row what became of the deletion."""
    faults, db = behind
    store = make_store(db, client)
    match = await begin()
    await store.update(match, turn(1))

    faults.cut_commit(reached=reached)
    with pytest.raises(CommitUnknownError):
        async with db.begin() as session:
            await store.delete(match, session=session)

    entry = await store.load(match)
    assert (await row(match) is None) is reached
    assert entry is None if reached else entry.value == Board(turn=1)


# --- Redis


@asynccontextmanager
async def running(**settings: str) -> AsyncIterator[Node]:
    with open_folder() as folder:
        binary = await asyncio.to_thread(find_redis)
        node = Node(program=binary.path, folder=folder / "redis", settings=settings)
        try:
            await node.restart()
            yield node
        finally:
            node.kill()


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    """Give a Redis without persistence."""
    async with running(save='""') as started:
        yield started


def url_of(node: Node) -> str:
    return f"redis://{node.place}/0"


async def test_redis_frozen(node, db, begin, row):
    """Every call ends within its limit; it resumes by itself, and what was saved is there."""
    async with (
        redis.client(url_of(node), policy=HASTY) as client,
        redis.client(url_of(node), policy=PATIENT) as patient,
    ):
        store, calm = make_store(db, client, timeout=0.3), make_store(db, patient)
        match = await begin()
        saved = await calm.update(match, turn(1))
        await store.load(match)  # on a connection that stays

        node.freeze()
        async with asyncio.timeout(GUARD):
            with pytest.raises(OutcomeUnknownError):
                await store.save(match, Board(turn=2), expect=saved.version)
            for call in (
                lambda: store.save(match, Board(turn=2), expect=saved.version),  # not connected
                lambda: store.load(match),
                lambda: store.persist(match),
                store.flush,
                store.stats,
            ):
                with pytest.raises(StoreUnavailableError) as caught:
                    await call()
                assert type(caught.value) is StoreUnavailableError
            assert (await store.read_durable(match)).value == Board()
            assert [each.name for each in await store.check() if not each.ok] == ["redis"]
        node.thaw()

        await resumes(lambda: store.load(match))
        # Sent twice, done once.
        assert (await calm.load(match)).version - saved.version in {0, 1}
        await calm.persist(match)
        assert (await row(match))[1] in {1, 2}


async def test_redis_restarted_empty(node, db, begin):
    """What was not written is lost for everybody, also for who still holds it."""
    async with redis.client(url_of(node), policy=PATIENT) as client:
        store = make_store(db, client)
        match, kept = await begin(), await begin()
        await store.update(match, turn(1))
        await store.persist(match)
        lost = await store.update(match, turn(2))
        saved = await store.update(kept, turn(1))
        await store.persist(kept)

        await node.restart()

        for stale in (lost, saved):
            with pytest.raises(StateConflictError):
                await store.save(match, Board(turn=3), expect=stale.version)
        assert (await store.load(match)).value == Board(turn=1)
        assert (await store.load(kept)).value == Board(turn=1)
        with pytest.raises(StateConflictError):
            await store.persist(match, lost)
        assert (await store.recover()).rows == 2


async def test_redis_that_kept_everything(db, begin, row):
    """With appendonly nothing is lost by its crash: the row takes up what Redis was ahead with."""
    async with (
        running(appendonly="yes", appendfsync="always") as node,
        redis.client(url_of(node), policy=PATIENT) as client,
    ):
        store = make_store(db, client)
        one, two = await begin(), await begin()
        saved = [await store.update(match, turn(4)) for match in (one, two)]

        await node.restart()

        with pytest.raises(StateConflictError):  # it does not know what it had acknowledged
            await store.save(one, Board(turn=5), expect=saved[0].version)
        assert (await store.load(one)).value == Board(turn=4)
        done = await store.recover()
        assert (done.filled, done.ahead) == (1, 1)
        assert [(await row(match))[1] for match in (one, two)] == [4, 4]
        assert (await store.stats()).dirty == 0


async def test_redis_that_went_back(db, begin, row):
    """A dump of before is older than what it acknowledged, which is found out before it serves."""
    async with (
        running(save='""', dbfilename="dump.rdb") as node,
        redis.client(url_of(node), policy=PATIENT) as client,
    ):
        store = make_store(db, client)
        match, other = await begin(), await begin()
        await store.update(match, turn(1))
        await store.update(other, turn(1))
        await client.save()
        await store.update(match, turn(2))
        await store.persist(match)
        lost = await store.update(other, turn(2))

        await node.restart()

        assert (await store.load(match)).value == Board(turn=2), "it was durable"
        assert (await store.load(other)).value == Board(turn=1), "the dump had it, the row not"
        with pytest.raises(StateConflictError):
            await store.save(other, Board(turn=3), expect=lost.version)
        await store.flush()
        assert (await row(other))[1] == 1


async def test_a_save_whose_answer_is_lost(node, db, begin):
    """It is sent once more, which changes nothing, and it is known to be done."""
    async with lossy_way(node.port) as way, redis.client(way.url, policy=PATIENT) as client:
        store = make_store(db, client)
        match = await begin()
        entry = await store.update(match, turn(0))

        way.lose_answers()
        saved = await store.save(match, Board(turn=1), expect=entry.version)

        assert saved.version == entry.version + 1
        assert await store.load(match) == saved


async def test_a_save_whose_answers_are_lost(node, db, begin):
    """Neither done nor failed: who loads it sees what became of it."""
    async with lossy_way(node.port) as way, redis.client(way.url, policy=PATIENT) as client:
        store = make_store(db, client)
        match = await begin()
        entry = await store.update(match, turn(0))

        way.lose_answers(2)
        with pytest.raises(OutcomeUnknownError, match="gave no answer"):
            await store.save(match, Board(turn=1), expect=entry.version)

        assert (await store.load(match)).value == Board(turn=1)


async def test_a_fill_whose_answer_is_lost(node, db, begin, monkeypatch):
    """What is readable is what is given."""
    async with lossy_way(node.port) as way, redis.client(way.url, policy=PATIENT) as client:
        store = make_store(db, client)
        match = await begin(turn=3)
        carry_out = store._port._scripts.run
        calls = []

        async def run(call):
            calls.append(call.name)
            if calls.count("fill") == 1 and call.name == "fill":
                way.lose_answers()
            return await carry_out(call)

        monkeypatch.setattr(store._port._scripts, "run", run)
        entry = await store.load(match)

        assert entry.value == Board(turn=3)
        await store.save(match, Board(turn=4), expect=entry.version)


async def test_several_whose_answer_is_lost(node, db, begin):
    """They were asked in one call, which is not sent again; each may have had its effect."""
    async with lossy_way(node.port) as way, redis.client(way.url, policy=PATIENT) as client:
        store = make_store(db, client)
        keys = [str(await begin()) for _ in range(3)]
        asked = [Acknowledge(key) for key in keys]
        await store._port.all(asked)  # from now on Redis has the script
        before = await count_calls(client)
        way.lose_answers()

        answers = await store._port.all(asked)

        assert [type(each) for each in answers] == [OutcomeUnknownError] * 3
        assert await count_calls(client) == before + 1


async def test_scripts_that_redis_has_forgotten(node, db, begin):
    """They are sent again: it has not run them."""
    async with redis.client(url_of(node), policy=PATIENT) as client:
        store = make_store(db, client)
        matches = [await begin() for _ in range(3)]
        for match in matches:
            await store.update(match, turn(1))

        await client.script_flush()

        for match in matches:
            await store.update(match, turn(2))
        await client.script_flush()
        assert await store.flush() == 3


async def test_a_replica_that_was_a_master(node, db, begin):
    """A server that follows another vouches for nothing, and takes nothing."""
    async with redis.client(url_of(node), policy=PATIENT) as client:
        store = make_store(db, client)
        match = await begin()
        entry = await store.load(match)

        await node.ask("REPLICAOF", "127.0.0.1", "1")

        for call in (
            lambda: store.load(match),
            lambda: store.save(match, Board(turn=1), expect=entry.version),
        ):
            with pytest.raises(StoreUnavailableError, match="READONLY"):
                await call()

        await node.ask("REPLICAOF", "NO", "ONE")
        with pytest.raises(StateConflictError):
            await store.save(match, Board(turn=1), expect=entry.version)


async def test_a_row_that_was_deleted_by_somebody_else(store, begin, db, client):
    """What Redis has of it is cleared away when it cannot be written."""
    match = await begin()
    entry = await store.update(match, turn(1))
    async with db.begin() as session:
        await session.execute(text("DELETE FROM matches WHERE id = :id"), {"id": match})

    assert await store.flush() == 0

    assert await client.keys("*match*") == []
    with pytest.raises(StateConflictError):
        await store.save(match, Board(turn=2), expect=entry.version)
    assert await store.load(match) is None
