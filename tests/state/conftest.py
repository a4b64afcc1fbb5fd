"""A table of games, and a store of their states on real servers."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest
from msgspec import Struct
from redis.asyncio import Redis
from sqlalchemy import MetaData, text
from sqlalchemy.orm import Mapped, mapped_column

from holdfast import redis
from holdfast.database import Database
from holdfast.events import Event, Events
from holdfast.models import Base, UUIDKey, json_type, uuid7
from holdfast.state import StatePolicy, StateStore, StateTable, state_version


class Board(Struct):
    """A state."""

    turn: int = 0
    moves: list[str] = []


class Match(UUIDKey, Base):
    """The row of one, with a column that shows its turn, and one that it refuses."""

    metadata = MetaData()
    __tablename__ = "matches"

    state: Mapped[dict[str, object]] = mapped_column(json_type())
    turn: Mapped[int] = mapped_column(default=0, server_default="0")
    version: Mapped[int] = state_version()


MATCHES = StateTable[Board](
    model=Match, prefix="match:", columns={"turn": lambda board: board.turn}
)
# Nothing is written unless a test asks for it, and a slow machine is no fault.
POLICY = StatePolicy(timeout=30, flush_timeout=30, lease=60, flush_interval=3600, sweep_interval=0)
PATIENT = redis.RedisPolicy(connect_timeout=30, timeout=30)


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    """Give a client of an empty Redis."""
    async with redis.client(redis_url, policy=PATIENT) as opened:
        yield opened
        await opened.flushdb()


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    """Give a database with the table of matches; afterwards no connection may be in use."""
    async with Database(database_url, events=Events(lambda _: None)) as opened:
        async with opened.engine.begin() as connection:
            await connection.run_sync(Match.metadata.create_all)
        yield opened
        assert opened.engine.pool.checkedout() == 0


@pytest.fixture
def facts() -> list[Event]:
    """Give what the store tells."""
    return []


@pytest.fixture
def store(db: Database, client: Redis, facts: list[Event]) -> StateStore[Board]:
    """Give a store of boards."""
    return make_store(db, client, facts)


def make_store(
    db: Database, client: Redis, facts: list[Event] | None = None, **limits: float
) -> StateStore[Board]:
    """Make another store of the same states, as another process has one."""
    return StateStore(
        db,
        client,
        table=MATCHES,
        codec=Board,
        policy=replace(POLICY, **limits),
        events=Events((facts if facts is not None else []).append),
    )


Begin = Callable[..., Awaitable[uuid.UUID]]


@pytest.fixture
def begin(db: Database) -> Begin:
    """Insert the row of a match, as an application does."""

    async def insert(turn: int = 0) -> uuid.UUID:
        match = uuid7()
        async with db.begin() as session:
            session.add(Match(id=match, state={"turn": turn, "moves": []}, turn=turn))
        return match

    return insert


Row = tuple[int, int, dict[str, object]]


@pytest.fixture
def row(db: Database) -> Callable[[uuid.UUID], Awaitable[Row | None]]:
    """Read version, turn and state of a row; None where there is none."""

    async def read(match: uuid.UUID) -> Row | None:
        async with db.read() as session:
            found = await session.execute(
                text("SELECT version, turn, state FROM matches WHERE id = :id"), {"id": match}
            )
            one = found.one_or_none()
        return None if one is None else tuple(one)

    return read
