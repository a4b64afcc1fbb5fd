"""Games in a `StateStore`."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Self

from msgspec import Struct
from proofs.state_log import REFUSED, UNKNOWN, WRONG, Moves
from proofs.state_stores import Seen
from sqlalchemy import BigInteger, MetaData, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Mapped, mapped_column

from holdfast import redis
from holdfast.database import Database
from holdfast.errors import (
    CommitUnknownError,
    HoldfastError,
    OutcomeUnknownError,
    OverloadedError,
    StateConflictError,
    StoreUnavailableError,
    UnknownKeyError,
)
from holdfast.events import Events
from holdfast.models import Base, json_type
from holdfast.state import Entry, StatePolicy, StateStore, StateTable, state_version

# A writer that was killed holds up nobody for longer than a round.
POLICY = StatePolicy(flush_interval=0.2, flush_timeout=2.0, lease=4.0)
DRAINED_WITHIN = 10.0  # seconds
DONE_NOTHING = (StateConflictError, UnknownKeyError, OverloadedError, StoreUnavailableError)


class Played(Struct):
    """A state."""

    moves: Moves = ()


class Game(Base):
    """A game that is played."""

    metadata = MetaData()
    __tablename__ = "games"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    state: Mapped[dict[str, object]] = mapped_column(json_type())
    version: Mapped[int] = state_version()


class Finished(Base):
    """A game that was played."""

    metadata = Game.metadata
    __tablename__ = "history"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    game: Mapped[int] = mapped_column(BigInteger)
    moves: Mapped[list[int]] = mapped_column(json_type())


class Holdfast:
    """The same on `holdfast.state`."""

    def __init__(self, db: Database, store: StateStore[Played]) -> None:
        self._db = db
        self._store = store

    @classmethod
    @asynccontextmanager
    async def opened(cls, postgres: str, url: str) -> AsyncIterator[Self]:
        """Open one; servers that are away just now are waited for."""
        db = Database(postgres, events=Events(lambda _: None))
        table = StateTable[Played](model=Game, prefix="game:")
        async with redis.cluster(url) if "+cluster:" in url else redis.client(url) as client:
            try:
                yield cls(db, StateStore(db, client, table=table, codec=Played, policy=POLICY))
            finally:
                await db.close()

    async def games(self) -> Sequence[int]:
        """Give the keys of the rows."""
        async with self._db.read() as session:
            return list(await session.scalars(select(Game.id)))

    async def create(self, key: int) -> Seen:
        """Insert the row."""
        async with self._db.begin() as session:
            session.add(Game(id=key, state={"moves": []}))
        return Seen(key=key, moves=())

    async def load(self, key: int) -> Seen | None:
        """Load it."""
        entry = await self._store.load(key)
        return seen(key, entry) if entry else None

    async def save(self, last: Seen, moves: Moves) -> Seen:
        """Save it, where the version is still the one that was seen."""
        assert last.version is not None
        return seen(last.key, await self._store.save(last.key, Played(moves), expect=last.version))

    async def update(self, key: int, change: Callable[[Moves], Moves]) -> Seen:
        """Change the newest state."""
        entry = await self._store.update(key, lambda played: Played(change(played.moves)))
        return seen(key, entry)

    async def persist(self, last: Seen) -> Seen:
        """Have the row hold what is in hand."""
        await self._store.persist(last.key, last.entry)
        return last

    async def persist_newest(self, key: int) -> Seen:
        """Have the row hold what Redis has."""
        return Seen(key=key, moves=None, version=await self._store.persist(key))

    async def finish(self, last: Seen) -> None:
        """Delete the version in hand and insert into the history."""
        async with self._db.begin() as session:
            if not await self._store.delete(last.key, expect=last.version, session=session):
                raise UnknownKeyError(f"game:{last.key}")
            session.add(Finished(game=last.key, moves=[*(last.moves or ())]))

    async def recover(self) -> None:
        """Fill Redis from the rows."""
        await self._store.recover()

    async def drain(self) -> None:
        """Write until nothing waits; what a killed process had taken is due after its lease."""
        async with asyncio.timeout(DRAINED_WITHIN):
            while (await self._store.stats()).dirty:
                await self._store.flush()

    @asynccontextmanager
    async def flushing(self) -> AsyncIterator[None]:
        """Write in the background."""
        async with self._store.flushing():
            yield

    def judge(self, what: str, error: Exception) -> str:
        """Take the store at its word; in a transaction, whatever was not committed is undone."""
        if isinstance(error, OutcomeUnknownError | CommitUnknownError):
            undone = what == "finish" and isinstance(error, OutcomeUnknownError)
            return REFUSED if undone else UNKNOWN
        if isinstance(error, DONE_NOTHING):
            return REFUSED
        in_transaction = what in {"create", "finish"}
        known = isinstance(error, HoldfastError | DBAPIError | OSError)
        return REFUSED if in_transaction and known else WRONG


def seen(key: int, entry: Entry[Played]) -> Seen:
    """Give what a store gave."""
    return Seen(key=key, moves=entry.value.moves, version=entry.version, entry=entry)
