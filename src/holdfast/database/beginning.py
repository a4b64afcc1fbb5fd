"""Begin SQLite's transactions, as a writer or to read, and notice when SQLite itself ends one."""

import sqlite3
import time
from typing import Any

from sqlalchemy import Connection, Engine, ExceptionContext, PoolProxiedConnection, event
from sqlalchemy.util import await_only

from holdfast.database.sessions import SQLITE_BEGIN
from holdfast.errors import TransactionAbortedError

# A writer takes its lock at once: a transaction that reads first and writes later would fail as
# "locked" without waiting.
_BEGIN_WRITING = "BEGIN IMMEDIATE"
_BEGINS_WITH = "holdfast.begins_with"
_BEGUN = "holdfast.begun"
_ROLLED_BACK = "holdfast.rolled_back"
_PRIMARY = 0xFF  # the part of an error's code that says what kind it is
_ATTEMPT = 10  # milliseconds that SQLite waits for a lock in the thread, which nobody can cancel
_WAITED = (
    "another process, or a connection that is not of this Database, has been writing for longer "
    "than lock_timeout allows: let its transactions be short, or raise DatabasePolicy.lock_timeout"
)
_OUTDATED = (
    "this transaction began by reading, and another one has written since: begin it as a writer, "
    "which begin(), run(), session() and the engine do"
)
_MOVED = (
    "the database's file was removed, or replaced, while this transaction was open, so none of its "
    "writes is stored: do that only while nobody uses the file"
)


def begin_transactions(engine: Engine) -> None:
    """Have each transaction of the engine begin as its view says, and end as one."""
    # The event knows the options. An error in it would leave SQLAlchemy's connection without a
    # transaction for the statements that follow; do_begin may fail.
    event.listen(engine, "begin", _choose)
    engine.dialect.do_begin = _begin  # type: ignore[assignment, method-assign]
    event.listen(engine, "handle_error", _note_rollback)
    event.listen(engine, "handle_error", _explain_lock)
    event.listen(engine, "before_cursor_execute", _refuse_to_go_on)
    event.listen(engine, "commit", _refuse_to_go_on)
    event.listen(engine, "commit", _require_file)


def _choose(connection: Connection) -> None:
    options = connection.get_execution_options()
    alone = options.get("isolation_level") == "AUTOCOMMIT"
    begin = None if alone else options.get(SQLITE_BEGIN, _BEGIN_WRITING)
    connection.connection.info[_BEGINS_WITH] = begin


def _begin(connection: PoolProxiedConnection) -> None:
    statement = connection.info.pop(_BEGINS_WITH, None)
    connection.info[_BEGUN] = statement is not None
    adapted: Any = connection.dbapi_connection
    if statement is None:
        return
    if hasattr(adapted, "begin"):  # a sandbox's, which is in a transaction already
        adapted.begin()
    else:
        await_only(_take_lock(adapted.driver_connection, statement))


async def _take_lock(driver: Any, statement: str) -> None:
    """Begin; wait for the lock in many short attempts, between which a task can be cancelled.

    SQLite itself would look less and less often, every 100 ms in the end, and meet a busy process
    in the middle of a transaction each time.
    """
    end: float | None = None
    while True:
        patience, refused = await driver._execute(_attempt, driver._conn, statement)  # noqa: SLF001
        if refused is None:
            return
        now = time.monotonic()
        end = now + patience if end is None else end
        if now >= end:
            raise refused


def _attempt(
    connection: sqlite3.Connection, statement: str
) -> tuple[float, sqlite3.OperationalError | None]:
    """Try to begin; give the seconds that the connection would wait, and why it did not succeed."""
    patience = int(connection.execute("PRAGMA busy_timeout").fetchone()[0])
    connection.execute(f"PRAGMA busy_timeout = {min(patience, _ATTEMPT)}")
    try:
        connection.execute(statement)
    except sqlite3.OperationalError as error:
        if not _is_locked(error):
            raise
        return patience / 1000, error
    finally:
        connection.execute(f"PRAGMA busy_timeout = {patience}")
    return 0.0, None


def _is_locked(error: BaseException) -> bool:
    """Tell whether somebody else's lock is in the way, which goes by itself."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
    return code & _PRIMARY == sqlite3.SQLITE_BUSY and code != sqlite3.SQLITE_BUSY_SNAPSHOT


def _explain_lock(context: ExceptionContext) -> None:
    error = context.original_exception
    if context.sqlalchemy_exception is None:
        return
    if _is_locked(error):
        context.sqlalchemy_exception.add_note(_WAITED)
    elif getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY_SNAPSHOT:
        context.sqlalchemy_exception.add_note(_OUTDATED)


def _note_rollback(context: ExceptionContext) -> None:
    """Notice that SQLite itself rolled back: a trigger's RAISE(ROLLBACK), a full disk."""
    connection = context.connection
    if connection is None or connection.invalidated:
        return
    transaction = connection.get_transaction()
    driver: Any = connection.connection.driver_connection
    if transaction and connection.connection.info.get(_BEGUN) and not driver.in_transaction:
        connection.info[_ROLLED_BACK] = transaction


def _refuse_to_go_on(connection: Connection, *_statement: object) -> None:
    """Refuse what would be stored by itself, as PostgreSQL does after a failed statement."""
    rolled_back = connection.info.get(_ROLLED_BACK)
    if rolled_back is not None and connection.get_transaction() is rolled_back:
        raise TransactionAbortedError


def _require_file(connection: Connection) -> None:
    driver: Any = connection.connection.driver_connection
    if hasattr(driver, "is_closed") and driver.is_closed():
        raise TransactionAbortedError(_MOVED)
