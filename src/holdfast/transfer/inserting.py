"""Write rows with INSERT, where there is no COPY."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from holdfast.transfer.refusing import RefusedError
from holdfast.transfer.tables import Columns

# What databases and drivers raise for a value; SQLite's driver raises its own as they are.
_REFUSALS = (DBAPIError, ArithmeticError, TypeError, ValueError)


async def insert(
    connection: AsyncConnection, statement: str, pieces: AsyncIterator[Columns]
) -> None:
    """Run a statement for each row.

    Raises:
        RefusedError: the database or its driver does not take a row.
    """
    written = 0
    async for columns in pieces:
        rows = list(zip(*columns, strict=True))
        savepoint = await connection.begin_nested()
        try:
            await connection.exec_driver_sql(statement, rows)
        except _REFUSALS:
            if connection.invalidated:
                raise
            await savepoint.rollback()
            await _find_refused(connection, statement, rows, written)
            raise
        await savepoint.commit()
        written += len(rows)


async def _find_refused(
    connection: AsyncConnection, statement: str, rows: Sequence[tuple[Any, ...]], before: int
) -> None:
    """Write them one by one, up to the one that is not taken."""
    for number, row in enumerate(rows, before + 1):
        try:
            await connection.exec_driver_sql(statement, row)
        except _REFUSALS as error:
            raise RefusedError(number, f"the target does not take it: {_said(error)}") from error


def _said(error: Exception) -> str:
    """Give what the database says, without what SQLAlchemy puts around it."""
    if not isinstance(error, DBAPIError) or error.orig is None:
        return type(error).__name__
    return str(error.orig.__cause__ or error.orig).partition("\n")[0]
