"""A driver's connection whose BEGIN, COMMIT and ROLLBACK are savepoints in one transaction."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy.util import await_only

from holdfast.errors import IN_FAILED_TRANSACTION, SandboxError, TransactionAbortedError
from holdfast.testing.moving import AnyLoop

ENDED = (
    "the sandbox's transaction was ended by a COMMIT or ROLLBACK that the driver was given "
    "directly, so that what the test did may be in the database"
)
_BEGIN = "SAVEPOINT holdfast"
_COMMIT = "RELEASE SAVEPOINT holdfast"
_ROLLBACK = "ROLLBACK TO SAVEPOINT holdfast"
# The constraints that wait for COMMIT; one that shares its name with one that cannot is left out.
_DEFERRED = """
SELECT string_agg(format('%s.%I', connamespace::regnamespace, conname), ', ')
FROM pg_constraint
WHERE condeferred AND concat_ws('.', connamespace, conname) <> ALL (ARRAY(
    SELECT concat_ws('.', connamespace, conname) FROM pg_constraint WHERE NOT condeferrable
))
"""
# As they are before a test; looking for them at each commit would be most of what it costs.
_KNOWN = f"SELECT quote_nullable(({_DEFERRED}))"
# What COMMIT checks; then the constraints that wait for it wait again. The server counts what a
# transaction does to its tables, unless `track_counts` is off.
_CHECK = """
DO $holdfast$
DECLARE
    deferred text := {known};
BEGIN
    SET CONSTRAINTS ALL IMMEDIATE;
    IF {changed} OR current_setting('track_counts') = 'off' THEN
        deferred := ({deferred});
    END IF;
    IF deferred IS NOT NULL THEN
        EXECUTE 'SET CONSTRAINTS ' || deferred || ' DEFERRED';
    END IF;
END $holdfast$
"""
_CHANGED = " OR ".join(
    f"pg_stat_get_xact_tuples_{change}('pg_catalog.{table}'::regclass) > 0"
    for table in ("pg_constraint", "pg_namespace")
    for change in ("inserted", "updated", "deleted")
)


class SandboxedConnection:
    """What SQLAlchemy takes for the driver's connection; what is not emulated is passed on.

    Args:
        real: the connection as SQLAlchemy's dialect makes it.
        dialect: the dialect.
        loop: the loop that its driver was given.
        close: closes it for good.
    """

    def __init__(
        self, real: Any, dialect: Any, loop: AnyLoop, close: Callable[[Any], None]
    ) -> None:
        self.real = real
        self.lost = False
        self.ended = False
        self._dialect = dialect
        self._loop = loop
        self._close = close
        self._begun = False
        self._used = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    @abstractmethod
    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        """Give a cursor of the real connection, in a transaction."""

    @abstractmethod
    def check_and_release(self) -> None:
        """Check what waits for COMMIT, as that would, and let go of the savepoint."""

    @abstractmethod
    def is_in_transaction(self) -> bool:
        """Tell whether the real connection is in a transaction."""

    def ping(self) -> None:
        """See that the connection works, from the loop that runs.

        Raises:
            Error: the driver's, where it does not.
        """
        self.run("SELECT 1")
        self.real.rollback()

    def is_untouched(self) -> bool:
        """Tell whether nobody used it since its end, and its server has not closed it."""
        return not self._used and self._loop.is_quiet()

    def begin(self) -> None:
        """Set the savepoint that commit and rollback are about."""
        if self._used:
            self.run(_BEGIN)
        else:
            self._used = True
            self.begin_first()
        self._begun = True

    def begin_first(self) -> None:
        """Set the first savepoint of a test."""
        self.run(_BEGIN)

    def commit(self) -> None:
        """Keep what was done since the savepoint, if all that COMMIT would check holds."""
        if not self._begun or self.lost:
            return
        self.require_transaction()
        try:
            self.check_and_release()
        except self._dialect.loaded_dbapi.Error as error:
            self.rollback()
            if getattr(error, "sqlstate", None) == IN_FAILED_TRANSACTION:
                raise TransactionAbortedError from error
            raise
        self._begun = False

    def rollback(self) -> None:
        """Take back what was done since the savepoint."""
        if self._begun and not self.lost:
            self._begun = False
            self.require_transaction()
            self.run_all(_ROLLBACK, _COMMIT)

    def close(self) -> None:
        """Stay open for the pool that comes next, unless it was invalidated."""
        if self.lost:
            self.close_for_good()
        else:
            self.rollback()

    def close_for_good(self) -> None:
        """Close the real connection, and forget it."""
        self.lost = True
        self._loop.attach()
        self._close(self.real)

    def end(self) -> None:
        """Roll the real transaction back.

        Raises:
            SandboxError: it was ended already.
        """
        self._loop.attach()
        used, self._used = self._used, False
        if used:
            self.rollback()
            self.require_transaction()
        self._begun = False
        self.real.rollback()

    def require_transaction(self) -> None:
        """See that everything is still in the sandbox's transaction.

        Raises:
            SandboxError: it was ended.
        """
        if not self.is_in_transaction():
            self.ended = True
            raise SandboxError(ENDED)

    def run(self, sql: str) -> Any:
        """Run a statement on the real connection and give its first row's first value."""
        cursor = self.real_cursor()
        try:
            cursor.execute(sql)
            row = cursor.fetchone() if cursor.description else None
        finally:
            cursor.close()
        return row[0] if row else None

    def run_all(self, *statements: str) -> None:
        """Run statements that give nothing."""
        for each in statements:
            self.run(each)

    def real_cursor(self, *args: Any, **kwargs: Any) -> Any:
        """Give a cursor of the real connection, watched by the loop that runs."""
        self._loop.attach()
        return self.real.cursor(*args, **kwargs)


