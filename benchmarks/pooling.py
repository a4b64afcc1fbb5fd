"""Rows `pool.burst`, `pool.queue` and `cancel.storm`: many callers of few connections."""

import asyncio
import gc
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise

import anyio
import asyncpg
from benchmarks.measure import Contenders, CountGoal, RatioGoal, Row, Run, Sample
from sqlalchemy import event, make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from holdfast.database import Database, DatabasePolicy
from holdfast.events import Events
from holdfast.pool import PoolPolicy
from holdfast.services import PostgresServer

LEAST, MOST = 5, 20
BURSTS, CROWD = 20, 50
QUEUE = 5_000
UNITS, TASKS = 1_000, 50  # of the storm; half of them are cancelled
PIECE = 100  # units of it, for a quick run and for growth
QUERY = "SELECT 17"
SLEEP = "SELECT pg_sleep(0.005) /* stormed */"
ENDLESS = "SELECT pg_sleep(60) /* stormed */"  # which ends only if somebody sees to it
SELDOM = 50  # one of so many that are cancelled
LONGEST = 0.06  # seconds until a unit is cancelled: about what one takes, the wait in line included
RUNNING = """
SELECT count(*) FROM pg_stat_activity
WHERE query LIKE '%stormed%' AND state <> 'idle' AND pid <> pg_backend_pid()
"""
END = RUNNING.replace("count(*)", "pg_terminate_backend(pid)")
GIVE_UP = 2.0  # seconds

One = Callable[[], Awaitable[object]]


@dataclass
class Party:
    """Somebody who asks one query, and how many connections were made for it so far."""

    one: One
    made: list[object] = field(default_factory=list)
    endless: One | None = None

    @classmethod
    def on(cls, engine: AsyncEngine, one: One, endless: One | None = None) -> "Party":
        """Count the connections of an engine."""
        made: list[object] = []
        event.listen(engine.sync_engine, "do_connect", lambda *_: made.append(1))
        return cls(one, made, endless)


def by_session(engine: AsyncEngine, sql: str = QUERY) -> One:
    """Ask in a session of its own."""
    query = text(sql)

    async def one() -> object:
        async with AsyncSession(engine) as session:
            return await session.scalar(query)

    return one


def by_read(db: Database) -> One:
    """Ask in a session that only reads."""
    query = text(QUERY)

    async def one() -> object:
        async with db.read() as session:
            return await session.scalar(query)

    return one


def by_lane(db: Database) -> One:
    """Ask on the driver's own connection."""

    async def one() -> object:
        async with db.engine.connect() as connection:
            driver: asyncpg.Connection = (await connection.get_raw_connection()).driver_connection
            return await driver.fetchval(QUERY)

    return one


@dataclass(frozen=True, slots=True, kw_only=True)
class Parties:
    """A server, and everybody's pool on it."""

    outside: asyncpg.Connection
    driver: asyncpg.Pool
    overflowing: AsyncEngine
    fixed: AsyncEngine
    repository: AsyncEngine
    db: Database


@asynccontextmanager
async def parties() -> AsyncIterator[Parties]:
    """Start a server that has room for all, and connect them."""
    from advanced_alchemy.config import EngineConfig, SQLAlchemyAsyncConfig  # noqa: PLC0415

    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(PostgresServer())
        url = make_url(server.url("owner")).set(drivername="postgresql+asyncpg")
        text_url = url.render_as_string(hide_password=False)
        config = SQLAlchemyAsyncConfig(
            connection_string=text_url,
            engine_config=EngineConfig(
                pool_size=LEAST, max_overflow=MOST - LEAST, pool_timeout=300
            ),
        )
        growing = {"pool_size": LEAST, "max_overflow": MOST - LEAST, "pool_timeout": 300}
        engines = (
            create_async_engine(url, **growing),
            create_async_engine(url, pool_size=MOST, max_overflow=0, pool_timeout=300),
            config.get_engine(),
        )
        for engine in engines:
            stack.push_async_callback(engine.dispose)
        pool = PoolPolicy(min_size=LEAST, max_size=MOST, timeout=300)
        db = Database(text_url, policy=DatabasePolicy(pool=pool), events=Events(lambda _: None))
        driver = asyncpg.create_pool(server.url("owner"), min_size=MOST, max_size=MOST)
        yield Parties(
            outside=await asyncpg.connect(server.url("owner")),
            driver=await stack.enter_async_context(driver),
            overflowing=engines[0],
            fixed=engines[1],
            repository=engines[2],
            db=await stack.enter_async_context(db),
        )


