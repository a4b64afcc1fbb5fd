"""MoAI's database: one for a program, set up by `init_db()` and closed by `close_db()`.

The session pattern: a session is a block, and the block is a transaction.

    init_db()                                  # ./moai.db, MOAI_DATABASE_URL, or init_db(url)
    await create_tables()                      # once; again it does no harm
    async with get_session() as session:
        session.add(Project(name="Caching", models=["claude", "gpt"]))
    await close_db()

When the block ends, what it did is committed; when it raises anything, all of it is rolled back;
either way the session is closed. The code inside may commit as well, and what follows is then a
transaction of its own. Objects stay readable after their block, with what was loaded in it. A
session belongs to one task: tasks that run at once have a block each.

`get_database().run(work, …)` calls `work(session, …)` in such a transaction, and once more after
a lost connection, which a block cannot do.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from holdfast import migrate
from holdfast.database import Database, DatabasePolicy
from holdfast.errors import ConfigurationError
from moai.core.models import Base
from moai.errors import NotInitializedError

VARIABLE = "MOAI_DATABASE_URL"
ALEMBIC_INI = Path(__file__).parents[3] / "alembic.ini"

# What `init_db()` takes; the environment is asked once more then.
DATABASE_URL = os.environ.get(VARIABLE) or "sqlite+aiosqlite:///./moai.db"

engine: AsyncEngine | None = None
async_session_factory: async_sessionmaker[AsyncSession] | None = None

# Others wait while a large file is imported: for all of SQLite, on PostgreSQL for one discussion.
_POLICY = DatabasePolicy(application_name="moai", statement_timeout=90, lock_timeout=60)

# On PostgreSQL; SQLite's transactions are one at a time. The key is "moai" in letters.
_ONE_AT_A_TIME = f"SELECT pg_advisory_xact_lock({0x6D6F6169})"
_REVISIONS = "SELECT version_num FROM alembic_version"

_database: Database | None = None


def init_db(url: str | None = None) -> None:
    """Make the engine and the session factory; no file or connection is opened.

    Args:
        url: the database; without it `MOAI_DATABASE_URL`, else `DATABASE_URL`.

    Raises:
        ConfigurationError: the URL cannot be used.
    """
    global _database, engine, async_session_factory  # noqa: PLW0603  -- names that small programs import
    _database = Database(url, policy=_POLICY) if url else _find_database()
    engine = _database.engine
    async_session_factory = async_sessionmaker(engine, expire_on_commit=False)


def _find_database() -> Database:
    try:
        return Database(os.environ.get(VARIABLE) or DATABASE_URL, policy=_POLICY)
    except ConfigurationError as error:  # nobody typed that URL: say where it stands
        raise ConfigurationError(f"{VARIABLE}: {error}") from None


def get_database() -> Database:
    """Give the database that `init_db()` has set up.

    Raises:
        NotInitializedError: it was not called.
    """
    if _database is None:
        raise _not_initialized()
    return _database


async def create_tables() -> None:
    """Make the tables, as the models have them, at the newest revision of the migrations.

    Tables of an older revision are migrated. Any number of processes may call it at once.

    Raises:
        NotInitializedError: `init_db()` was not called.
        MigrationError: the tables are of a newer version, or a migration failed; nothing changed.
    """
    database = get_database()
    if await _has_revision(database):
        await migrate.upgrade(database, ALEMBIC_INI)
        return
    alembic = await asyncio.to_thread(_import_alembic)  # it takes 0.4 s, and others go on
    async with database.engine.begin() as connection:
        await connection.run_sync(_make_tables, alembic)


@asynccontextmanager
async def get_session() -> AsyncIterator[AsyncSession]:
    """Give a session that commits at the end, rolls back on any exception, and is closed.

    Raises:
        NotInitializedError: `init_db()` was not called.
        TransactionAbortedError: a statement failed and the code inside went on; nothing of that
            transaction is stored.
    """
    if async_session_factory is None:
        raise _not_initialized()
    async with async_session_factory() as session:
        try:
            yield session
            await session.commit()
        except BaseException:
            await session.rollback()
            raise


async def close_db() -> None:
    """Close all connections; `init_db()` may follow. A closed database stays closed."""
    global _database, engine, async_session_factory
    database, _database, engine, async_session_factory = _database, None, None, None
    if database is not None:
        await database.close()


def _not_initialized() -> NotInitializedError:
    return NotInitializedError(
        "the database is not set up: call moai.core.database.init_db() first"
    )


async def _has_revision(database: Database) -> bool:
    try:
        async with database.read() as session:
            return bool((await session.scalars(text(_REVISIONS))).all())
    except DBAPIError:  # there is no such table; what else is wrong is met again
        return False


def _import_alembic() -> tuple[ModuleType, ModuleType]:
    return import_module("alembic.command"), import_module("alembic.config")


def _make_tables(connection: Connection, alembic: tuple[ModuleType, ModuleType]) -> None:
    command, config = alembic
    if connection.dialect.name == "postgresql":
        connection.execute(text(_ONE_AT_A_TIME))
    stamped = inspect(connection).has_table("alembic_version")
    if stamped and connection.scalars(text(_REVISIONS)).all():
        return  # somebody else has made them meanwhile
    # Tables of these names that are somebody else's are not taken for ours.
    Base.metadata.create_all(connection, checkfirst=False)
    command.stamp(config.Config(ALEMBIC_INI, attributes={"connection": connection}), "head")
