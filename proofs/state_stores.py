"""What the players of a round need of a store of games, whichever it is."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol

from proofs.state_log import Moves

TABLES: Final = (
    "DROP TABLE IF EXISTS games, history",
    "CREATE SEQUENCE IF NOT EXISTS holdfast_epoch",
    "CREATE TABLE games (id bigint PRIMARY KEY, state jsonb NOT NULL)",
    "ALTER TABLE games ADD version bigint NOT NULL DEFAULT nextval('holdfast_epoch') << 23",
    # It would take a game twice, so that a store cannot leave that to the table.
    "CREATE TABLE history (id bigserial PRIMARY KEY, game bigint NOT NULL, moves jsonb NOT NULL)",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A game as somebody has it in hand.

    Attributes:
        moves: None where the store told the version only.
        version: None where the store has none.
        entry: the store's own.
    """

    key: int
    moves: Moves | None
    version: int | None = None
    entry: Any = None


class Store(Protocol):
    """Keeps games; each call raises where it was not done, or may not have been."""

    async def games(self) -> Sequence[int]:
        """Give the keys of the rows."""
        ...

    async def create(self, key: int) -> Seen:
        """Insert the row of a game."""
        ...

    async def load(self, key: int) -> Seen | None:
        """Give the newest state; None where there is no such game."""
        ...

    async def save(self, seen: Seen, moves: Moves) -> Seen:
        """Replace what was seen."""
        ...

    async def update(self, key: int, change: Callable[[Moves], Moves]) -> Seen:
        """Change the newest state, whoever else is at it."""
        ...

    async def persist(self, seen: Seen) -> Seen:
        """Have the row hold what was seen, or newer."""
        ...

    async def persist_newest(self, key: int) -> Seen:
        """Have the row hold the newest state."""
        ...

    async def finish(self, seen: Seen) -> None:
        """Move a game into the history, in one transaction."""
        ...

    async def recover(self) -> None:
        """Fill Redis from the rows, at a start."""
        ...

    async def drain(self) -> None:
        """Write everything that waits to be written."""
        ...

    def flushing(self) -> AbstractAsyncContextManager[None]:
        """Write in the background."""
        ...

    def judge(self, what: str, error: Exception) -> str:
        """Say what an error of a call means: one of OUTCOMES."""
        ...
