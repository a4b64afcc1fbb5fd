"""The tables that are copied, in which order, and what becomes of their rows on the way."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Dialect, Table
from sqlalchemy.schema import sort_tables_and_constraints

from holdfast.transfer.refusing import MisfitError
from holdfast.transfer.values import Moved, load, moved, tried

Columns = Sequence[Sequence[Any]]
Rows = Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A table's way from one database to the other.

    Attributes:
        table: of the models.
        columns: those that rows bring with them; what is computed is not among them.
        keys: places of the primary key's columns.
    """

    table: Table
    columns: tuple[Moved, ...]
    keys: tuple[int, ...]

    @property
    def name(self) -> str:
        """The table's name, with its schema where it has one."""
        return self.table.fullname

    def take(self, rows: Rows) -> tuple[Columns, Columns]:
        """Give what is written of rows of the source, and what is digested, both as columns.

        Raises:
            MisfitError: a row holds what its column's type does not know.
        """
        written: list[Sequence[Any]] = []
        digested: list[Sequence[Any]] = []
        for each, values in zip(self.columns, zip(*rows, strict=True), strict=True):
            loaded = load(each.name, each.source, values)
            digested.append(tried(each.name, each.digested, loaded))
            stored = values if each.as_is else tried(each.name, each.target.store, loaded)
            written.append(stored)
        return written, digested

    def reread(self, rows: Rows) -> Columns:
        """Give what is digested of rows of the target, as columns.

        Raises:
            MisfitError: as of `take`.
        """
        return [
            tried(each.name, each.digested, load(each.name, each.target, values))
            for each, values in zip(self.columns, zip(*rows, strict=True), strict=True)
        ]

    def key(self, row: Sequence[Any]) -> dict[str, object]:
        """Give the primary key of a row of the source."""
        return {
            self.columns[at].name: self._readable(self.columns[at], row[at]) for at in self.keys
        }

    def _readable(self, column: Moved, value: Any) -> object:
        with suppress(MisfitError):  # then it is as it is stored
            [value] = load(column.name, column.source, [value])
        return value


def routes(tables: Iterable[Table], source: Dialect, target: Dialect) -> list[Route]:
    """Give the routes of tables: those that others refer to first."""
    found: Any = sort_tables_and_constraints(tables)  # type: ignore[no-untyped-call]  # SQLAlchemy's
    ordered = [table for table, _ in found if table is not None]
    return [_route(each, source, target) for each in ordered]


def _route(table: Table, source: Dialect, target: Dialect) -> Route:
    columns = [each for each in table.columns if each.computed is None]
    names = [each.name for each in columns]
    keys = tuple(names.index(each.name) for each in table.primary_key if each.name in names)
    return Route(
        table=table,
        columns=tuple(moved(each, source, target) for each in columns),
        keys=keys,
    )
