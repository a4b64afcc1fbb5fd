"""Make SQLite keep transactions, foreign keys and waiting for locks as PostgreSQL does."""

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import AsyncAdaptedQueuePool, Connection, Engine, event

from holdfast.database.connecting import Leaving, connect_whole
from holdfast.database.policy import DatabasePolicy
from holdfast.database.sessions import OWN_STATEMENT
from holdfast.urls import DatabaseUrl

if TYPE_CHECKING:
    import aiosqlite

# Execution option: what begins a transaction, None for no transaction at all.
BEGIN = "holdfast_sqlite_begin"
# A writer takes its lock at once: a transaction that reads first and writes later would fail as
# "locked" without waiting.
_BEGIN_WRITING = "BEGIN IMMEDIATE"


def options(url: DatabaseUrl, policy: DatabasePolicy, leaving: Leaving) -> dict[str, Any]:
    """Give what the engine must be told; `leaving` holds tasks that go on by themselves."""
    connect = {"timeout": policy.lock_timeout, "async_creator_fn": partial(_connect, leaving)}
    told: dict[str, Any] = {"connect_args": connect}
    if _is_in_memory(url):
        # One connection is the database. SQLAlchemy would hand it to all tasks at once, where
        # one's rollback undoes the other's writes.
        told |= {"poolclass": AsyncAdaptedQueuePool, "pool_size": 1}
    return told


def behave(engine: Engine) -> None:
    """Set up each connection of the engine, and begin its transactions."""
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)


def transaction(connection: Connection) -> object:
    """Tell whether a transaction is open: no other can follow it by itself."""
    driver: Any = connection.connection.driver_connection
    return driver.in_transaction


def _is_in_memory(url: DatabaseUrl) -> bool:
    name = url.engine.database or ":memory:"
    return ":memory:" in name or url.engine.query.get("mode") == "memory"


async def _connect(leaving: Leaving, *args: Any, **options: Any) -> "aiosqlite.Connection":
    import aiosqlite  # noqa: PLC0415  -- an extra

    connection = aiosqlite.connect(*args, **options)
    # Before 0.22 the connection was a thread itself. SQLAlchemy makes it a daemon in the same way.
    worker: Any = getattr(connection, "_thread", connection)
    worker.daemon = True
    return await connect_whole(_open(connection, worker), aiosqlite.Connection.close, leaving)


async def _open(connection: "aiosqlite.Connection", worker: Any) -> "aiosqlite.Connection":
    try:
        return await connection
    except BaseException:
        # It ends a moment later. Without a loop by then, it would print a traceback.
        await asyncio.to_thread(worker.join)
        raise


def _configure(connection: Any, _entry: object) -> None:
    # The driver's own transaction handling commits at savepoints and DDL: switch it off.
    connection.isolation_level = None
    cursor = connection.cursor()
    try:
        for pragma in ("journal_mode=WAL", "foreign_keys=ON", "synchronous=NORMAL"):
            cursor.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()  # nobody else knows of it yet
        raise
    cursor.close()


def _begin(conn: Connection) -> None:
    statement = conn.get_execution_options().get(BEGIN, _BEGIN_WRITING)
    if statement is not None:
        conn.exec_driver_sql(statement, execution_options={OWN_STATEMENT: True})
