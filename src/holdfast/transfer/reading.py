"""Read a table as the driver gives it, in pieces, from one moment."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Dialect,
    Select,
    Text,
    and_,
    cast,
    extract,
    func,
    literal_column,
    not_,
    null,
    or_,
    select,
    types,
)
from sqlalchemy.dialects.postgresql import INTERVAL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from holdfast.transfer.tables import Route, Rows
from holdfast.transfer.values import End, stored_as

# Rows that are taken together, and the bytes that they should not be more than. Of more rows, so
# many objects are alive at once that Python's garbage collector takes a fifth of the time.
_FEWEST, _MOST, _BYTES = 50, 400, 2_000_000
_FIRST: ColumnElement[Any] = literal_column("'0001-01-01 00:00:00+00'")
_LAST: ColumnElement[Any] = literal_column("'9999-12-31 23:59:59.999999+00'")
_HOURS = 24
_UNDECODED = "Could not decode to UTF-8"

_OfColumn = Callable[[Column[Any], Dialect], ColumnElement[bool]]


async def pieces(
    connection: AsyncConnection, route: Route, ends: Sequence[End]
) -> AsyncGenerator[Rows]:
    """Give the rows of a table in lists of some, in constant memory.

    Twice in one transaction it gives them in the same order.
    """
    names = [each.name for each in route.columns]
    selected = [end.selected.label(name) for end, name in zip(ends, names, strict=True)]
    async with connection.stream(select(*selected)) as found:
        some = _FEWEST
        while rows := await found.fetchmany(some):
            yield rows
            some = _fitting(rows)


async def row_of(connection: AsyncConnection, route: Route, number: int) -> Sequence[Any] | None:
    """Find a row of the source by its number, counted from 1, by reading all before it again."""
    seen = 0
    async with aclosing(pieces(connection, route, [each.source for each in route.columns])) as read:
        async for rows in read:
            if number <= seen + len(rows):
                return rows[number - seen - 1]
            seen += len(rows)
    return None


async def find_unheld(
    connection: AsyncConnection, route: Route, target: Dialect
) -> tuple[Sequence[Any], str, str] | None:
    """Find a row that the driver would not read, or give as another: itself, the column, and why.

    Of it there are only the columns of the key.
    """
    if connection.dialect.name != "postgresql":
        return None
    for column in route.table.columns:
        kind = stored_as(column.type, connection.dialect)
        found = next((each for each in _UNHELD if isinstance(kind, each)), None)
        if found is None or column.computed is not None:
            continue
        of_column, said = _UNHELD[found]
        row = (
            await connection.execute(_key_of(route, column).where(of_column(column, target)))
        ).first()
        if row is not None:
            return row, column.name, said
    return None


def _key_of(route: Route, column: Column[Any]) -> Select[Any]:
    # What cannot be read may be in the key itself.
    keys = {route.columns[at].name: route.columns[at].source.selected for at in route.keys}
    keys |= {column.name: cast(column, Text)} if column.name in keys else {}
    selected = [keys.get(each.name, null()) for each in route.columns]
    return select(*selected).select_from(route.table).limit(1)


def _has_months(column: Column[Any], _target: Dialect) -> ColumnElement[bool]:
    return or_(extract("year", column) != 0, extract("month", column) != 0)


def _is_at_an_end(column: Column[Any], target: Dialect) -> ColumnElement[bool]:
    if target.name != "postgresql":
        return not_(column.between(_FIRST, _LAST))
    # There, infinity goes through the driver as the very first or last time, and comes out again.
    return and_(func.isfinite(column), not_(and_(column > _FIRST, column < _LAST)))


def _is_midnight_after(column: Column[Any], _target: Dialect) -> ColumnElement[bool]:
    return extract("hour", column) == _HOURS


_UNHELD: Mapping[type[TypeEngine[Any]], tuple[_OfColumn, str]] = {
    INTERVAL: (_has_months, "months, which Python's timedelta does not have"),
    types.Date: (_is_at_an_end, "a day at or beyond the ends of the years 1 to 9999 of Python"),
    types.DateTime: (
        _is_at_an_end,
        "a time at or beyond the ends of the years 1 to 9999 of Python",
    ),
    types.Time: (_is_midnight_after, "24:00, which Python's time does not have"),
}


def is_undecoded(error: DBAPIError) -> bool:
    """Tell whether SQLite's driver met a text that is none."""
    return _UNDECODED in str(error.orig)


async def find_undecoded(
    connection: AsyncConnection, route: Route
) -> tuple[int, Sequence[Any], str]:
    """Find the first row with a text that is no UTF-8: its number, itself, and the column."""
    driver: Any = (await connection.get_raw_connection()).driver_connection
    driver.text_factory = lambda held: held.decode(errors="surrogateescape")
    before = 0
    try:
        reading = pieces(connection, route, [each.source for each in route.columns])
        async with aclosing(reading) as read:
            async for rows in read:
                for number, row in enumerate(rows, before + 1):
                    if (at := _no_text(row)) is not None:
                        return number, row, route.columns[at].name
                before += len(rows)
    finally:
        driver.text_factory = str
    raise AssertionError("there was one a moment ago")


def _no_text(row: Sequence[Any]) -> int | None:
    """Give the place of a text that has a byte which is none of UTF-8."""
    for at, value in enumerate(row):
        if isinstance(value, str) and any("\udc80" <= each <= "\udcff" for each in value):
            return at
    return None


def _fitting(rows: Rows) -> int:
    sample = rows[-10:]
    size = sum(len(each) for row in sample for each in row if isinstance(each, str | bytes))
    return max(_FEWEST, min(_MOST, _BYTES * len(sample) // max(1, size)))
