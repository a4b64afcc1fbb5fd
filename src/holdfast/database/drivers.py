"""The engine for a URL, with what each driver must be told and made to do."""

import json
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from holdfast.database import sqlite
from holdfast.database.connecting import Leaving
from holdfast.database.policy import DatabasePolicy
from holdfast.database.pooling import ping_after_idling, take_back
from holdfast.database.sessions import TRANSACTION
from holdfast.errors import ConfigurationError, MissingExtraError
from holdfast.urls import DatabaseUrl

# What to install for each driver.
_EXTRAS: Mapping[str, str] = {"asyncpg": "", "psycopg": "[psycopg]", "aiosqlite": "[sqlite]"}


def make_engine(url: DatabaseUrl, policy: DatabasePolicy, leaving: Leaving) -> AsyncEngine:
    """Build the engine; nothing is opened yet.

    Args:
        url: of the database.
        policy: its limits.
        leaving: holds what goes on in the background after a caller was cancelled.

    Raises:
        ConfigurationError: SQLAlchemy or the driver does not take the URL's query.
        MissingExtraError: the driver is not installed.
    """
    driver = url.engine.get_driver_name()
    try:
        module = _module(driver)
        options = _options(policy) | module.options(url, policy, leaving)
        engine = create_async_engine(url.engine, **options)
    except (ArgumentError, ValueError) as error:
        raise ConfigurationError(
            "database URL: its query cannot be used; look at hosts, ports and values there"
        ) from error
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"the driver {driver} is not installed: pip install 'holdfast{_EXTRAS[driver]}'"
        ) from error
    take_back(engine.sync_engine)
    module.behave(engine.sync_engine)
    if url.backend == "postgresql":
        ping_after_idling(engine.sync_engine, seconds=policy.pool.ping_after)
    return engine


def owned(engine: AsyncEngine) -> AsyncEngine:
    """Give a view of the engine, on the same pool, for transactions that Holdfast ends."""
    return engine.execution_options(**{TRANSACTION: _module(engine.dialect.driver).transaction})


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


def _module(driver: str) -> ModuleType:
    # Imported when needed: each imports its driver.
    return import_module(f"holdfast.database.{'sqlite' if driver == 'aiosqlite' else driver}")


def _options(policy: DatabasePolicy) -> dict[str, Any]:
    return {
        # The parameters of a failed statement may be secrets: SQLAlchemy leaves them out of its
        # messages. What the driver itself says about a value stays.
        "hide_parameters": True,
        # JSON has no NaN: PostgreSQL refuses it, SQLite would store what nothing can read.
        # Not `dumps`, which makes an encoder for each value when it is told anything.
        "json_serializer": json.JSONEncoder(allow_nan=False).encode,
        # Overflow connections are closed on return and made anew at every burst.
        "pool_size": policy.pool.size,
        "max_overflow": 0,
        "pool_timeout": policy.pool.timeout,
    }