def in_bursts(party: Party, *, quick: bool) -> Run:
    """Give a run of crowds that come one after the other; more work is more of them."""

    async def run(work: int) -> Sample:
        bursts = 2 if quick else BURSTS * work
        gc.collect()
        began = time.perf_counter()
        await asyncio.gather(*(party.one() for _ in range(CROWD)))
        first = len(party.made)
        for _ in range(bursts - 1):
            await asyncio.gather(*(party.one() for _ in range(CROWD)))
        seconds = time.perf_counter() - began
        counts = {"reconnections": len(party.made) - first}
        return Sample(seconds=seconds / (bursts * CROWD), counts=counts)

    return run


@asynccontextmanager
async def burst(quick: bool) -> AsyncIterator[Contenders]:  # noqa: FBT001
    """Each keeps its pool from run to run, as a service does."""

    def side(title: str, party: Party) -> tuple[str, Run]:
        return title, in_bursts(party, quick=quick)

    async with parties() as them:
        ours = Party.on(them.db.engine, by_session(them.db.engine))
        reading, lane = Party(by_read(them.db), ours.made), Party(by_lane(them.db), ours.made)
        yield Contenders(
            limit=side("asyncpg.Pool(20)", Party(lambda: them.driver.fetchval(QUERY))),
            peers=[side("SQLAlchemy 20+0", Party.on(them.fixed, by_session(them.fixed)))],
            ours=side("Holdfast 5 to 20, session", ours),
            beside=[
                side("Holdfast 5 to 20, read()", reading),
                side("Holdfast 5 to 20, driver", lane),
                side("SQLAlchemy 5+15", Party.on(them.overflowing, by_session(them.overflowing))),
                side(
                    "advanced-alchemy 5+15",
                    Party.on(them.repository, by_session(them.repository)),
                ),
            ],
        )


@asynccontextmanager
async def lane(quick: bool) -> AsyncIterator[Contenders]:  # noqa: FBT001
    """Compare the driver's connection of each pool."""
    async with parties() as them:
        ours = Party.on(them.db.engine, by_lane(them.db))
        driver = Party(lambda: them.driver.fetchval(QUERY))
        yield Contenders(
            limit=("asyncpg.Pool(20)", in_bursts(driver, quick=quick)),
            ours=("Holdfast 5 to 20, driver", in_bursts(ours, quick=quick)),
        )


