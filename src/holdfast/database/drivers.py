"""What each driver must be told at connect, and checked for at commit."""

import math
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from holdfast.database.policy import DatabasePolicy
from holdfast.errors import MissingExtraError, TransactionAbortedError
from holdfast.urls import DatabaseUrl

_EXTRAS: Mapping[str, str] = {"asyncpg": "", "psycopg": "[psycopg]", "aiosqlite": "[sqlite]"}
# libpq's PQTRANS_INERROR.
_IN_ERROR = 3
_READ_OPTION = "holdfast_read"


def make_engine(url: DatabaseUrl, policy: DatabasePolicy) -> AsyncEngine:
    """Build the engine; nothing is opened yet.

    Raises:
        MissingExtraError: the driver is not installed.
    """
    driver = url.engine.get_driver_name()
    try:
        engine = create_async_engine(url.engine, **_options(url, driver, policy))
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"the driver {driver} is not installed: pip install 'holdfast{_EXTRAS[driver]}'"
        ) from error
    if driver == "psycopg":
        event.listen(engine.sync_engine, "commit", _refuse_failed_commit)
    if url.backend == "sqlite":
        _behave(engine.sync_engine)
    return engine


def reading(engine: AsyncEngine) -> AsyncEngine:
    """Give a view of the engine, on the same pool, whose sessions send no BEGIN and COMMIT."""
    if engine.dialect.name == "sqlite":
        # Not AUTOCOMMIT: going back from it would switch the driver's own transactions on.
        return engine.execution_options(**{_READ_OPTION: True})
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def snapshot(engine: AsyncEngine) -> AsyncEngine:
    """Give a view of the engine whose transactions are READ ONLY and see one moment."""
    if engine.dialect.name == "sqlite":
        return engine.execution_options(**{_READ_OPTION: True})
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def _options(url: DatabaseUrl, driver: str, policy: DatabasePolicy) -> dict[str, Any]:
    if url.backend == "sqlite":
        return {"connect_args": {"timeout": policy.lock_timeout}}
    return {
        "connect_args": _asyncpg(policy) if driver == "asyncpg" else _psycopg(policy),
        "pool_size": policy.pool.size,
        # Overflow connections are closed on return and made anew at every burst.
        "max_overflow": 0,
        "pool_timeout": policy.pool.timeout,
        "pool_pre_ping": True,
        # Statements' values may be secrets; they stay out of error messages and logs.
        "hide_parameters": True,
    }


def _asyncpg(policy: DatabasePolicy) -> dict[str, Any]:
    from holdfast.database.checked import CheckedConnection  # noqa: PLC0415  -- not for SQLite

    return {
        "timeout": policy.connect_timeout,
        "server_settings": policy.server_settings(),
        "connection_class": CheckedConnection,
    }


def _psycopg(policy: DatabasePolicy) -> dict[str, Any]:
    settings = policy.server_settings()
    name = settings.pop("application_name")
    return {
        "connect_timeout": math.ceil(policy.connect_timeout),
        "application_name": name,
        "options": " ".join(f"-c {key}={value}" for key, value in settings.items()),
    }


def _refuse_failed_commit(conn: Connection) -> None:
    driver = conn.connection.driver_connection
    if driver is not None and driver.pgconn.transaction_status == _IN_ERROR:
        raise TransactionAbortedError


def _behave(engine: Engine) -> None:
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)


def _configure_sqlite(connection: Any, _record: object) -> None:
    # The driver's own transaction handling commits at savepoints and DDL: switch it off.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "foreign_keys=ON", "synchronous=NORMAL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(conn: Connection) -> None:
    # A writer takes its lock at once: a transaction that reads first and writes later would
    # fail as "locked" without waiting.
    reads = conn.get_execution_options().get(_READ_OPTION)
    cursor = conn.connection.cursor()
    cursor.execute("BEGIN" if reads else "BEGIN IMMEDIATE")
    cursor.close()
