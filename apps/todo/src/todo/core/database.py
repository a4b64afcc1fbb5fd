"""Todo's database and sessions on it: one engine for the process, made when first needed.

    async with async_session_factory() as session:       # the code inside commits
        tasks = (await session.exec(select(Task))).all()

    await get_database().run(tasks.add_task, user_id, "Buy milk")

The second form can be repeated after a lost connection, which a `with` block cannot.
"""

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker
from sqlmodel.ext.asyncio.session import AsyncSession

from holdfast import settings
from holdfast.database import Database, DatabasePolicy
from todo.core.config import get_settings

# What operators may rely on, whatever becomes of the library's own defaults.
_DEFAULTS = {"TODO_DB_APPLICATION_NAME": "todo"}


@lru_cache(maxsize=1)
def get_database() -> Database:
    """Give the shared database; the first call reads the settings, none does I/O.

    Raises:
        ConfigurationError: a setting is wrong; the message names it.
    """
    return make_database(get_settings().database_url.get_secret_value())


def get_async_engine() -> AsyncEngine:
    """Give the one engine of this process.

    Raises:
        ConfigurationError: a setting is wrong; the message names it.
    """
    return get_database().engine


class _Session(AsyncSession):
    """A session on the engine of this process, which is made when the first one is."""

    def __init__(self, bind: AsyncEngine | None = None, **options: Any) -> None:
        super().__init__(bind or get_async_engine(), **options)


# Gives SQLModel's sessions, which keep their objects usable after the commit.
async_session_factory = async_sessionmaker(class_=_Session, expire_on_commit=False)


async def get_async_session() -> AsyncIterator[AsyncSession]:
    """Give a session that commits at the end, rolls back on any error, and is closed.

    For FastAPI, which has to end it before the answer is sent: otherwise the client reads of its
    success before the COMMIT, which may yet fail.

        Session = Annotated[AsyncSession, Depends(get_async_session, scope="function")]

        @app.post("/tasks")
        async def add(task: NewTask, session: Session) -> Task: ...

    Raises:
        TransactionAbortedError: a statement failed and the code that has the session went on;
            nothing of that transaction is stored.
    """
    async with async_session_factory() as session:
        try:
            yield session
            await session.commit()
        except BaseException:
            await session.rollback()
            raise


def make_database(url: str, *, connections: int | None = None) -> Database:
    """Make a database with the application's limits; no I/O is done here.

    They come from `TODO_DB_…`, those of its pool from `TODO_DB_POOL_…` and those of `run()` from
    `TODO_DB_RETRY_…`.

    Args:
        url: the database.
        connections: at most so many, none of them kept open for later: for a command that ends.

    Raises:
        ConfigurationError: a limit is wrong; the message names its variable.
    """
    environ = {**_DEFAULTS, **os.environ}
    policy = settings.load(DatabasePolicy, prefix="TODO_DB_", environ=environ)
    if connections is not None:
        pool = replace(policy.pool, min_size=0, max_size=connections)
        policy = replace(policy, pool=pool)
    return Database(url, policy=policy)


async def close_database() -> None:
    """Close the connections and forget the shared database; the next use makes a new one."""
    if get_database.cache_info().currsize:
        database = get_database()
        get_database.cache_clear()
        await database.close()
