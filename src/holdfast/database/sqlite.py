"""Make SQLite keep transactions, foreign keys and waiting for locks as PostgreSQL does."""

import asyncio
import gc
import sqlite3
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sqlalchemy import URL, Connection, Engine, event
from sqlalchemy.dialects.sqlite.base import SQLiteDialect
from sqlalchemy.engine.base import OptionEngine
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection, PoolResetState
from sqlalchemy.util import await_only
from sqlalchemy.util.concurrency import in_greenlet

from holdfast.database.answers import Orders
from holdfast.database.beginning import begin_transactions
from holdfast.database.policy import DatabasePolicy
from holdfast.database.zones import keep_zones
from holdfast.pool import PoolPolicy, TurnTakingPool
from holdfast.urls import DatabaseUrl

if TYPE_CHECKING:
    import aiosqlite

_CURSORS = "holdfast.cursors"
_NO_LIMIT = 2_147_483  # seconds; SQLite takes 0 for not waiting at all


def options(_url: DatabaseUrl, policy: DatabasePolicy) -> dict[str, Any]:
    """Give what the engine must be told."""
    return {"timeout": policy.lock_timeout or _NO_LIMIT, "async_creator_fn": _connect}


def pool_policy(url: DatabaseUrl, policy: PoolPolicy) -> PoolPolicy:
    """Give the pool that fits: a database in memory is one connection, which stays.

    SQLAlchemy would hand it to all tasks at once, where one's rollback undoes the other's writes.
    """
    if not _is_in_memory(url.engine):
        return policy
    return replace(policy, min_size=0, max_size=1, idle_timeout=0, max_lifetime=0)


def behave(engine: Engine) -> None:
    """Set up each connection of the engine, and begin and watch its transactions."""
    if _is_in_memory(engine.url):
        memory = _Memory()
        event.listen(engine, "do_connect", memory.point)
        event.listen(engine, "engine_disposed", memory.forget)
    keep_zones(engine)
    event.listen(engine, "connect", partial(_configure, _is_read_only(engine.url)))
    for name in ("do_close", "do_terminate"):
        setattr(engine.dialect, name, _let_go)
    engine.dialect.has_terminate = True  # SQLAlchemy's own needs aiosqlite 0.22
    # SQLAlchemy's own would switch on the driver's transactions when a level is set back.
    set_level = partial(_set_isolation_level, engine.dialect)
    engine.dialect.set_isolation_level = set_level  # type: ignore[method-assign]
    begin_transactions(engine)
    for kind in ("do_execute", "do_execute_no_params"):
        event.listen(engine, kind, _note_cursor)
    event.listen(engine, "reset", _close_cursors)


def reader(engine: AsyncEngine, **options: object) -> AsyncEngine:
    """Give a view of the engine that does not wait for the turn of a writer."""
    return AsyncEngine(_Reader(engine.sync_engine, options))


class _Reader(OptionEngine):
    def raw_connection(self) -> PoolProxiedConnection:
        pool = self.pool
        assert isinstance(pool, TurnTakingPool)
        return pool.connect_to_read()


def transaction(connection: Connection) -> object:
    """Tell whether a transaction is open: no other can follow it by itself."""
    adapted: Any = connection.connection.dbapi_connection
    driver = adapted.driver_connection
    return driver.in_transaction


def is_lost(_driver: object) -> bool:
    """Tell whether the connection is gone; a file does not hang up."""
    return False


def is_busy(_adapted: object) -> bool:
    """Tell whether a statement is under way; its thread takes one after the other and tells not."""
    return False


def _is_in_memory(url: URL) -> bool:
    return ":memory:" in (url.database or ":memory:") or url.query.get("mode") == "memory"


