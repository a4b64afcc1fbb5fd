"""A driver's connection whose BEGIN, COMMIT and ROLLBACK are savepoints in one transaction."""

import re
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy.util import await_only

from holdfast.errors import IN_FAILED_TRANSACTION, SandboxError, TransactionAbortedError
from holdfast.testing.moving import AnyLoop

ENDED = (
    "the sandbox's transaction was ended by a COMMIT or ROLLBACK that the driver was given "
    "directly, so that what the test did may be in the database"
)
_BEGIN = "SAVEPOINT holdfast_sandbox"
_COMMIT = "RELEASE SAVEPOINT holdfast_sandbox"
_ROLLBACK = "ROLLBACK TO SAVEPOINT holdfast_sandbox"
_UNLOCK = "SELECT pg_advisory_unlock_all()"
_NO_SAVEPOINT = "3B001"
# The constraints that wait for COMMIT; one that shares its name with one that does not is left out.
_DEFERRED = """
SELECT string_agg(format('%s.%I', connamespace::regnamespace, conname), ', ')
FROM pg_catalog.pg_constraint
WHERE condeferred AND has_schema_privilege(connamespace, 'USAGE')
    AND concat_ws('.', connamespace, conname) <> ALL (ARRAY(
        SELECT concat_ws('.', connamespace, conname) FROM pg_catalog.pg_constraint
        WHERE NOT condeferred
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


# `SET LOCAL name` and `set_config(name, value, local)`, arguments as text or parameters.
_SET_LOCAL = re.compile(r"\bset\s+local\s+\"?([\w.]+)", re.IGNORECASE)
_ARGUMENT = r"\s*(?:'(\w[\w.]*)'|\$(\d+)|%\((\w+)\)s|(true|false))(?:::\w+)?\s*"
_SET_CONFIG = re.compile(
    rf"\bset_config\s*\({_ARGUMENT},.+?,{_ARGUMENT}\)", re.IGNORECASE | re.DOTALL
)
_SETTING = re.compile(r"[\w.]+")
_NAMES = {"time": "timezone", "schema": "search_path", "names": "client_encoding"}
# What a driver remembers of it would be wrong when it has been taken back.
_REMEMBERED = re.compile(
    r"(?>\s|--[^\n]*\n|/\*.*?\*/)*+(?:create|alter|drop|prepare|do|call)\b",
    re.IGNORECASE | re.DOTALL,
)
_REFUSED_PRAGMA = re.compile(r"PRAGMA\s+(?:journal_mode|synchronous)\s*=", re.IGNORECASE)


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
        self.outdated = False
        self._ready = self._started = self._begun = False

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
        return not self._started and self._loop.is_quiet()

    def check_out(self) -> None:
        """Begin the real transaction, before anybody has the connection.

        Until the first time, what is done is kept: what the application sets up when it connects.
        """
        if not self._ready:
            self.prepare()
            self.real.commit()
            self._ready = True
        if not self._started:
            self._started = True
            self.begin_real()

    def prepare(self) -> None:
        """Find out what is needed later."""

    @abstractmethod
    def begin_real(self) -> None:
        """Begin the transaction that is rolled back at the end."""

    def note(self, sql: str, parameters: Any) -> None:
        """Look at a statement that is about to run."""

    def begin(self) -> None:
        """Set the savepoint that commit and rollback are about, if there is none."""
        if self._ready and not self._begun:
            self.check_out()
            self.set_savepoint()
            self._begun = True

    def set_savepoint(self) -> None:
        """Set the savepoint."""
        self.run(_BEGIN)

    def commit(self) -> None:
        """Keep what was done since the savepoint, if all that COMMIT would check holds."""
        if not self._ready:
            self.real.commit()
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
        if not self._ready:
            self.real.rollback()
        if self._begun and not self.lost:
            self._begun = False
            self.require_transaction()
            try:
                self.run_all(_ROLLBACK, _COMMIT)
            except self._dialect.loaded_dbapi.Error as error:
                if getattr(error, "sqlstate", None) != _NO_SAVEPOINT:
                    raise
                self.ended = True  # and another transaction was begun
                raise SandboxError(ENDED) from error

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
        started, self._started = self._started, False
        if started:
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

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._fresh = False
        self._local: dict[str, str] = {}

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
        self.begin()
        cursor = self.real_cursor(*args, **kwargs)
        return _AutocommitCursor(self, cursor) if self.autocommit else cursor

    def prepare(self) -> None:
        """Look up the constraints, and let a test wait, at a breakpoint for one."""
        known = self.run(_KNOWN)
        self._check = _CHECK.format(known=known, changed=_CHANGED, deferred=_DEFERRED)
        self.run("SET idle_in_transaction_session_timeout = 0")

    def begin_real(self) -> None:
        """Begin the transaction; the advisory locks of the test before are given back."""
        if self._dialect.driver == "asyncpg":
            self._loop.attach()
            await_only(self.real._start_transaction())  # noqa: SLF001  -- else a cursor does it
            self._fresh = True
        else:
            self.run(_UNLOCK)

    def set_savepoint(self) -> None:
        """Set the savepoint, and READ ONLY until it is released."""
        first = (_UNLOCK,) if self._fresh else ()
        self.run_all(*first, _BEGIN)
        self._fresh = False
        self._local.clear()
        if self.readonly:
            self.run("SET TRANSACTION READ ONLY")

    def note(self, sql: str, parameters: Any) -> None:
        """Remember what a setting was before it is set for this transaction alone."""
        self.outdated = self.outdated or bool(_REMEMBERED.match(sql))
        names = _SET_LOCAL.findall(sql)
        for found in _SET_CONFIG.finditer(sql):
            for values in parameters if isinstance(parameters, list) else (parameters,):
                name, local = (_value(found.groups()[at : at + 4], values) for at in (0, 4))
                if local and str(local).lower() != "false":
                    names.append(str(name))
        for each in names:
            self._keep_setting(_NAMES.get(each.lower(), each))

    def _keep_setting(self, name: str) -> None:
        if name in self._local or not self._begun or not _SETTING.fullmatch(name):
            return
        try:
            was = self.run(f"SELECT quote_literal(current_setting('{name}', true))")
        except self._dialect.loaded_dbapi.Error:
            return  # the transaction has failed already
        if was is not None or "." in name:
            self._local[name] = was or "''"

    def check_and_release(self) -> None:
        """Check what is deferred, let it be deferred again, and end what is LOCAL."""
        back = (f"SELECT set_config('{name}', {was}, true)" for name, was in self._local.items())
        self.run_all(self._check, *back, _COMMIT)

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
        """Give a cursor for what may be in a transaction already."""
        cursor = self.real_cursor(*args, **kwargs)
        return _SqliteCursor(self, cursor) if self._ready else cursor

    def begin_real(self) -> None:
        """Begin the transaction, as a writer."""
        self.run("BEGIN IMMEDIATE")

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
        if not self._real.server_side:
            self._connection.renew()


class _SqliteCursor(_Cursor):
    """Spares what SQLite refuses in a transaction."""

    def execute(self, sql: str, *args: Any) -> None:
        if not _REFUSED_PRAGMA.match(sql):
            self._real.execute(sql, *args)


def _value(argument: Sequence[str | None], parameters: Any) -> Any:
    """Give what an argument of a function is, in a statement with these parameters."""
    text, number, name, truth = argument
    if number:
        return parameters[int(number) - 1]
    return parameters[name] if name else text or truth


EMULATIONS: Mapping[str, type[SandboxedConnection]] = {
    "postgresql": SandboxedPostgres,
    "sqlite": SandboxedSqlite,
}
