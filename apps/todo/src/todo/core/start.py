"""Migrations, and the database of a command: one that a file is made for on its first use."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from holdfast import migrate
from holdfast.database import Database
from holdfast.migrate import Migrated
from todo.core.config import get_settings, own_url
from todo.core.database import make_database

ALEMBIC_INI = Path(__file__).parents[3] / "alembic.ini"


async def migrate_database() -> Migrated:
    """Bring the database to the newest revision, as the role that owns the tables.

    Raises:
        ConfigurationError: a setting is wrong; the message names it.
        UnavailableError: the database cannot be reached.
        MigrationError: a migration failed, and everything that it did was rolled back.
    """
    async with _make(get_settings().owner_url) as owner:
        return await migrate.upgrade(owner, ALEMBIC_INI)


@asynccontextmanager
async def opened() -> AsyncIterator[Database]:
    """Open the database that the settings name, for a command.

    A SQLite file is made and migrated where it has to be, by the first of any number of commands.
    PostgreSQL is others' too, and is left as it is: `todo migrate` makes its tables.

    Raises:
        ConfigurationError, UnavailableError, MigrationError: as for `migrate_database`.
    """
    async with _make(get_settings().database_url.get_secret_value()) as db:
        if db.url.backend == "sqlite":
            await migrate.upgrade(db, ALEMBIC_INI)
        yield db


def _make(url: str) -> Database:
    # A command asks one thing after the other.
    db = make_database(url, connections=1)
    if url == own_url():
        Path(db.url.place).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return db