class _Memory:
    """A database in memory that outlives its connection, which a cancelled task takes with it.

    It lives for as long as a connection to it does, so one that nobody uses is kept.
    """

    def __init__(self) -> None:
        self._name = f"file:/holdfast-{uuid4().hex}?vfs=memdb"
        self._kept: sqlite3.Connection | None = None

    def point(self, _dialect: object, _entry: object, args: list[str], options: Any) -> None:
        """Have a connection made to it; a name with parameters of its own stays."""
        if "cache=shared" not in args[0] and "vfs=" not in args[0]:
            args[0], options["uri"] = self._name, True
        if self._kept is None:
            self._kept = sqlite3.connect(args[0], uri=True)

    def forget(self, _engine: object) -> None:
        """Let it go, with the pool."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None


async def _connect(*args: Any, **options: Any) -> "aiosqlite.Connection":
    import aiosqlite  # noqa: PLC0415  -- an extra

    connection = aiosqlite.connect(*args, **options)
    worker = _worker(connection)
    worker.daemon = True  # as SQLAlchemy makes it
    connection._tx = Orders(connection._tx)  # type: ignore[assignment]  # noqa: SLF001  -- for a queue
    try:
        return await connection
    except BaseException:
        # It ends a moment later, and could make the file again that was removed by then.
        await asyncio.to_thread(worker.join)
        raise


def _worker(connection: Any) -> Thread:
    # Before 0.22 the connection was a thread itself.
    worker: Thread = getattr(connection, "_thread", connection)
    return worker


def _configure(reads_only: bool, connection: Any, _entry: object) -> None:  # noqa: FBT001
    # The driver's own transaction handling commits at savepoints and DDL: switch it off.
    connection.isolation_level = None
    cursor = connection.cursor()
    try:
        # In WAL mode NORMAL would lose the latest commits when the power fails.
        for pragma in ("journal_mode=WAL", "foreign_keys=ON", "synchronous=FULL"):
            if not (reads_only and "WAL" in pragma):  # there it stays as it is
                cursor.execute(f"PRAGMA {pragma}")
        cursor.execute("PRAGMA database_list")
        _watch_file(connection.driver_connection, cursor.fetchone()[2])
    except BaseException:
        _let_go(connection)  # nobody else knows of it yet
        raise
    cursor.close()


def _is_read_only(url: URL) -> bool:
    return url.query.get("mode") == "ro"


def _watch_file(driver: Any, path: str) -> None:
    """Have a connection known as closed when its file was removed, or another put in its place.

    SQLite would go on with the file that nobody else can see any more.
    """
    identity = _identify(path) if path else None
    if identity:
        driver.is_closed = lambda: _identify(path) != identity


def _identify(path: str) -> tuple[int, int] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _set_isolation_level(dialect: Any, connection: Any, level: Any) -> None:
    if level != "AUTOCOMMIT":  # which is what the driver does anyway
        SQLiteDialect.set_isolation_level(dialect, connection, level)


def _note_cursor(cursor: Any, *more: Any) -> None:
    if cursor.server_side:
        info = more[-1].root_connection.connection.info
        still_open = [each for each in info.get(_CURSORS, ()) if each._cursor]  # noqa: SLF001
        info[_CURSORS] = [*still_open, cursor]


def _close_cursors(
    _connection: object, entry: ConnectionPoolEntry | None, state: PoolResetState
) -> None:
    """Close what was not read to its end: the next to have the connection would see the past."""
    if entry is None:
        return  # it was detached: nobody has it next, and closing it ends its cursors
    cursors = entry.info.pop(_CURSORS, ())
    for cursor in cursors if state.asyncio_safe else ():
        cursor.close()


def _let_go(connection: Any) -> None:
    """Close a connection, and end what a cancelled task left running and its transaction first.

    SQLite would keep a closed connection's locks until Python has taken away the cursor. The
    thread is told all of it at once: the loop may be closed before it has come to the end.
    """
    driver = connection.driver_connection
    real, driver._connection = driver._connection, None  # noqa: SLF001
    if real is None or not _worker(driver).is_alive():  # a process was forked: it has no threads
        return
    real.interrupt()
    closed = asyncio.get_running_loop().create_future() if in_greenlet() else None
    driver._tx.put_nowait((None, partial(_end, real)))  # noqa: SLF001
    driver._tx.put_nowait((closed, real.close))  # noqa: SLF001
    stop = driver.stop if hasattr(driver, "stop") else driver._stop_running  # noqa: SLF001
    stop()
    if closed is not None:
        await_only(closed)


def _end(connection: sqlite3.Connection) -> None:
    try:
        connection.rollback()
    except sqlite3.OperationalError:
        # A cursor that was not read to its end keeps the interruption in force, for ROLLBACK too,
        # and the locks after closing. Only the connection knows its cursors, and does not tell.
        for each in gc.get_referrers(connection):
            if isinstance(each, sqlite3.Cursor):
                each.close()
        connection.rollback()
    # The interruption is in force until a statement begins, and closing would leave the journal
    # beside the file.
    connection.execute("SELECT 1").close()
