"""Rows `state.save` and `state.load`: a game of 18 kB in Redis, by 50 tasks that have one each."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar
from uuid import UUID

import msgspec
from benchmarks.measure import Contenders, CountGoal, RatioGoal, Row, Run, Sample
from benchmarks.states import (
    EACH,
    LARGE,
    POLICY,
    PREFIX,
    REPEATS,
    TASKS,
    UPSERT,
    Game,
    GameRow,
    Parties,
    in_tasks,
    make,
    parties,
)
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.state import StateCodec, StateStore, StateTable

TAKE = "redis.call('SET', KEYS[1], ARGV[1]) return 'ok'"
NOTHING = "return 1"
SENT = ("eval", "evalsha", "script|load", "get", "set")  # all others are sent by scripts

T = TypeVar("T")
One = Callable[[int], Awaitable[object]]


def by_set(them: Parties, text: bytes) -> One:
    """Set it without a look at what is there."""
    return lambda number: them.redis.set(f"plain:{number}", text)


async def by_script(them: Parties, text: bytes, script: str) -> One:
    """Give it to a script."""
    digest = await them.redis.script_load(script)
    return lambda number: them.redis.evalsha(digest, 1, f"plain:{number}", text)


def by_upsert(them: Parties, keys: Sequence[UUID], game: Game) -> One:
    """Write its row, as the plain stack does it."""

    async def one(number: int) -> None:
        values = {"key": keys[number], "state": msgspec.json.encode(game).decode(), "version": 1}
        async with AsyncSession(them.plain) as session, session.begin():
            await session.execute(UPSERT, values)

    return one


async def by_store(store: StateStore[T], keys: Sequence[UUID], game: T) -> One:
    """Save it in place of the version that one has."""
    versions = [entry.version for key in keys if (entry := await store.load(key))]

    async def one(number: int) -> None:
        entry = await store.save(keys[number], game, expect=versions[number])
        versions[number] = entry.version

    return one


async def by_store_of_bytes(them: Parties, keys: Sequence[UUID], text: bytes) -> One:
    """The same, where nothing is to be encoded."""
    codec: StateCodec[bytes] = StateCodec(encode=lambda value: value, decode=lambda given: given)
    table: StateTable[bytes] = StateTable(model=GameRow, prefix=PREFIX)
    store = StateStore(them.db, them.redis, table=table, codec=codec, policy=POLICY)
    return await by_store(store, keys, text)


def counted(run: Run, counts: dict[str, float]) -> Run:
    """Have each sample say what was counted."""

    async def counting(work: int) -> Sample:
        return Sample(seconds=(await run(work)).seconds, counts=counts)

    return counting


@asynccontextmanager
async def saving(quick: bool) -> AsyncIterator[Contenders]:  # noqa: ARG001, FBT001
    """Each task plays on from its own last move."""
    async with parties() as them:
        keys, game = await them.fill(3 * TASKS, LARGE), make(LARGE)
        text = msgspec.json.encode(game)
        ours = await by_store(them.store, keys[:TASKS], game)
        raw = await by_store_of_bytes(them, keys[TASKS : 2 * TASKS], text)
        counts = {"round trips": await them.sent(lambda: ours(0), *SENT), "bytes": len(text)}

        def side(title: str, one: One) -> tuple[str, Run]:
            return title, in_tasks(one)

        yield Contenders(
            limit=side("EVALSHA that sets it", await by_script(them, text, TAKE)),
            peers=[side("upsert, session", by_upsert(them, keys[2 * TASKS :], game))],
            ours=("store.save", counted(in_tasks(ours), counts)),
            beside=[
                side("SET", by_set(them, text)),
                side("EVALSHA that does nothing with it", await by_script(them, text, NOTHING)),
                side("store.save of bytes", raw),
            ],
        )


@asynccontextmanager
async def loading(quick: bool) -> AsyncIterator[Contenders]:  # noqa: ARG001, FBT001
    """Redis has all of them."""
    async with parties() as them:
        keys, decoder = await them.fill(TASKS, LARGE), msgspec.json.Decoder(Game)
        text = msgspec.json.encode(make(LARGE))
        for number in range(TASKS):
            await them.redis.set(f"plain:{number}", text)

        def get(decode: Callable[[bytes], object]) -> One:
            async def one(number: int) -> None:
                found = await them.redis.get(f"plain:{number}")
                assert isinstance(found, bytes)
                decode(found)

            return one

        async def ours(number: int) -> None:
            await them.store.load(keys[number])

        for number in range(TASKS):
            await ours(number)
        counts = {"round trips": await them.sent(lambda: ours(0), *SENT)}
        plain = [(title, in_tasks(get(decode))) for title, decode in (
            ("GET", bytes),
            ("GET, json.loads", json.loads),
            ("GET, msgspec", decoder.decode),
        )]  # fmt: skip
        yield Contenders(
            limit=plain[0],
            peers=[plain[1]],
            ours=("store.load", counted(in_tasks(ours), counts)),
            beside=[plain[2]],
        )


SAVE = Row(
    name="state.save",
    what=f"a game of 18 kB replaced in Redis, by {TASKS} tasks",
    goals=[RatioGoal(at_most=1.15), CountGoal(count="round trips", at_most=1)],
    contenders=saving,
    pieces=EACH,
    repeats=REPEATS,
)
LOAD = Row(
    name="state.load",
    what=f"a game of 18 kB read from Redis into a struct, by {TASKS} tasks",
    goals=[RatioGoal(at_most=1.9), CountGoal(count="round trips", at_most=1)],
    contenders=loading,
    pieces=EACH,
    repeats=REPEATS,
)
