"""Fill an SQLite file, in one transaction, with all references checked at the end."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from sqlalchemy import Table, column, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.errors import TransferError
from holdfast.transfer import inserting
from holdfast.transfer.source import Found
from holdfast.transfer.tables import Columns, Route

_TRIGGERS = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
_DANGLING = 'SELECT "table", rowid, parent, fkid FROM pragma_foreign_key_check LIMIT 1'
_REFERRING = 'SELECT "from" FROM pragma_foreign_key_list(:name) WHERE id = :number ORDER BY seq'
_ADVANCE = "UPDATE sqlite_sequence SET seq = max(seq, :to) WHERE name = :name"
# SQLite makes the table of counters with the first of these.
_COUNTED = """
SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE '%AUTOINCREMENT%'
    AND EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence')
"""
_BEGIN = (
    "INSERT INTO sqlite_sequence (name, seq) SELECT :name, 0 "
    "WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = :name)"
)


class SqliteTarget:
    """The tables of an SQLite file while they are filled, in the transaction of a session."""

    def __init__(self, session: AsyncSession, tables: Sequence[Table]) -> None:
        self._session = session
        self._tables = {each.name: each for each in tables}
        self._triggers: Sequence[Any] = ()

    async def lock(self, _versions: Table) -> None:
        """Begin the transaction, which keeps everybody else who writes away.

        Raises:
            TransferError: somebody writes for longer than is waited.
        """
        try:
            await self._session.connection()
        except DBAPIError as error:
            if "database is locked" not in str(error.orig):
                raise
            raise TransferError(
                "the target is being written to, by another copy maybe; nobody may write there "
                "meanwhile. No row was copied"
            ) from error

    async def open(self, _found: Found) -> None:
        """Set aside what is in the way of rows: the order of references, and triggers."""
        await self._execute("PRAGMA defer_foreign_keys = ON")
        self._triggers = (await self._session.execute(text(_TRIGGERS))).all()
        for name, _ in self._triggers:
            await self._execute(f"DROP TRIGGER {_quoted(name)}")

    async def write(self, route: Route, pieces: AsyncIterator[Columns]) -> None:
        """Write a table.

        Raises:
            RefusedError: SQLite or its driver does not take a row.
        """
        names = ", ".join(_quoted(each.name) for each in route.columns)
        marks = ", ".join("?" * len(route.columns))
        insert = f"INSERT INTO {_quoted(route.table.name)} ({names}) VALUES ({marks})"  # noqa: S608  -- quoted names
        await inserting.insert(await self._session.connection(), insert, pieces)

    async def close(self, found: Found) -> None:
        """Check all references, put back what was set aside, and advance the counters.

        Raises:
            TransferError: a row refers to one that is not there.
        """
        dangling = (await self._session.execute(text(_DANGLING))).first()
        if dangling is not None:
            raise await self._explain(*dangling)
        for _, sql in self._triggers:
            await self._execute(sql)
        counted = set(await self._session.scalars(text(_COUNTED)))
        for name in found.counters.keys() & self._tables.keys() & counted:
            await self._session.execute(text(_BEGIN), {"name": name})
            values = {"name": name, "to": found.counters[name]}
            await self._session.execute(text(_ADVANCE), values)

    async def _explain(
        self, name: str, rowid: int | None, parent: str, number: int
    ) -> TransferError:
        referring = await self._session.scalars(text(_REFERRING), {"name": name, "number": number})
        columns = ", ".join(referring)
        table = self._tables.get(name)
        key = None
        # There is no number in a table WITHOUT ROWID, and no key in one without a primary key.
        if rowid is not None and table is not None and len(table.primary_key):
            found = select(*table.primary_key).where(column("rowid") == rowid)
            row = (await self._session.execute(found)).mappings().first()
            key = {each.name: row[each] for each in table.primary_key} if row else None
        return TransferError(
            f"{columns} refers to a row that {parent} does not have; mend or delete it in the "
            "source. No row was copied",
            table=name,
            key=key,
        )

    async def _execute(self, sql: str) -> None:
        connection = await self._session.connection()
        await connection.exec_driver_sql(sql)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