class SandboxedPostgres(SandboxedConnection):
    """A connection to PostgreSQL; in AUTOCOMMIT each statement that succeeded is kept.

    There is nobody else in the transaction, so that isolation levels above READ COMMITTED would
    show the same; they are accepted and change nothing.
    """

    autocommit = False
    readonly = False
    deferrable = False
    _check = ""

    def set_isolation_level(self, level: object) -> None:
        """Take note of AUTOCOMMIT, which is a level for asyncpg; psycopg's levels are no text."""
        if isinstance(level, str):
            self.autocommit = level == "autocommit"

    def set_autocommit(self, value: bool) -> None:  # noqa: FBT001
        """Take note of AUTOCOMMIT (psycopg)."""
        self.autocommit = value

    def set_read_only(self, value: bool) -> None:  # noqa: FBT001
        """Take note of READ ONLY (psycopg)."""
        self.readonly = value

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        """Give a cursor; the first one begins the transaction, as psycopg would."""
        if not self._begun:
            self.begin()
        cursor = self.real_cursor(*args, **kwargs)
        return _AutocommitCursor(self, cursor) if self.autocommit else cursor

    def begin(self) -> None:
        """Set the savepoint, and READ ONLY until it is released."""
        super().begin()
        if self.readonly:
            self.run("SET TRANSACTION READ ONLY")

    def check_and_release(self) -> None:
        """Check what is deferred, and let it be deferred again."""
        self.run_all(self._check, _COMMIT)

    def begin_first(self) -> None:
        """Set the savepoint; the session's advisory locks of the test before are given back."""
        if self._dialect.driver == "asyncpg":
            self._loop.attach()
            await_only(self.real._start_transaction())  # noqa: SLF001  -- else a cursor does it
        if not self._check:
            known = self.run(_KNOWN)
            self._check = _CHECK.format(known=known, changed=_CHANGED, deferred=_DEFERRED)
        self.run_all("SELECT pg_advisory_unlock_all()", _BEGIN)

    def run_all(self, *statements: str) -> None:
        """Run statements in one round trip where the driver can, which asyncpg's cursors cannot."""
        if self._dialect.driver != "asyncpg":
            super().run_all(*statements)
            return
        self._loop.attach()
        try:
            await_only(self.real.driver_connection.execute(";".join(statements)))
        except Exception as error:  # noqa: BLE001  -- as SQLAlchemy does, for what it knows
            self.real._handle_exception(error)  # noqa: SLF001

    def renew(self) -> None:
        """Keep what an AUTOCOMMIT statement did."""
        self.commit()
        self.begin()

    def is_in_transaction(self) -> bool:
        """Tell what the driver knows of its connection."""
        driver = self.real.driver_connection
        if self._dialect.driver == "asyncpg":
            return bool(driver.is_in_transaction())
        return bool(driver.info.transaction_status)

    @property
    def _transaction(self) -> object:
        """What tells asyncpg's transactions from each other."""
        return self._begun


