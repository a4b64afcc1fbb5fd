"""COPY into a model's table, and out of a `select()`."""

import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, BinaryIO, Literal, TypeVar

from sqlalchemy import Connection, Table
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from holdfast.errors import ConfigurationError, RowError
from holdfast.fastlane.columns import Query
from holdfast.fastlane.lane import Lane, connect
from holdfast.fastlane.planning import Parameters, plan, translation
from holdfast.fastlane.rows import Records, Row, Rows, records, together
from holdfast.fastlane.targets import Target, target

T = TypeVar("T")
Sink = str | os.PathLike[str] | BinaryIO | Callable[[bytes], Awaitable[object]]
Format = Literal["csv", "text", "binary"]
# asyncpg puts values in the place of these wherever they stand, which may be in a text or name.
_PLACEHOLDER = re.compile(r"\$\d+\b")
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"")


async def copy_in(session: AsyncSession, model: type[object] | Table, rows: Rows) -> int:
    """Write rows with COPY, in constant memory, and return how many.

    All or none: where a row fails, what was written before is taken back, and the session's
    transaction can go on. Objects and events of the ORM are not involved; the database's own
    triggers and constraints are.

        count = await copy_in(session, Card, ({"name": name} for name in names))

    Args:
        session: in whose transaction the rows are written.
        model: a mapped class, or a table.
        rows: mappings by attribute, all with the keys of the first. What it leaves out is made
            by the model's defaults, else by the server's. An iterable or asynchronous one.

    Raises:
        RowError: a row has an unknown key, lacks one, or a value does not fit its column.
        ConfigurationError: another driver than asyncpg, or the model cannot be copied into.
        ReadOnlyError: inside `read()`.
        DBAPIError: SQLAlchemy's, of the server, such as `IntegrityError`.
    """
    into = target(model)
    source = together(rows)
    first = await anext(source, None)
    if not first:
        return 0
    made = records(into, first[0])
    work = partial(_copy_in, into=into, made=made, first=first, others=source)
    return await session.run_sync(_in_session, into.table, work)


async def copy_out(
    session: AsyncSession,
    statement: Query,
    to: Sink,
    parameters: Parameters | None = None,
    *,
    format: Format = "csv",  # noqa: A002  -- COPY's own word
) -> int:
    """Write what a `select()` finds with COPY, in constant memory, and return how many rows.

    The server writes the values: an enum as it is stored, JSON as text. CSV begins with the
    columns' names.

        count = await copy_out(session, select(Card.id, Card.name), "cards.csv")

    Args:
        session: in whose transaction it is read.
        statement: as of `fetch`.
        to: a path, a binary file, or an asynchronous function that is given each piece.
        parameters: values of its `bindparam()`s.
        format: PostgreSQL's.

    Raises:
        ConfigurationError: another driver than asyncpg, or a statement that COPY cannot take.
        ReadOnlyError: the statement would write, inside `read()`.
        DBAPIError: SQLAlchemy's.
    """
    work = partial(_copy_out, statement=statement, to=to, parameters=parameters or {}, form=format)
    return await session.run_sync(_in_session, statement, work)


def _in_session(session: Session, what: Any, work: Callable[[Connection], T]) -> T:
    return work(connect(session, what))


def _copy_in(
    connection: Connection,
    *,
    into: Target,
    made: Records,
    first: list[Row],
    others: AsyncIterator[list[Row]],
) -> int:
    schema = translation(connection).get(into.table.schema, into.table.schema)
    lane = Lane(connection, _statement(connection, into, made.columns, schema))

    async def copy() -> str:
        status: str = await lane.driver.copy_records_to_table(
            into.table.name,
            schema_name=schema,
            columns=made.columns,
            records=made.of(first, others, connection.dialect, lane.driver.is_closed),
        )
        return status

    return _count(lane.run(partial(_whole, lane.driver, partial(_told, copy, made))))


async def _told(copy: Callable[[], Awaitable[str]], made: Records) -> str:
    """Name the row that the driver could not take."""
    try:
        return await copy()
    except (RowError, ConfigurationError):
        raise
    except (TypeError, ValueError, ArithmeticError) as error:
        if made.waiting:  # it is of the rows' own source
            raise
        problem = f"the driver does not take one of its values: {type(error).__name__}"
        raise RowError(made.number, None, problem) from error


async def _whole(driver: Any, copy: Callable[[], Awaitable[str]]) -> str:
    """Take a COPY that failed back to a savepoint: the server would refuse all that follows."""
    savepoint = driver.transaction()
    await savepoint.start()
    try:
        status = await copy()
    except Exception:
        if not driver.is_closed():
            await savepoint.rollback()
        raise
    await savepoint.commit()
    return status


def _copy_out(
    connection: Connection, *, statement: Query, to: Sink, parameters: Parameters, form: Format
) -> int:
    _made, (sql, args) = plan(connection, statement, parameters, _anything)
    if args and any(map(_PLACEHOLDER.search, _QUOTED.findall(sql))):
        raise ConfigurationError(
            "the statement has a text or name like '$1', which COPY would take for a parameter; "
            "give it as a value"
        )
    lane = Lane(connection, sql, args)
    options = {"header": True} if form == "csv" else {}

    async def copy() -> str:
        status: str = await lane.driver.copy_from_query(
            lane.sql, *lane.args, output=to, format=form, **options
        )
        return status

    return _count(lane.run(copy))


def _statement(connection: Connection, into: Target, columns: list[str], schema: str | None) -> str:
    """Give the statement as the server gets it, for those who look at statements."""
    quote = connection.dialect.identifier_preparer.quote
    name = ".".join(quote(each) for each in (schema, into.table.name) if each)
    return f"COPY {name} ({', '.join(map(quote, columns))}) FROM STDIN (FORMAT binary)"


def _count(status: str) -> int:
    return int(status.rsplit(maxsplit=1)[-1])


def _anything(**values: object) -> None:
    """Takes any columns; the server writes the rows."""
