"""What each driver must be told at connect, and checked for at commit."""

import json
import math
from collections.abc import Mapping
from functools import partial
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from holdfast.database import sqlite
from holdfast.database.policy import DatabasePolicy, PoolPolicy
from holdfast.database.pooling import ping_after_idling, take_back
from holdfast.errors import ConfigurationError, MissingExtraError, TransactionAbortedError
from holdfast.urls import DatabaseUrl

_EXTRAS: Mapping[str, str] = {"asyncpg": "", "psycopg": "[psycopg]", "aiosqlite": "[sqlite]"}
# libpq's PQTRANS_INERROR.
_IN_ERROR = 3


def make_engine(url: DatabaseUrl, policy: DatabasePolicy) -> AsyncEngine:
    """Build the engine; nothing is opened yet.

    Raises:
        ConfigurationError: SQLAlchemy or the driver does not take the URL's query.
        MissingExtraError: the driver is not installed.
    """
    driver = url.engine.get_driver_name()
    try:
        engine = create_async_engine(url.engine, **_options(url, driver, policy))
    except (ArgumentError, ValueError) as error:
        raise ConfigurationError(
            "database URL: its query cannot be used; look at hosts, ports and values there"
        ) from error
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"the driver {driver} is not installed: pip install 'holdfast{_EXTRAS[driver]}'"
        ) from error
    take_back(engine.sync_engine)
    if url.backend == "sqlite":
        sqlite.behave(engine.sync_engine)
        return engine
    ping_after_idling(engine.sync_engine, seconds=policy.pool.ping_after)
    if driver == "psycopg":
        event.listen(engine.sync_engine, "commit", _refuse_failed_commit)
    return engine


def owned(engine: AsyncEngine) -> AsyncEngine:
    """Give a view of the engine, on the same pool, for transactions that Holdfast ends."""
    return engine.execution_options()


def reading(engine: AsyncEngine) -> AsyncEngine:
    """Give a view of the engine, on the same pool, whose sessions send no BEGIN and COMMIT."""
    if engine.dialect.name == "sqlite":
        # Not AUTOCOMMIT: going back from it would switch the driver's own transactions on.
        return engine.execution_options(**{sqlite.BEGIN: None})
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def snapshot(engine: AsyncEngine) -> AsyncEngine:
    """Give a view of the engine whose transactions are READ ONLY and see one moment."""
    if engine.dialect.name == "sqlite":
        return engine.execution_options(**{sqlite.BEGIN: "BEGIN"})
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def _options(url: DatabaseUrl, driver: str, policy: DatabasePolicy) -> dict[str, Any]:
    options = {
        # The parameters of a failed statement may be secrets: SQLAlchemy leaves them out of its
        # messages. What the driver itself says about a value stays.
        "hide_parameters": True,
        # JSON has no NaN: PostgreSQL refuses it, SQLite would store what nothing can read.
        "json_serializer": partial(json.dumps, allow_nan=False),
    }
    if url.backend == "sqlite":
        return options | _pool(policy.pool) | sqlite.options(url, policy)
    connect_args = _asyncpg(policy) if driver == "asyncpg" else _psycopg(policy)
    return options | _pool(policy.pool) | {"connect_args": connect_args}


def _pool(policy: PoolPolicy) -> dict[str, Any]:
    # Overflow connections are closed on return and made anew at every burst.
    return {"pool_size": policy.size, "max_overflow": 0, "pool_timeout": policy.timeout}


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
