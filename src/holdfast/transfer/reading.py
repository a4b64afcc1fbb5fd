"""Read a table as the driver gives it, in pieces, from one moment."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from sqlalchemy import extract, or_, select
from sqlalchemy.dialects.postgresql import INTERVAL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from holdfast.transfer.tables import Route, Rows
from holdfast.transfer.values import End, stored_as

# Rows that are taken together, and the bytes that they should not be more than. Of more rows, so
# many objects are alive at once that Python's garbage collector takes a fifth of the time.
_FEWEST, _MOST, _BYTES = 50, 400, 2_000_000
_UNDECODED = "Could not decode to UTF-8"


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


async def find_months(
    connection: AsyncConnection, route: Route
) -> tuple[Sequence[Any], str] | None:
    """Find a row with an interval of months, which the driver would give as one of days."""
    if connection.dialect.name != "postgresql":
        return None
    selected = [each.source.selected for each in route.columns]
    for column in route.table.columns:
        if not isinstance(stored_as(column.type, connection.dialect), INTERVAL):
            continue
        months = or_(extract("year", column) != 0, extract("month", column) != 0)
        row = (await connection.execute(select(*selected).where(months).limit(1))).first()
        if row is not None:
            return row, column.name
    return None


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
