"""A store on each kind of Redis: one server, behind Sentinels, and a cluster; also failed over."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from proofs.redis_engines import Cluster, Sentinels, cluster, sentinels
from proofs.redis_node import wait_until
from tests.state.conftest import PATIENT, Board, make_store

from holdfast import redis
from holdfast.errors import StateConflictError, StoreUnavailableError
from holdfast.state import StateStore

GUARD = 60.0  # seconds, on a busy machine
Open = Callable[[], Awaitable[Any]]


@asynccontextmanager
async def opened(kind: str) -> AsyncIterator[tuple[Any, Callable[..., Any]]]:
    """Start servers; give them, and what makes a client."""
    if kind == "sentinels":
        async with sentinels() as servers:
            yield servers, lambda **given: redis.client(servers.url, **given)
    else:
        async with cluster() as servers:
            yield servers, lambda **given: redis.cluster(servers.url, **given)


@pytest.fixture(params=["sentinels", "cluster"])
async def engine(request) -> AsyncIterator[tuple[Any, Callable[..., Any]]]:
    """Give servers, and what makes a client."""
    async with opened(request.param) as found:
        yield found


async def test_everything_works(engine, db, begin, row):
    """Each operation, on many keys, that are in different slots of a cluster."""
    _, connect = engine
    async with connect(policy=PATIENT) as client, connect(policy=PATIENT) as other:
        store, away = make_store(db, client, batch_size=7), make_store(db, other)
        await store.open()
        matches = [await begin() for _ in range(30)]
        assert (await store.recover()).filled == 30
        for match in matches:
            await store.update(match, lambda _: Board(turn=1))
        kept = await store.update(matches[0], lambda _: Board(turn=2))
        with pytest.raises(StateConflictError):
            await away.save(matches[0], Board(turn=9), expect=kept.version - 1)

        assert await away.persist(matches[0]) == kept.version
        assert (await store.stats()).dirty == 29
        assert (await store.verify()).waiting == 29
        assert await away.flush() == 29, "found by another process"
        assert [(await row(match))[1] for match in matches] == [2] + [1] * 29
        assert all(each.ok for each in await store.check())
        assert await store.delete(matches[1])
        assert await away.load(matches[1]) is None
        found = await store.verify()
        assert (found.same, found.differences) == (29, [])
        assert (await store.stats()).keys == 29


async def test_a_cluster_is_written_by_whoever_saved(db, begin, row, monkeypatch):
    """Between two looks at all keys a writer goes by what its own process has touched.

    Also where it looked while a save was under way.
    """
    async with opened("cluster") as (_, connect), connect(policy=PATIENT) as client:
        store = make_store(db, client, flush_interval=0.01, sweep_interval=3600)
        counted, *matches = [await begin() for _ in range(11)]
        await store.update(counted, lambda _: Board(turn=1))
        await store.stats()  # looks for marks as well, and leaves them to the writer
        assert await store._writer.write(everywhere=False) == 1
        carry_out = store._port._scripts.run

        async def look_before(call):
            if call.name == "save":
                await store._writer.write(everywhere=False)
            return await carry_out(call)

        monkeypatch.setattr(store._port._scripts, "run", look_before)
        async with store.flushing():
            for match in matches:
                await store.update(match, lambda _: Board(turn=1))

            async def written() -> bool:
                return [(await row(match))[1] for match in matches] == [1] * 10

            await wait_until(written, GUARD)


@dataclass(slots=True)
class Played:
    """What players were told: the moves of each match that are durable, and that were saved."""

    durable: dict[Any, list[str]] = field(default_factory=dict)
    tried: set[str] = field(default_factory=set)
    saves: int = 0
    failures: int = 0


async def play(store: StateStore[Board], name: str, matches: list[Any], told: Played) -> None:
    """Make moves until cancelled; each third is persisted."""
    number = 0
    while True:
        number += 1
        match, move = matches[number % len(matches)], f"{name}-{number}"
        told.tried.add(move)

        def add(board: Board, move: str = move) -> Board:
            return Board(turn=board.turn + 1, moves=[*board.moves, move])

        try:
            entry = await store.update(match, add)
            told.saves += 1
            if number % 3 == 0:
                await store.persist(match, entry)
                best = told.durable.get(match, [])
                told.durable[match] = max(best, entry.value.moves, key=len)
        except (StoreUnavailableError, StateConflictError):
            told.failures += 1
            await asyncio.sleep(0.01)


async def until(saves: int, told: Played) -> None:
    """Let so many more be saved."""
    most = told.saves + saves

    async def reached() -> bool:
        return told.saves >= most

    await wait_until(reached, GUARD)


async def fail_over(servers: Sentinels | Cluster, how: str) -> None:
    """Let another server take over."""
    if isinstance(servers, Sentinels):
        if how == "planned":
            await servers.fail_over()
        else:
            servers.master.kill()
            await servers.until_taken_over()
    elif how == "planned":
        await servers.fail_over(servers.nodes[0])
    else:
        replica = await servers.replica_of(servers.nodes[0])
        servers.nodes[0].kill()
        await servers.until_master(replica)


@pytest.mark.parametrize("how", ["planned", "killed"])
async def test_a_failover_under_load(engine, db, begin, how):
    """Nothing that was persisted is missing, and no two histories are mixed."""
    servers, connect = engine
    told, matches = Played(), [await begin() for _ in range(6)]
    async with AsyncExitStack() as stack:
        stores = []
        for _ in range(2):
            client = await stack.enter_async_context(connect())
            stores.append(make_store(db, client, timeout=1, flush_interval=0.05))
            await stack.enter_async_context(stores[-1].flushing())
        players = [
            asyncio.create_task(play(stores[number % 2], str(number), matches, told))
            for number in range(4)
        ]
        await until(100, told)
        await fail_over(servers, how)
        await until(100, told)
        for each in players:
            each.cancel()
        async with asyncio.timeout(GUARD):
            await asyncio.gather(*players, return_exceptions=True)

    async with connect(policy=PATIENT) as client:
        store = make_store(db, client)
        assert told.durable
        for match in matches:
            moves = (await store.load(match)).value.moves
            kept = told.durable.get(match, [])
            assert moves[: len(kept)] == kept
            assert len(set(moves)) == len(moves)
            assert set(moves) <= told.tried
        await store.flush()
        assert (await store.verify()).differences == []
