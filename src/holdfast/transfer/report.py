"""What a copy tells: while it goes on, and when it is done."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from holdfast.events import Event

Stage = Literal["copying", "verifying"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a copy is.

    Attributes:
        table: that is at work.
        stage: it is written, or read back and compared.
        rows: of the table in this stage.
        of: as many as the table has.
        done: rows of all tables, each counted when it is written and when it is read back.
        total: of `done` at the end.
    """

    table: str
    stage: Stage
    rows: int
    of: int
    done: int
    total: int

    @property
    def is_done(self) -> bool:
        """Whether the table is: nothing is left to write, or to read back."""
        return self.stage == "verifying" and self.rows == self.of


Watch = Callable[[Progress], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class CopiedTable:
    """One table, the same in both databases.

    Attributes:
        name: with its schema, where it has one.
        rows: how many.
        digest: of all rows in any order; the same contents have the same on all engines.
    """

    name: str
    rows: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied(Event):
    """A database was copied into an empty one, and every table was read back and compared."""

    source: str
    target: str
    revision: str
    tables: tuple[CopiedTable, ...]
    seconds: float

    @property
    def rows(self) -> int:
        """How many, of all tables."""
        return sum(each.rows for each in self.tables)
