"""What the rows `state.*` save, load, flush and recover, and who does it.

Games of a struct, as a card game has them. All clients of Redis have the same settings: 20
connections, and the limits of a machine that is shared.
"""

import asyncio
import gc
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import asyncpg
import msgspec
from benchmarks.measure import Run, Sample
from redis.asyncio import Redis
from sqlalchemy import MetaData, make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import Mapped, mapped_column

from holdfast import redis
from holdfast.database import Database
from holdfast.models import Base as HoldfastBase
from holdfast.models import UUIDKey, json_type, uuid7
from holdfast.services import PostgresServer, RedisServer
from holdfast.state import StatePolicy, StateStore, StateTable, state_version

TASKS, CONNECTIONS = 50, 20
EACH = 10  # units of a task in one run
REPEATS = 21  # such runs are short, and so the more
LARGE, SMALL = 125, 11  # cards of a game of 18 kB, and of one of 1.7
PREFIX = "game:"
LIMITS = redis.RedisPolicy(
    timeout=60, connect_timeout=60, pool_timeout=60, max_connections=CONNECTIONS
)
POLICY = StatePolicy(timeout=60, flush_timeout=60, lease=120)
CREATE = """
    CREATE SEQUENCE holdfast_epoch;
    CREATE TABLE games (
        id uuid PRIMARY KEY, state jsonb NOT NULL,
        version bigint NOT NULL DEFAULT nextval('holdfast_epoch') << 23
    ) WITH (autovacuum_enabled = off)"""  # it would come upon one contender or the other


class Base(HoldfastBase):
    """The benchmark's own tables."""

    __abstract__ = True
    metadata = MetaData()


class GameRow(UUIDKey, Base):
    """Where a game is kept."""

    __tablename__ = "games"

    state: Mapped[dict[str, object]] = mapped_column(json_type())
    version: Mapped[int] = state_version()


class Card(msgspec.Struct):
    """A card where it lies."""

    id: str
    name: str
    zone: str
    owner: int
    damage: int
    energy: list[str]
    since: float


class Game(msgspec.Struct):
    """What is saved after each move."""

    turn: int
    phase: str
    players: list[str]
    prizes: list[int]
    cards: list[Card]


def make(cards: int) -> Game:
    """Make a game of so many cards."""
    return Game(
        turn=7,
        phase="main",
        players=[str(uuid7()), str(uuid7())],
        prizes=[4, 5],
        cards=[
            Card(
                id=str(uuid7()),
                name=f"Card of the set {number}",
                zone=("deck", "hand", "bench", "discard")[number % 4],
                owner=number % 2,
                damage=10 * (number % 5),
                energy=["fire", "water"][: number % 3],
                since=number / 8,
            )
            for number in range(cards)
        ],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Parties:
    """Both servers, and all who use them.

    Attributes:
        url: of PostgreSQL.
        redis_url: of Redis.
        driver: a connection of one's own.
        plain: the plain stack's engine.
        redis: the client of everybody.
        watch: another, which looks at the server.
        db: ours.
        store: ours.
    """

    url: str
    redis_url: str
    driver: asyncpg.Connection
    plain: AsyncEngine
    redis: Redis
    watch: Redis
    db: Database
    store: StateStore[Game]

    async def fill(self, games: int, cards: int) -> Sequence[uuid.UUID]:
        """Have so many rows and nothing else, in Redis nothing at all; give their keys."""
        keys = [uuid7() for _ in range(games)]
        await self.redis.flushall()
        await self.driver.execute("TRUNCATE games")
        state = msgspec.json.encode(make(cards)).decode()
        for first in range(0, games, 1_000):
            await self.driver.execute(
                "INSERT INTO games (id, state) SELECT unnest($1::uuid[]), $2::text::jsonb",
                keys[first : first + 1_000],
                state,
            )
        await self.driver.execute("VACUUM ANALYZE games")
        return keys

    async def sent(self, one: Callable[[], Awaitable[object]], *commands: str) -> float:
        """Count how often clients send any of some commands in one unit."""
        await one()  # which loads the scripts
        before = await self._calls(commands)
        await one()
        return await self._calls(commands) - before

    async def _calls(self, commands: Sequence[str]) -> int:
        told = await self.watch.info("commandstats")
        return sum(told.get(f"cmdstat_{each}", {}).get("calls", 0) for each in commands)


@asynccontextmanager
async def parties() -> AsyncIterator[Parties]:
    """Start both servers with the table, and connect everybody."""
    async with AsyncExitStack() as stack:
        postgres = await stack.enter_async_context(PostgresServer())
        url, redis_url = (
            postgres.url("owner"),
            (await stack.enter_async_context(RedisServer())).url(),
        )
        driver = await asyncpg.connect(url)
        stack.push_async_callback(driver.close)
        await driver.execute(CREATE)
        yield await connect(stack, url, redis_url, driver)


async def connect(
    stack: AsyncExitStack, url: str, redis_url: str, driver: asyncpg.Connection
) -> Parties:
    """Connect everybody to servers that have the table."""
    clients = [redis.client(redis_url, policy=LIMITS) for _ in range(2)]
    for client in clients:
        stack.push_async_callback(client.aclose)
    plain = create_async_engine(
        make_url(url).set(drivername="postgresql+asyncpg"), pool_size=CONNECTIONS, max_overflow=0
    )
    stack.push_async_callback(plain.dispose)
    db = await stack.enter_async_context(Database(url))
    return Parties(
        url=url,
        redis_url=redis_url,
        driver=driver,
        plain=plain,
        redis=clients[0],
        watch=clients[1],
        db=db,
        store=store(db, clients[0]),
    )


def store(db: Database, client: Redis) -> StateStore[Game]:
    """Give our store of the games."""
    table: StateTable[Game] = StateTable(model=GameRow, prefix=PREFIX)
    return StateStore(db, client, table=table, codec=Game, policy=POLICY)


def in_tasks(one: Callable[[int], Awaitable[object]], tasks: int = TASKS) -> Run:
    """Give a run of numbered tasks that each do so much in turn; more work is more of it."""

    async def task(number: int, times: int) -> None:
        for _ in range(times):
            await one(number)

    async def run(work: int) -> Sample:
        gc.collect()  # nobody's waste is the next one's work
        began = time.perf_counter()
        await asyncio.gather(*(task(number, work) for number in range(tasks)))
        return Sample(seconds=(time.perf_counter() - began) / (work * tasks))

    return run


UPSERT = text(
    "INSERT INTO games (id, state, version) VALUES (:key, CAST(:state AS jsonb), :version) "
    "ON CONFLICT (id) DO UPDATE SET state = excluded.state, version = excluded.version"
)