def in_queue(one: One, served: list[int]) -> Run:
    """Give a run of callers who all come at once."""

    async def call(waits: list[float]) -> None:
        began = time.perf_counter()
        await one()
        waits.append(time.perf_counter() - began)

    async def run(work: int) -> Sample:
        waits: list[float] = []
        served.clear()
        number = CROWD * work
        gc.collect()
        began = time.perf_counter()
        callers = [asyncio.create_task(call(waits), name=f"{each}") for each in range(number)]
        await asyncio.gather(*callers)
        seconds = (time.perf_counter() - began) / number
        waits.sort()
        waited = [each for each in served if each >= MOST]  # the others have one at once
        overtaken = sum(one > other for one, other in pairwise(waited))
        spread = waits[int(number * 0.99)] / waits[number // 2]
        return Sample(
            seconds=seconds,
            counts={"p99 in p50s": round(spread, 2), "callers overtaken": overtaken},
        )

    return run


@asynccontextmanager
async def queue(quick: bool) -> AsyncIterator[Contenders]:  # noqa: ARG001, FBT001
    """The order is that in which our pool hands its connections over."""
    async with parties() as them:
        served: list[int] = []
        event.listen(them.db.engine.sync_engine, "checkout", lambda *_: served.append(_caller()))
        yield Contenders(
            limit=(
                "asyncpg.Pool(20)",
                in_queue(lambda: them.driver.fetchval(QUERY), []),
            ),
            peers=[("SQLAlchemy 20+0", in_queue(by_session(them.fixed), []))],
            ours=(
                "Holdfast 5 to 20, session",
                in_queue(by_session(them.db.engine), served),
            ),
            beside=[("Holdfast 5 to 20, read()", in_queue(by_read(them.db), []))],
        )


def _caller() -> int:
    task = asyncio.current_task()
    return int(task.get_name()) if task and task.get_name().isdigit() else 0


async def cut_task(one: One, after: float) -> None:
    """Cancel a task."""
    task = asyncio.ensure_future(one())
    asyncio.get_running_loop().call_later(after, task.cancel)
    await asyncio.wait({task})


async def cut_timeout(one: One, after: float) -> None:
    """Let a time limit of asyncio end it."""
    try:
        async with asyncio.timeout(after):
            await one()
    except TimeoutError:
        pass


async def cut_scope(one: One, after: float) -> None:
    """Let a scope of anyio end it."""
    with anyio.move_on_after(after):
        await one()


WAYS = (cut_task, cut_timeout, cut_scope)


def in_storm(party: Party, outside: asyncpg.Connection, *, cancelled: bool) -> Run:
    """Give a run of units of which every second is cancelled, or none."""

    async def worker(numbers: Sequence[int], chance: random.Random) -> None:
        for number in numbers:
            if number % 2 or not cancelled:
                await party.one()
            elif party.endless and not number % (2 * SELDOM):
                await chance.choice(WAYS)(party.endless, LONGEST)
            else:
                await chance.choice(WAYS)(party.one, chance.uniform(0, LONGEST))

    async def run(work: int) -> Sample:
        chance, before = random.Random(work), len(party.made)
        units = PIECE * work
        gc.collect()
        began = time.perf_counter()
        parts = [range(first, units, TASKS) for first in range(TASKS)]
        # Each worker gets both kinds: its numbers are moved by one in every second round.
        mixed = [[each + (each // TASKS) % 2 for each in part] for part in parts]
        await asyncio.gather(*(worker(part, chance) for part in mixed))
        seconds = (time.perf_counter() - began) / units
        counts = {
            "statements left running": await _left(outside),
            "reconnections": len(party.made) - before,
        }
        return Sample(seconds=seconds, counts=counts)

    return run


async def _left(outside: asyncpg.Connection) -> int:
    until = time.perf_counter() + GIVE_UP
    while True:
        left = int(await outside.fetchval(RUNNING))
        if not left or time.perf_counter() > until:
            await outside.execute(END)  # or there is no room for the next run
            return left


@asynccontextmanager
async def storm(quick: bool) -> AsyncIterator[Contenders]:  # noqa: ARG001, FBT001
    """What is compared is the time in which the units that nobody cancels are done."""
    async with parties() as them:

        def side(title: str, party: Party, *, cancelled: bool) -> tuple[str, Run]:
            return title, in_storm(party, them.outside, cancelled=cancelled)

        def party(engine: AsyncEngine) -> Party:
            return Party.on(engine, by_session(engine, SLEEP), by_session(engine, ENDLESS))

        ours, fixed, growing = map(party, (them.db.engine, them.fixed, them.overflowing))
        yield Contenders(
            limit=side("Holdfast, none cancelled", replace(ours), cancelled=False),
            peers=[side("SQLAlchemy 20+0", fixed, cancelled=True)],
            ours=side("Holdfast, half cancelled", ours, cancelled=True),
            beside=[side("SQLAlchemy 5+15", growing, cancelled=True)],
        )


BURST = Row(
    name="pool.burst",
    what=f"a query of {BURSTS} bursts of {CROWD}, on {LEAST} connections growing to {MOST}",
    goals=[
        RatioGoal(at_most=1.0, of="SQLAlchemy 20+0"),
        CountGoal(count="reconnections", at_most=0),
    ],
    contenders=burst,
)
LANE = Row(
    name="pool.burst.lane",
    what="the same on the driver's connection of the pooled one",
    goals=[RatioGoal(at_most=1.3), CountGoal(count="reconnections", at_most=0)],
    contenders=lane,
)
LINE = Row(
    name="pool.queue",
    what=f"a query of {QUEUE} callers who come at once",
    goals=[
        RatioGoal(at_most=1.0, of="SQLAlchemy 20+0"),
        CountGoal(count="p99 in p50s", at_most=2),
        CountGoal(count="callers overtaken", at_most=0),
    ],
    contenders=queue,
    pieces=QUEUE // CROWD,
)
STORM = Row(
    name="cancel.storm",
    what=f"a unit of {UNITS} by {TASKS} tasks, of which every second is cancelled",
    goals=[
        RatioGoal(at_most=1 / 0.7),
        CountGoal(count="statements left running", at_most=0),
    ],
    contenders=storm,
    pieces=UNITS // PIECE,
)
