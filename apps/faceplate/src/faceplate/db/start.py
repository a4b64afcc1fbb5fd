"""The start and the end of a process of Faceplate, and its migrations."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from faceplate.config import get_settings
from faceplate.db.session import close_database, get_database, make_database
from holdfast import migrate
from holdfast.database import Database
from holdfast.migrate import Migrated

ALEMBIC_INI = Path(__file__).parents[3] / "alembic.ini"


@asynccontextmanager
async def running() -> AsyncIterator[Database]:
    """Migrate where the settings say so, open the shared database, and close it at the end.

        async with running():   # for instance in the lifespan of a web application
            ...

    Any number of processes may start at once: one of them migrates, the others wait for it.

    Raises:
        ConfigurationError: a setting is wrong; the message names it.
        UnavailableError: the database cannot be reached; within 5 s, with place and cause.
        MigrationError: a migration failed, and everything that it did was rolled back.
    """
    if get_settings().migrate_on_start:
        await migrate_database()
    try:
        await get_database().open()
        yield get_database()
    finally:
        await close_database()


async def migrate_database() -> Migrated:
    """Bring the database to the newest revision, as the role that owns the tables.

    Raises:
        ConfigurationError, UnavailableError, MigrationError: as for `running`.
    """
    async with make_database(get_settings().owner_url, connections=1) as owner:
        return await migrate.upgrade(owner, ALEMBIC_INI)
