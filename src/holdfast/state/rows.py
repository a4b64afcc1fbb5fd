"""The store's statements on its table, each for many rows and done in itself."""

import asyncio
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DataError, DBAPIError, InterfaceError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from holdfast.errors import (
    DEADLOCK_DETECTED,
    ConfigurationError,
    HoldfastError,
    InvalidValueError,
    OutcomeUnknownError,
    StoreUnavailableError,
)
from holdfast.retry import classify
from holdfast.state.requests import Adoption, RefusedError, Row, Write
from holdfast.state.table import StateTable
from holdfast.state.versions import COUNT_BITS, SEQUENCE

# Classes of SQLSTATEs that are about the table or the role, but for one that is about a row.
_ABOUT_ALL = ("28", "3D", "3F", "42")
_OF_A_ROW = "row-level security"
# The server said that it did not do it, and may do it later.
_PASSING = ("40", "53", "55", "57014", "25006")
_FILLED = (
    ", ({names}) = (SELECT {made} FROM "
    "jsonb_populate_record(t.*, CAST(NULLIF(given.columns, '') AS jsonb)) AS filled)"
)
_DEADLOCKS = 3  # attempts: all statements here may be repeated


class Rows:
    """Makes the statements of one table, in transactions of their own.

    Args:
        engine: of the database.
        table: of the states.
    """

    def __init__(self, engine: AsyncEngine, table: StateTable[Any]) -> None:
        self._engine = engine
        self.sql = Statements(table)

    async def select(self, key: str, within: float) -> Row | None:
        """Give the row of a key."""
        found = await self._fetch(self.sql.select, {"key": key}, within, changes=False)
        return _row(found[0]) if found else None

    async def versions(self, keys: Sequence[str], within: float) -> Mapping[str, int]:
        """Give the versions of the rows that there are."""
        found = await self._fetch(self.sql.versions, {"keys": list(keys)}, within, changes=False)
        return dict(found)

    async def count(self, within: float) -> int:
        """Give how many rows there are."""
        ((found,),) = await self._fetch(self.sql.count, {}, within, changes=False)
        return int(found)

    async def page(self, behind: str | None, most: int, within: float) -> Sequence[tuple[str, Row]]:
        """Give rows in the order of their keys, behind one."""
        statement = self.sql.first if behind is None else self.sql.page
        values = {"most": most} if behind is None else {"most": most, "behind": behind}
        found = await self._fetch(statement, values, within, changes=False)
        return [(each[2], _row(each)) for each in found]

    async def adopt(
        self, rows: Sequence[Adoption], within: float, *, wait: bool = True
    ) -> Mapping[str, int]:
        """Give rows a new epoch; see adopt.sql."""
        values = {
            "keys": [each.key for each in rows],
            "versions": [each.version for each in rows],
            "states": [each.text.state.decode() if each.text else None for each in rows],
            "columns": [each.text.columns.decode() if each.text else "" for each in rows],
        }
        found = await self._fetch(self.sql.adopt[wait], values, within, changes=True)
        return dict(found)

    async def flush(
        self, writes: Sequence[Write], within: float, *, wait: bool = True
    ) -> frozenset[str]:
        """Write states; see flush.sql."""
        values = {
            "keys": [each.key for each in writes],
            "versions": [each.version for each in writes],
            "states": [each.text.state.decode() for each in writes],
            "columns": [each.text.columns.decode() for each in writes],
        }
        found = await self._fetch(self.sql.flush[wait], values, within, changes=True)
        return frozenset(key for (key,) in found)

    async def delete(self, key: str, epoch: int, within: float) -> bool:
        """Delete the row of an epoch."""
        values = {"key": key, "epoch": epoch}
        return bool(await self._fetch(self.sql.delete, values, within, changes=True))

    async def _fetch(
        self, statement: TextClause, values: Mapping[str, Any], within: float, *, changes: bool
    ) -> Sequence[Any]:
        for attempt in range(_DEADLOCKS):
            try:
                async with asyncio.timeout(within):
                    return await self._execute(statement, values)
            except (DBAPIError, HoldfastError, OSError) as error:
                state = getattr(getattr(error, "orig", None), "sqlstate", "")
                if state == DEADLOCK_DETECTED and attempt + 1 < _DEADLOCKS:
                    continue
                raise explain(error, changes=changes) from error
        raise AssertionError("it returns or raises")

    async def _execute(self, statement: TextClause, values: Mapping[str, Any]) -> Sequence[Any]:
        async with self._engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            return (await connection.execute(statement, values)).all()


class SessionRows:
    """The same for a deletion in the caller's transaction, whose errors are the caller's."""

    def __init__(self, session: AsyncSession, statements: "Statements") -> None:
        self._session = session
        self.sql = statements

    async def versions(self, keys: Sequence[str]) -> Mapping[str, int]:
        """Give the versions of the rows that there are."""
        found = await self._session.execute(self.sql.versions, {"keys": list(keys)})
        return dict(found.all())  # itself it passes for a mapping

    async def delete(self, key: str, epoch: int) -> bool:
        """Delete the row of an epoch."""
        found = await self._session.execute(self.sql.delete, {"key": key, "epoch": epoch})
        return bool(found.all())