class SandboxedSqlite(SandboxedConnection):
    """A connection to SQLite."""

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        """Give a cursor that takes BEGIN for a savepoint."""
        return _SqliteCursor(self, self.real_cursor(*args, **kwargs))

    def begin(self) -> None:
        """Set the savepoint, in the real transaction."""
        self.begin_all()
        super().begin()

    def begin_all(self) -> None:
        """Begin the real transaction, once."""
        if not self.is_in_transaction():
            self.run("BEGIN IMMEDIATE")
            self._used = True

    def check_and_release(self) -> None:
        """Check the foreign keys, which SQLite does at the COMMIT of the whole transaction only.

        Raises:
            IntegrityError: the driver's, as COMMIT would.
        """
        if self.run("PRAGMA foreign_key_check") is not None:
            raise self._dialect.loaded_dbapi.IntegrityError("FOREIGN KEY constraint failed")
        self.run(_COMMIT)

    def is_in_transaction(self) -> bool:
        """Tell what the driver knows of its connection."""
        return bool(self.real.driver_connection.in_transaction)

    @property
    def isolation_level(self) -> None:
        """The driver begins nothing by itself."""

    @isolation_level.setter
    def isolation_level(self, _level: object) -> None:
        if not self.is_in_transaction():  # which setting it would commit
            self.real.isolation_level = None


class _Cursor:
    """A cursor whose statements are looked at first."""

    def __init__(self, connection: Any, real: Any) -> None:
        self.__dict__.update(_connection=connection, _real=real)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._real, name, value)


class _AutocommitCursor(_Cursor):
    """Keeps what each statement did, or takes it back at once."""

    def execute(self, *args: Any) -> None:
        self._alone(self._real.execute, *args)

    def executemany(self, *args: Any) -> None:
        self._alone(self._real.executemany, *args)

    def _alone(self, execute: Callable[..., object], *args: Any) -> None:
        try:
            execute(*args)
        except BaseException:
            self._connection.rollback()
            raise
        if self._real.description is None:  # it gave no rows: it may have written
            self._connection.renew()


class _SqliteCursor(_Cursor):
    """Begins the real transaction with the first statement, and a savepoint for each BEGIN."""

    def execute(self, sql: str, *args: Any) -> None:
        kind = sql.split(maxsplit=1)[0].upper()
        if kind == "BEGIN":
            self._connection.begin()
        elif kind != "PRAGMA":
            self._connection.begin_all()
            self._real.execute(sql, *args)
        elif not self._connection.is_in_transaction():  # where the engine's PRAGMAs are refused
            self._real.execute(sql, *args)

    def executemany(self, sql: str, *args: Any) -> None:
        self._connection.begin_all()
        self._real.executemany(sql, *args)


EMULATIONS: Mapping[str, type[SandboxedConnection]] = {
    "postgresql": SandboxedPostgres,
    "sqlite": SandboxedSqlite,
}
