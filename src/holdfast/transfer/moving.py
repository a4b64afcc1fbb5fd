"""Move tables, one after the other, and see that each has arrived."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

from sqlalchemy import Table, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from holdfast.errors import TransferError
from holdfast.transfer.comparing import difference, reread
from holdfast.transfer.digest import Digest
from holdfast.transfer.postgres import PostgresTarget
from holdfast.transfer.reading import find_undecoded, find_unheld, is_undecoded, pieces, row_of
from holdfast.transfer.refusing import MisfitError, RefusedError
from holdfast.transfer.report import CopiedTable, Progress, Stage, Watch
from holdfast.transfer.sqlite import SqliteTarget
from holdfast.transfer.tables import Columns, Route, Rows, routes

_NO_ROW = "No row was copied"


class Moving:
    """Moves tables from one connection to the other.

    Args:
        source: in a transaction that sees one moment.
        target: in the transaction that writes.
        filling: writes there.
    """

    def __init__(
        self,
        source: AsyncConnection,
        target: AsyncConnection,
        filling: PostgresTarget | SqliteTarget,
    ) -> None:
        self._source = source
        self._target = target
        self._filling = filling
        self._progress: Watch | None = None
        self._counts: dict[str, int] = {}
        self._done = 0

    async def move(self, tables: Sequence[Table], progress: Watch | None) -> list[CopiedTable]:
        """Move tables, those first that others refer to.

        Args:
            tables: of both databases.
            progress: called after some rows each time.

        Raises:
            TransferError: a row is refused, or is not what it was.
        """
        self._progress = progress
        ordered = routes(tables, self._source.dialect, self._target.dialect)
        for route in ordered:
            count = select(func.count()).select_from(route.table)
            self._counts[route.name] = await self._source.scalar(count) or 0
            if found := await find_unheld(self._source, route, self._target.dialect):
                row, column, said = found
                raise _refused(route, row, f"{column}: it holds {said}")
        return [await self._move(route) for route in ordered]

    async def _move(self, route: Route) -> CopiedTable:
        was = await self._write(route)
        came = await self._reread(route)
        if (was.rows, str(was)) != (came.rows, str(came)):
            raise await difference(self._source, self._target, route)
        return CopiedTable(name=route.name, rows=was.rows, digest=str(was))

    async def _write(self, route: Route) -> Digest:
        digest = Digest()
        try:
            async with aclosing(self._read(route, digest)) as read:
                await self._filling.write(route, read)
        except RefusedError as error:
            row = await row_of(self._source, route, error.number)
            raise _refused(route, row, str(error), error.number) from error
        self._done += digest.rows
        return digest

    async def _read(self, route: Route, digest: Digest) -> AsyncGenerator[Columns]:
        ends = [each.source for each in route.columns]
        try:
            async with aclosing(pieces(self._source, route, ends)) as read:
                async for rows in read:
                    yield _taken(route, rows, digest)
                    self._tell(route, "copying", digest.rows)
        except DBAPIError as error:
            if not is_undecoded(error):
                raise
            raise await self._explain_undecoded(route) from None
        except (ArithmeticError, ValueError) as error:  # such as an array of days after 9999
            raise TransferError(
                f"the driver cannot read a value of it: {type(error).__name__}. {_NO_ROW}",
                table=route.name,
            ) from error

    async def _explain_undecoded(self, route: Route) -> TransferError:
        number, row, column = await find_undecoded(self._source, route)
        return _refused(route, row, f"{column}: it holds a text that is no UTF-8", number)

    async def _reread(self, route: Route) -> Digest:
        try:
            digest = await reread(self._target, route, partial(self._tell, route, "verifying"))
        except MisfitError as error:
            raise TransferError(
                f"as it was written, {error}. {_NO_ROW}", table=route.name
            ) from error
        if not digest.rows:  # nobody was told yet
            self._tell(route, "verifying", 0)
        self._done += digest.rows
        return digest

    def _tell(self, route: Route, stage: Stage, rows: int) -> None:
        if self._progress is None:
            return
        self._progress(
            Progress(
                table=route.name,
                stage=stage,
                rows=rows,
                of=self._counts[route.name],
                done=self._done + rows,
                total=2 * sum(self._counts.values()),
            )
        )


def _taken(route: Route, rows: Rows, digest: Digest) -> Columns:
    try:
        written, digested = route.take(rows)
        digest.add(digested)
    except MisfitError as error:
        number = digest.rows + error.at + 1
        raise _refused(route, rows[error.at], str(error), number) from error
    return written


def _refused(
    route: Route, row: Sequence[Any] | None, problem: str, number: int | None = None
) -> TransferError:
    key = None if row is None else route.key(row)
    # Without a primary key, its place has to do.
    where = "" if key or number is None else f"row {number} as they are read: "
    return TransferError(f"{where}{problem}. {_NO_ROW}", table=route.name, key=key)
