"""Fill a PostgreSQL: alone with its tables, by COPY, with all references checked at the end."""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from itertools import repeat
from typing import Any

from asyncpg import InterfaceError, InternalClientError, PostgresError
from sqlalchemy import Column, CursorResult, MetaData, Row, Table, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import NULLTYPE

from holdfast import fastlane
from holdfast.errors import INSUFFICIENT_PRIVILEGE, RowError, TransferError
from holdfast.transfer import inserting
from holdfast.transfer.asking import ask, quoted, quoted_name
from holdfast.transfer.refusing import RefusedError
from holdfast.transfer.source import Found
from holdfast.transfer.tables import Columns, Route

# Any number does that other programs on the database do not use: "holdcopy" in letters.
_LOCK_KEY = 0x686F6C64636F7079
_PATIENCE = 10  # seconds, for another copy and for whoever uses the tables
_LOCK_NOT_AVAILABLE = "55P03"
_LIMITS = f"""
SELECT set_config('lock_timeout', '{_PATIENCE}s', true),
    set_config('statement_timeout', '0', true),
    set_config('idle_in_transaction_session_timeout', '0', true),
    set_config('row_security', 'off', true)
"""
_LINE = re.compile(r"^COPY .*, line (\d+)", re.MULTILINE)


class PostgresTarget:
    """The tables of a PostgreSQL while they are filled, in the transaction of a session."""

    def __init__(self, session: AsyncSession, tables: Sequence[Table]) -> None:
        self._session = session
        self._tables = tables
        self._aside: Sequence[Row[Any]] = ()

    async def lock(self, versions: Table) -> None:
        """Keep everybody else away from the tables until the transaction ends.

        Args:
            versions: Alembic's own table.

        Raises:
            TransferError: somebody uses them, or copies into them, for longer than is waited.
        """
        await self._execute(_LIMITS)
        with _explained():
            await self._execute(f"SELECT pg_advisory_xact_lock({_LOCK_KEY})")
            await self._execute(f"LOCK TABLE {quoted([versions])} IN SHARE MODE")
            await self._execute(f"LOCK TABLE {quoted(self._tables)} IN ACCESS EXCLUSIVE MODE")

    async def open(self, found: Found) -> None:
        """Make the partitions that the source has, and set aside what is in the way of rows.

        Raises:
            TransferError: the role does not own the tables.
        """
        with _explained():
            for name, made_by in found.partitions.items():
                known = text("SELECT to_regclass(:name) IS NOT NULL")
                if not await self._session.scalar(known, {"name": name}):
                    await self._execute(made_by)
            self._aside = await ask(self._session, "aside.sql", self._tables)
            for each in self._aside:
                if each.aside:
                    await self._execute(each.aside)

    async def write(self, route: Route, pieces: AsyncIterator[Columns]) -> None:
        """Write a table, with COPY unless the driver lacks it for a type.

        Raises:
            RefusedError: the driver or the server does not take a row.
        """
        names = [each.name for each in route.columns]
        if await self._has_copy(route.table, names):
            await self._copy(route.table, names, pieces)
        else:
            await self._insert(route.table, names, pieces)

    async def close(self, found: Found) -> None:
        """Advance the sequences, and put back what was set aside, which checks all references.

        Raises:
            TransferError: a row refers to one that is not there.
        """
        with _explained():
            positions = found.positions or found.counters
            for each in await ask(self._session, "sequences.sql", self._tables):
                given = positions.get(each.name, positions.get(each.table))
                most = (await self._execute(each.most)).scalar() if each.most else None
                await self._advance(each, [at for at in (given, most) if at is not None])
            await self._execute("SET CONSTRAINTS ALL IMMEDIATE")  # what is still to be checked
            for each in self._aside:
                await self._put_back(each)

    async def _has_copy(self, table: Table, names: Sequence[str]) -> bool:
        """Tell whether the driver has a binary form for all types: not for an extension's."""
        connection = await self._session.connection()
        driver: Any = (await connection.get_raw_connection()).driver_connection
        savepoint = await connection.begin_nested()
        try:
            await driver.copy_records_to_table(
                table.name, schema_name=table.schema, columns=names, records=[]
            )
        except InternalClientError:
            await savepoint.rollback()
            return False
        except (PostgresError, InterfaceError, OSError):  # the COPY of rows will say so better
            if not driver.is_closed():
                await savepoint.rollback()
            return True
        await savepoint.commit()
        return True

    async def _copy(
        self, table: Table, names: Sequence[str], pieces: AsyncIterator[Columns]
    ) -> None:
        # Without types: what is given to them is the driver's already.
        columns = [Column(name, NULLTYPE) for name in names]
        plain = Table(table.name, MetaData(), *columns, schema=table.schema)
        try:
            async with aclosing(_mappings(names, pieces)) as rows:
                await fastlane.copy_in(self._session, plain, rows)
        except RowError as error:
            where = f"{error.key}: " if error.key else ""
            raise RefusedError(error.number, where + error.problem) from error
        except DBAPIError as error:
            cause: Any = error.orig and error.orig.__cause__
            line = _LINE.search(getattr(cause, "context", None) or "")
            if line is None:
                raise
            refused = f"the target does not take it: {str(cause).partition(chr(10))[0]}"
            raise RefusedError(int(line[1]), refused) from error

    async def _insert(
        self, table: Table, names: Sequence[str], pieces: AsyncIterator[Columns]
    ) -> None:
        marks = ", ".join(f"${number}" for number in range(1, len(names) + 1))
        statement = (
            f"INSERT INTO {quoted([table])} ({', '.join(map(quoted_name, names))}) "  # noqa: S608  -- quoted names
            f"OVERRIDING SYSTEM VALUE VALUES ({marks})"
        )
        await inserting.insert(await self._session.connection(), statement, pieces)

    async def _put_back(self, each: Row[Any]) -> None:
        try:
            async with self._session.begin_nested():
                await self._execute(each.back)
        except IntegrityError as error:
            dangling = await self._find_dangling(each)
            if dangling is None:
                raise
            raise dangling from error

    async def _find_dangling(self, each: Row[Any]) -> TransferError | None:
        """Find a row that refers to one that is not there."""
        pairs = list(zip(each.columns, each.referred, strict=True))
        given = " AND ".join(f"child.{column} IS NOT NULL" for column, _ in pairs)
        same = " AND ".join(f"parent.{there} = child.{here}" for here, there in pairs)
        keys = ", ".join(f"child.{column}" for column in each.keys or each.columns)
        found = await self._execute(
            f"SELECT {keys} FROM {each.child} AS child WHERE {given} AND NOT EXISTS "  # noqa: S608  -- names that the server has quoted
            f"(SELECT FROM {each.parent} AS parent WHERE {same}) LIMIT 1"
        )
        row = found.mappings().first()
        if row is None:
            return None
        return TransferError(
            f"{', '.join(each.columns)} refers to a row that {each.parent} does not have; mend or "
            "delete it in the source. No row was copied",
            table=each.child,
            key={str(name): value for name, value in row.items()},
        )

    async def _advance(self, sequence: Row[Any], given: Sequence[int]) -> None:
        if not given:
            return
        # Never back: an identity may begin at any number.
        farthest, ahead = (min, ">=") if sequence.sign < 0 else (max, "<=")
        advance = (
            f"SELECT setval($1::regclass, $2) FROM {sequence.name} WHERE last_value {ahead} $2"  # noqa: S608  -- as the server quotes it
        )
        await self._execute(advance, sequence.name, farthest(given))

    async def _execute(self, sql: str, *values: object) -> CursorResult[Any]:
        """Run a statement as it is: in a name, a colon is one."""
        connection = await self._session.connection()
        return await connection.exec_driver_sql(sql, values or None)


async def _mappings(
    names: Sequence[str], pieces: AsyncIterator[Columns]
) -> AsyncGenerator[Mapping[str, object]]:
    async for columns in pieces:
        for row in map(dict, map(zip, repeat(names), zip(*columns, strict=True))):
            yield row


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None)
        said = str(error.orig and error.orig.__cause__).partition("\n")[0]
        if state == _LOCK_NOT_AVAILABLE:
            raise TransferError(
                f"the target's tables are in use, or another copy fills them, for {_PATIENCE} s "
                "now; nobody may write there meanwhile. No row was copied"
            ) from error
        if state == INSUFFICIENT_PRIVILEGE:
            raise TransferError(
                f"{said}: connect to the target as the role that owns its tables, which sets their "
                "foreign keys and triggers aside while it fills them. No row was copied"
            ) from error
        raise
