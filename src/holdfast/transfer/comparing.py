"""Read back what was written, and find the row that is not what it was."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from holdfast.errors import TransferError
from holdfast.transfer.digest import Digest, encode, hashes
from holdfast.transfer.reading import pieces
from holdfast.transfer.tables import Columns, Route

_PARTS = 1024  # that rows are divided into by their key, so that those of one fit into memory
Read = AsyncGenerator[Columns]


async def reread(connection: AsyncConnection, route: Route, watch: Callable[[int], None]) -> Digest:
    """Give the digest of a table in the target.

    Args:
        connection: that has written it.
        route: of the table.
        watch: told how many rows were read, again and again.
    """
    digest = Digest()
    # A cursor stays open until its transaction ends, and the table could not be altered.
    savepoint = await connection.begin_nested()
    async with aclosing(_in_target(connection, route)) as read:
        async for columns in read:
            digest.add(columns)
            watch(digest.rows)
    await savepoint.rollback()
    return digest


async def difference(
    source: AsyncConnection, target: AsyncConnection, route: Route
) -> TransferError:
    """Name a row that is not the same in both, by reading both twice more."""
    was = await _sums(_in_source(source, route), route)
    came = await _sums(_in_target(target, route), route)
    part = next(place for place in range(_PARTS) if was[place] != came[place])
    written = await _rows(_in_source(source, route), route, part)
    read = await _rows(_in_target(target, route), route, part)
    for key, row in written.items():
        if route.keys and (changed := _changed(route, row, read.get(key))):
            return TransferError(
                f"{', '.join(changed)}: what the target gives back is not what was written; its "
                "type there cannot hold it. No row was copied",
                table=route.name,
                key={route.columns[at].name: row[at] for at in route.keys},
            )
    return TransferError(
        "the target gives back other rows than were written. No row was copied", table=route.name
    )


async def _in_source(connection: AsyncConnection, route: Route) -> Read:
    async with aclosing(pieces(connection, route, [each.source for each in route.columns])) as read:
        async for rows in read:
            yield route.take(rows)[1]


async def _in_target(connection: AsyncConnection, route: Route) -> Read:
    async with aclosing(pieces(connection, route, [each.target for each in route.columns])) as read:
        async for rows in read:
            yield route.reread(rows)


async def _sums(read: Read, route: Route) -> Sequence[int]:
    """Add the hashes of rows up, by the part that their key puts them in."""
    sums = [0] * _PARTS
    async for columns in read:
        for part, row in zip(_parts(columns, route), hashes(columns), strict=True):
            sums[part] += row
    return sums


async def _rows(read: Read, route: Route, part: int) -> Mapping[bytes, Sequence[Any]]:
    """Give the rows of a part, by their key."""
    rows = {}
    async for columns in read:
        for found, row in zip(_parts(columns, route), zip(*columns, strict=True), strict=True):
            if found == part:
                rows[encode([row[at] for at in route.keys])] = row
    return rows


def _parts(columns: Columns, route: Route) -> list[int]:
    # Without a primary key, all rows are one part.
    keys = [columns[at] for at in route.keys] or [[0] * len(columns[0])]
    return [key % _PARTS for key in hashes(keys)]


def _changed(route: Route, written: Sequence[Any], read: Sequence[Any] | None) -> list[str]:
    if read is None:
        return [route.columns[at].name for at in route.keys]
    pairs = zip(route.columns, written, read, strict=True)
    return [each.name for each, one, other in pairs if encode(one) != encode(other)]
