"""Faceplate's database and sessions on it: one pool for the process, made when first needed.

    async with get_session() as session:             # commits at the end
        await messages.add_message(session, conversation_id, "user", content="Hello")

    await get_database().run(messages.add_message, conversation_id, "user", content="Hello")

The second form can be repeated after a lost connection, which a `with` block cannot.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import lru_cache

from sqlalchemy.ext.asyncio import AsyncSession

from faceplate.config import get_settings
from holdfast import settings
from holdfast.database import Database, DatabasePolicy

# What operators may rely on, whatever becomes of the library's own defaults.
_DEFAULTS = {
    "FACEPLATE_DB_APPLICATION_NAME": "faceplate",
    "FACEPLATE_DB_POOL_MIN_SIZE": "5",
    "FACEPLATE_DB_POOL_MAX_SIZE": "20",
    "FACEPLATE_DB_POOL_TIMEOUT": "30",
    "FACEPLATE_DB_RETRY_RECONNECT_DELAY": "1",
}


@lru_cache(maxsize=1)
def get_database() -> Database:
    """Give the shared database; the first call reads the settings, none does I/O.

    Raises:
        ConfigurationError: a setting is wrong; the message names it.
    """
    return make_database(get_settings().database_url.get_secret_value())


def make_database(url: str, *, connections: int | None = None) -> Database:
    """Make a database with the application's limits; no I/O is done here.

    They come from `FACEPLATE_DB_…`, those of its pool from `FACEPLATE_DB_POOL_…` and those of
    `run()` from `FACEPLATE_DB_RETRY_…`.

    Args:
        url: the database.
        connections: at most so many, none of them kept open for later: for a command that ends.

    Raises:
        ConfigurationError: a limit is wrong; the message names its variable.
    """
    environ = {**_DEFAULTS, **os.environ}
    policy = settings.load(DatabasePolicy, prefix="FACEPLATE_DB_", environ=environ)
    if connections is not None:
        pool = replace(policy.pool, min_size=0, max_size=connections)
        policy = replace(policy, pool=pool)
    return Database(url, policy=policy)


@asynccontextmanager
async def get_session() -> AsyncIterator[AsyncSession]:
    """Give a session that commits at the end, rolls back on any exception, and is closed.

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


async def get_db() -> AsyncIterator[AsyncSession]:
    """Give the same session to a web framework that takes a generator, as FastAPI's `Depends` does.

    Let it end before the answer is sent, or a failed COMMIT would be answered with success:

        session: Annotated[AsyncSession, Depends(get_db, scope="function")]
    """
    async with get_session() as session:
        yield session


async def close_database() -> None:
    """Close the connections and forget the shared database; the next use makes a new one."""
    if get_database.cache_info().currsize:
        database = get_database()
        get_database.cache_clear()
        await database.close()
