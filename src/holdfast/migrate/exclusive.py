"""One migration at a time on a database, with limits, and nothing lost on the way."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateSchema

from holdfast.errors import MigrationError
from holdfast.migrate.policy import MigrationPolicy

# Any number does that other programs on the database do not use: "holdfast" in letters, cut.
_LOCK_KEY = 0x686F6C64666173
_LOCK_NOT_AVAILABLE = "55P03"


@contextmanager
def prepared(connection: Connection, policy: MigrationPolicy) -> Iterator[None]:
    """Set up what must stand before the transaction begins, and put it back afterwards.

    SQLite changes a table by making it anew and dropping the old one, and the drop would delete
    the rows that refer to it: foreign keys are not enforced meanwhile, but checked at the end.
    """
    if connection.dialect.name != "sqlite" or connection.in_transaction():
        yield
        return
    enforced = _pragma(connection, "foreign_keys")
    patience = _pragma(connection, "busy_timeout")
    _pragma(connection, "foreign_keys", 0)
    _pragma(connection, "busy_timeout", ceil(policy.wait_timeout * 1000))
    try:
        yield
    finally:
        _pragma(connection, "busy_timeout", patience)
        _pragma(connection, "foreign_keys", enforced)


@contextmanager
def waiting(policy: MigrationPolicy) -> Iterator[None]:
    """Name the cause when another migration has not ended in time.

    Raises:
        MigrationError: another process migrates for longer than the policy allows to wait.
    """
    try:
        yield
    except DBAPIError as error:
        locked = "database is locked" in str(error.orig)
        if not locked and getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        raise MigrationError(
            f"another process has been migrating this database for {policy.wait_timeout:g} s; "
            "look for it in pg_stat_activity, or allow more with MigrationPolicy.wait_timeout"
        ) from error


def take_turn(connection: Connection, policy: MigrationPolicy) -> None:
    """Take the lock of this database's migrations until the transaction ends, and set limits.

    SQLite's transaction is that lock.
    """
    if connection.dialect.name != "postgresql":
        return
    _limit(connection, lock_timeout=policy.wait_timeout, statement_timeout=0)
    with waiting(policy):
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
    _limit(
        connection,
        lock_timeout=policy.lock_timeout,
        statement_timeout=policy.statement_timeout,
        # Between two statements a migration may compute for as long as it likes.
        idle_in_transaction_session_timeout=0,
    )


def make_schema(connection: Connection, schema: str | None) -> None:
    """Make the schema that Alembic's own table is to be in, unless it is there.

    Asked first: CREATE SCHEMA IF NOT EXISTS needs a right that the owner of tables may not have.
    """
    if schema and not inspect(connection).has_schema(schema):
        connection.execute(CreateSchema(schema))


@contextmanager
def references_kept(connection: Connection) -> Iterator[None]:
    """Check SQLite's foreign keys at the end, which were not enforced meanwhile.

    Raises:
        MigrationError: rows refer to what the migration took away.
    """
    before = _dangling(connection)
    yield
    broken = _dangling(connection) - before
    if broken:
        tables = ", ".join(sorted({f"{child} to {parent}" for child, parent in broken}))
        raise MigrationError(f"the migration would leave rows that refer to nothing: {tables}")


def _dangling(connection: Connection) -> set[tuple[str, str]]:
    if connection.dialect.name != "sqlite":
        return set()
    rows = connection.exec_driver_sql("PRAGMA foreign_key_check")
    return {(row[0], row[2]) for row in rows}


def _pragma(connection: Connection, name: str, value: int | None = None) -> int:
    # Below SQLAlchemy, which would begin a transaction; there the pragma has no effect.
    cursor = connection.connection.cursor()
    cursor.execute(f"PRAGMA {name}" if value is None else f"PRAGMA {name} = {value}")
    row = cursor.fetchone()
    cursor.close()
    return int(row[0]) if row else 0


def _limit(connection: Connection, **seconds: float) -> None:
    settings = ", ".join(f"set_config('{name}', :{name}, true)" for name in seconds)
    # Rounded up: PostgreSQL takes 0 for no limit.
    values = {name: str(ceil(value * 1000)) for name, value in seconds.items()}
    connection.execute(text(f"SELECT {settings}"), values)
