"""The application's database and sessions on it, made when they are first needed."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import lru_cache

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from holdfast import settings
from holdfast.database import Database, DatabasePolicy
from mantimon.config import get_settings

_DEFAULTS = {"MANTIMON_DB_APPLICATION_NAME": "mantimon"}


@lru_cache(maxsize=1)
def get_database() -> Database:
    """Give the shared database; the first call reads the settings, none does I/O.

    Raises:
        ConfigurationError: a setting is wrong; the message names it.
    """
    return make_database(get_settings().database_url.get_secret_value())


def make_database(url: str, *, connections: int | None = None) -> Database:
    """Make a database with the application's limits; no I/O is done here.

    They come from `MANTIMON_DB_…`, those of its pool from `MANTIMON_DB_POOL_…`.

    Args:
        url: the database.
        connections: at most so many, none of them kept open for later: for a command that ends.

    Raises:
        ConfigurationError: a limit is wrong; the message names its variable.
    """
    policy = settings.load(
        DatabasePolicy, prefix="MANTIMON_DB_", environ={**_DEFAULTS, **os.environ}
    )
    if connections is not None:
        policy = replace(policy, pool=replace(policy.pool, min_size=0, max_size=connections))
    return Database(url, policy=policy)


def get_engine() -> AsyncEngine:
    """Give the shared engine, for what works with an engine rather than a session."""
    return get_database().engine


def get_session_factory() -> async_sessionmaker[AsyncSession]:
    """Give a factory of plain sessions, which neither commit nor roll back by themselves."""
    return async_sessionmaker(get_engine(), expire_on_commit=False)


@asynccontextmanager
async def get_session() -> AsyncIterator[AsyncSession]:
    """Give a session that commits at the end, rolls back on any exception, and is closed.

        async with get_session() as session:
            session.add(deck)

    The code inside may commit too; what follows is then in a transaction of its own.

    Raises:
        TransactionAbortedError: a statement failed and the code inside went on; nothing of
            that transaction is stored.
    """
    async with get_database().session() as session:
        try:
            yield session
            await session.commit()
        except BaseException:
            await session.rollback()
            raise


async def close_database() -> None:
    """Close the connections and forget the shared database; the next use makes a new one."""
    if get_database.cache_info().currsize:
        database = get_database()
        get_database.cache_clear()
        await database.close()