class Statements:
    """The statements of one table."""

    def __init__(self, table: StateTable[Any]) -> None:
        # Without the doubled percent signs of a driver: text() doubles them itself.
        dialect = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
        quote, columns = dialect.identifier_preparer, table.table.columns

        def named_as(column: str) -> str:
            return _escaped(quote.quote(columns[column].name))

        name = _escaped(quote.format_table(table.table))
        named = {
            "table": name,
            "key": _escaped(quote.quote(table.key.name)),
            "key_type": table.key_type,
            "state": named_as(table.state),
            "state_type": _uncut(columns[table.state].type.compile(dialect)),
            "version": named_as(table.version),
            "sequence": SEQUENCE,
            "bits": COUNT_BITS,
            "assignments": _fill([named_as(column) for column in table.columns]),
        }
        # As text first: else the driver takes the parameter for an integer where the key is one.
        key = "CAST(CAST(:key AS text) AS {key_type})".format_map(named)
        row = (
            "SELECT {version}, CAST({state} AS text), CAST({key} AS text) FROM {table}".format_map(
                named
            )
        )
        # Of the table: the column of the answer that has the same name is text.
        end = "ORDER BY {table}.{key} LIMIT :most".format_map(named)
        self.select = text(f"{row} WHERE {named['key']} = {key}")
        self.count = text("SELECT count(*) FROM {table}".format_map(named))
        self.first = text(f"{row} {end}")
        behind = key.replace(":key", ":behind")
        self.page = text(f"{row} WHERE {named['key']} > {behind} {end}")
        self.versions = text(
            "SELECT CAST({key} AS text), {version} FROM {table} "
            "WHERE {key} = ANY(CAST(CAST(:keys AS text[]) AS {key_type}[]))".format_map(named)
        )
        self.delete = text(
            "DELETE FROM {table} WHERE {key} = CAST(CAST(:key AS text) AS {key_type}) "
            "AND {version} >> {bits} = :epoch RETURNING 1".format_map(named)
        )
        # By whether they wait for rows that others have locked.
        self.adopt, self.flush = (
            {
                wait: _from_file(name, {**named, "others": "" if wait else " SKIP LOCKED"})
                for wait in (True, False)
            }
            for name in ("adopt.sql", "flush.sql")
        )


def _uncut(kind: str) -> str:
    """Give a type without a length, to which a cast would cut; the column itself refuses."""
    return kind if kind in {"JSON", "JSONB"} else "TEXT"


def _escaped(name: str) -> str:
    return name.replace(":", "\\:")  # text() would take what follows for a parameter


def _from_file(name: str, named: Mapping[str, Any]) -> TextClause:
    lines = files("holdfast.state").joinpath(name).read_text().splitlines()
    statement = "\n".join(each for each in lines if not each.startswith("--"))
    return text(statement.format_map(named))


def _fill(names: Sequence[str]) -> str:
    """Fill other columns: their JSON becomes values of the row's own types.

    What it does not have is as the row has it, also where a domain takes no NULL.
    """
    if not names:
        return ""
    made = ", ".join(f"filled.{name}" for name in names)
    return _FILLED.format(names=", ".join(names), made=made)


def _row(found: Any) -> Row:
    return Row(found[0], (found[1] or "").encode())  # a row without a state is unreadable


def explain(error: Exception, *, changes: bool) -> Exception:
    """Say what an error means for what was asked; itself where it means nothing else."""
    if isinstance(error, InvalidValueError):
        return RefusedError(str(error))
    if isinstance(error, HoldfastError):  # no connection was had
        return StoreUnavailableError(f"PostgreSQL: {error}; nothing was done")
    state = getattr(getattr(error, "orig", None), "sqlstate", None) or ""
    said = _first_line(error)
    if state.startswith(_ABOUT_ALL) and _OF_A_ROW not in said:
        return ConfigurationError(f"PostgreSQL: {said}; open() tells what a store needs")
    if state.startswith(_PASSING):
        return StoreUnavailableError(f"PostgreSQL: {said}; nothing was done")
    if not isinstance(error, OSError | InterfaceError) and classify(error) is None:
        # A value, a constraint, a policy, or whatever a trigger raises.
        about_a_row = bool(state) or isinstance(error, DataError)
        return RefusedError(said) if about_a_row else error
    kind = OutcomeUnknownError if changes else StoreUnavailableError
    return kind(f"PostgreSQL gave no answer: {said}")


def _first_line(error: Exception) -> str:
    origin = getattr(error, "orig", None)
    if origin is None:
        said = str(error).partition("\n")[0]
        return said or "not in time; it is away, or another transaction has the row"
    said = str(origin).partition("\n")[0]
    driver = type(origin.__cause__ or origin).__name__  # SQLAlchemy wraps those of asyncpg
    return f"{driver}: {said.partition('>: ')[2] if said.startswith('<class') else said}"
