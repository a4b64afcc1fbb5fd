"""Row `state.flush`: 10,000 games of 1.7 kB, each saved ten times, brought to their rows."""

import asyncio
import gc
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import msgspec
from benchmarks.measure import Contenders, CountGoal, RatioGoal, Row, Sample
from benchmarks.states import CONNECTIONS, SMALL, TASKS, UPSERT, Game, Parties, make, parties
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.state import Entry

PIECE, PIECES = 100, 100  # games, and how many times so many
SAVES = 10  # of each game
BATCH = 500
FRACTION = 50  # the peer writes one of so many games: all would take a minute and more
UPDATE = """
    UPDATE games SET state = given.state::jsonb, version = given.version
    FROM unnest($1::uuid[], $2::bigint[], $3::text[]) AS given (id, version, state)
    WHERE games.id = given.id AND games.version < given.version"""
IDLE = 2.0  # seconds in which saves are watched while nothing else is done

Held = tuple[UUID, Entry[Game]]


async def flush_by_hand(them: Parties, names: Sequence[str]) -> None:
    """Read them in pipelines, and write each batch in one statement."""
    for first in range(0, len(names), BATCH):
        pipeline = them.redis.pipeline(transaction=False)
        for name in names[first : first + BATCH]:
            pipeline.hmget(f"plain:{name}", "version", "state")
        found = await pipeline.execute()
        await them.driver.execute(
            UPDATE,
            [UUID(name) for name in names[first : first + BATCH]],
            [int(version) for version, _ in found],
            [state.decode() for _, state in found],
        )


async def keep_by_hand(them: Parties, names: Sequence[str], version: int) -> None:
    """Have Redis hold what is to be flushed by hand."""
    state = msgspec.json.encode(make(SMALL))
    pipeline = them.redis.pipeline(transaction=False)
    for name in names:
        pipeline.hset(f"plain:{name}", mapping={"version": version, "state": state})
    await pipeline.execute()


async def upsert(them: Parties, keys: Sequence[UUID], game: Game) -> None:
    """Write each save to its row, as the plain stack does it."""
    waiting = iter([key for key in keys for _ in range(SAVES)])

    async def task() -> None:
        for key in waiting:
            values = {"key": key, "state": msgspec.json.encode(game).decode(), "version": 1}
            async with AsyncSession(them.plain) as session, session.begin():
                await session.execute(UPSERT, values)

    await asyncio.gather(*(task() for _ in range(CONNECTIONS)))


async def save_all(them: Parties, keys: Sequence[UUID], game: Game, times: int) -> None:
    """Save each game so many times."""
    waiting = iter(keys)

    async def task() -> None:
        for key in waiting:
            entry = await them.store.load(key)
            for _ in range(times):
                assert entry
                entry = await them.store.save(key, game, expect=entry.version)

    await asyncio.gather(*(task() for _ in range(TASKS)))


async def worst(
    them: Parties, entries: Sequence[tuple[UUID, Entry[Game]]], end: asyncio.Event
) -> float:
    """Save some games until the end, and give the 99th percentile of the seconds of a save."""
    took: list[float] = []

    async def task(key: UUID, entry: Entry[Game]) -> None:
        while not end.is_set() or not took:
            began = time.perf_counter()
            entry = await them.store.save(key, entry.value, expect=entry.version)
            took.append(time.perf_counter() - began)

    await asyncio.gather(*(task(key, entry) for key, entry in entries))
    return sorted(took)[int(len(took) * 0.99)]


async def slower_saves(them: Parties, keys: Sequence[UUID], *, quick: bool) -> float:
    """Give how many times as long the slowest saves of 50 tasks take during a flush."""

    async def playing() -> Sequence[Held]:
        return [(key, entry) for key in keys[:TASKS] if (entry := await them.store.load(key))]

    end, entries = asyncio.Event(), await playing()
    asyncio.get_running_loop().call_later(0.1 if quick else IDLE, end.set)
    idle = await worst(them, entries, end)
    await save_all(them, keys[TASKS:], make(SMALL), 1)
    end = asyncio.Event()
    saving = asyncio.create_task(worst(them, await playing(), end))
    await them.store.flush()
    end.set()
    return await saving / idle


@asynccontextmanager
async def contenders(quick: bool) -> AsyncIterator[Contenders]:  # noqa: FBT001
    """More work is more games; that they are saved is not timed."""
    async with parties() as them:
        versions, game = itertools.count(1 << 50), make(SMALL)
        statements: list[int] = []
        event.listen(
            them.db.engine.sync_engine, "before_cursor_execute", lambda *_: statements.append(1)
        )
        keys = await them.fill(PIECE * (1 if quick else PIECES), SMALL)
        slower = await slower_saves(them, keys, quick=quick)

        async def begin(work: int) -> Sequence[UUID]:
            found = await them.fill(PIECE * work, SMALL)
            gc.collect()
            return found

        async def limit(work: int) -> Sample:
            names = [str(key) for key in await begin(work)]
            await keep_by_hand(them, names, next(versions))
            began = time.perf_counter()
            await flush_by_hand(them, names)
            return Sample(seconds=time.perf_counter() - began)

        async def peer(work: int) -> Sample:
            keys = (await begin(work))[::FRACTION]
            began = time.perf_counter()
            await upsert(them, keys, game)
            return Sample(seconds=(time.perf_counter() - began) * FRACTION)

        async def ours(work: int) -> Sample:
            await save_all(them, await begin(work), game, SAVES)
            statements.clear()
            began = time.perf_counter()
            written = await them.store.flush()
            seconds = time.perf_counter() - began
            assert written == PIECE * work
            counts = {"statements": len(statements), "p99 of saves in idle ones": slower}
            return Sample(seconds=seconds, counts=counts)

        yield Contenders(
            limit=("HMGET in pipelines, UPDATE of 500", limit),
            peers=[(f"upsert of each save, {FRACTION} x a fiftieth", peer)],
            ours=("store.flush", ours),
        )


ROW = Row(
    name="state.flush",
    what=f"{PIECE * PIECES:,} games of 1.7 kB, each saved {SAVES} times, to their rows",
    goals=[
        RatioGoal(at_most=1.3),
        CountGoal(count="statements", at_most=25),
        CountGoal(count="p99 of saves in idle ones", at_most=2),
    ],
    contenders=contenders,
    pieces=PIECES,
    repeats=5,
)
