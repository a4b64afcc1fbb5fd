"""Games in Redis and PostgreSQL as they are usually kept: JSON, a set of what is dirty, a task."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Self

from proofs.state_log import REFUSED, UNKNOWN, Moves
from proofs.state_stores import Seen
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import BigInteger, Update, delete, insert, make_url, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

INTERVAL = 0.2  # seconds between two rounds of writing
TIMEOUT = 1.0  # seconds, for an answer of Redis
DIRTY = "games:dirty"


class Base(DeclarativeBase):
    """The tables."""


class Game(Base):
    """A game that is played."""

    __tablename__ = "games"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    state: Mapped[dict[str, list[int]]] = mapped_column(JSONB)


class Finished(Base):
    """A game that was played."""

    __tablename__ = "history"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    game: Mapped[int] = mapped_column(BigInteger)
    moves: Mapped[list[int]] = mapped_column(JSONB)


class Usual:
    """The usual write-behind."""

    def __init__(self, engine: AsyncEngine, redis: Redis) -> None:
        self._session = async_sessionmaker(engine, expire_on_commit=False)
        self._redis = redis

    @classmethod
    @asynccontextmanager
    async def opened(cls, postgres: str, redis: str) -> AsyncIterator[Self]:
        """Open one on the clients that most have."""
        url = make_url(postgres).set(drivername="postgresql+asyncpg")
        engine = create_async_engine(url, pool_pre_ping=True)
        client = Redis.from_url(redis, socket_timeout=TIMEOUT)
        try:
            yield cls(engine, client)
        finally:
            await client.aclose()
            await engine.dispose()

    async def games(self) -> Sequence[int]:
        """Give the keys of the rows."""
        async with self._session() as session:
            return list(await session.scalars(select(Game.id)))

    async def create(self, key: int) -> Seen:
        """Insert the row and set the key."""
        async with self._session.begin() as session:
            session.add(Game(id=key, state={"moves": []}))
        await self._redis.set(name(key), dump(()))
        return Seen(key=key, moves=())

    async def load(self, key: int) -> Seen | None:
        """Ask Redis, and the row where Redis has nothing."""
        text = await self._redis.get(name(key))
        if text is None:
            async with self._session() as session:
                state = await session.scalar(select(Game.state).where(Game.id == key))
            if state is None:
                return None
            text = json.dumps(state).encode()
            await self._redis.set(name(key), text)
        return Seen(key=key, moves=parse(text))

    async def save(self, seen: Seen, moves: Moves) -> Seen:
        """Set the key and note that it is dirty, both or none."""
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.set(name(seen.key), dump(moves))
            pipeline.sadd(DIRTY, seen.key)
            await pipeline.execute()
        return Seen(key=seen.key, moves=moves)

    async def update(self, key: int, change: Callable[[Moves], Moves]) -> Seen:
        """Load, change, save."""
        seen = await self.load(key)
        if seen is None or seen.moves is None:
            raise LookupError(key)
        return await self.save(seen, change(seen.moves))

    async def persist(self, seen: Seen) -> Seen:
        """Update the row from what is in hand."""
        assert seen.moves is not None
        async with self._session.begin() as session:
            await session.execute(_update(seen.key, seen.moves))
        return seen

    async def persist_newest(self, key: int) -> Seen:
        """Update the row from what Redis has."""
        seen = await self.load(key)
        if seen is None:
            raise LookupError(key)
        return await self.persist(seen)

    async def finish(self, seen: Seen) -> None:
        """Insert into the history and delete, then delete the key."""
        async with self._session.begin() as session:
            await session.execute(
                insert(Finished).values(game=seen.key, moves=[*(seen.moves or ())])
            )
            await session.execute(delete(Game).where(Game.id == seen.key))
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.delete(name(seen.key))
            pipeline.srem(DIRTY, seen.key)
            await pipeline.execute()

    async def recover(self) -> None:
        """Set the key of each row."""
        async with self._session() as session:
            for game in await session.scalars(select(Game)):
                await self._redis.set(name(game.id), json.dumps(game.state))

    async def drain(self) -> None:
        """Write what is dirty: read the set, update the rows, take them out of the set."""
        dirty = await self._redis.smembers(DIRTY)
        async with self._session.begin() as session:
            for key in sorted(map(int, dirty)):
                if text := await self._redis.get(name(key)):
                    await session.execute(_update(key, parse(text)))
        if dirty:
            await self._redis.srem(DIRTY, *dirty)

    @asynccontextmanager
    async def flushing(self) -> AsyncIterator[None]:
        """Write in the background, and what is left at the end."""
        stop = asyncio.Event()
        task = asyncio.create_task(self._write_until(stop))
        try:
            yield
        finally:
            stop.set()
            await task

    def judge(self, what: str, error: Exception) -> str:
        """Whatever goes wrong, one knows no more than that, unless it only reads."""
        return REFUSED if what == "load" or isinstance(error, LookupError) else UNKNOWN

    async def _write_until(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), INTERVAL)
            with suppress(RedisError, SQLAlchemyError, OSError):
                await self.drain()


def name(key: int) -> str:
    """Give the name of a game in Redis."""
    return f"game:{key}"


def dump(moves: Moves) -> str:
    """Give a state as JSON."""
    return json.dumps({"moves": moves})


def parse(text: bytes | str) -> Moves:
    """Give the moves of a state."""
    return tuple(json.loads(text)["moves"])


def _update(key: int, moves: Moves) -> Update:
    return update(Game).where(Game.id == key).values(state={"moves": [*moves]})
