"""Open the database that is to be migrated, unless it is that of another project.

A shell keeps the URLs of the project that it was used for last. A server that `holdfast up` runs
says itself whose it is, over TCP and through a socket.
"""

import hashlib
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from holdfast.errors import ConfigurationError
from holdfast.settings import Project

if TYPE_CHECKING:
    from holdfast.database import Database

# Those that migrations go by, in that order.
VARIABLES = ("DIRECT_DATABASE_URL", "DATABASE_OWNER_URL", "DATABASE_URL")
_MARK = re.compile(r"holdfast ([0-9a-f]{12}) (.*)")
_LONGEST = 63  # characters that PostgreSQL keeps of a cluster_name


def mark(project: Project) -> str:
    """Give the `cluster_name` of the project's own server: whose data, and a name for people."""
    data = hashlib.sha256(os.fsencode(project.data_path)).hexdigest()[:12]
    name = project.name.encode("ascii", "replace").decode()
    return f"holdfast {data} {name}"[:_LONGEST]


def variable() -> str | None:
    """Name the variable that says which database is migrated, None where no variable does."""
    return next((name for name in VARIABLES if os.environ.get(name)), None)


@asynccontextmanager
async def opened(project: Project, url: str | None) -> AsyncIterator["Database"]:
    """Open the database that is to be migrated.

    Args:
        project: whose migrations.
        url: the database that is meant; None for the one that `migrate.find_url` finds.

    Raises:
        ConfigurationError: a variable leads to a server of another project, or there is no
            database, or no alembic.ini.
    """
    from holdfast import migrate
    from holdfast.database import Database

    # Before the database: opening SQLite's would make the file.
    migrate.require_config(project.alembic_path)
    async with Database(await migrate.find_url(url, project)) as db:
        if url is None and (name := variable()):
            await _refuse_another(db, project, name)
        yield db


async def _refuse_another(db: "Database", project: Project, name: str) -> None:
    from sqlalchemy import text

    if db.url.backend != "postgresql":
        return
    async with db.read() as session:
        told = await session.scalar(text("SELECT current_setting('cluster_name')"))
    found, own = _MARK.fullmatch(str(told)), _MARK.fullmatch(mark(project))
    if found is None or own is None or found[1] == own[1]:
        return
    raise ConfigurationError(
        f"{name} leads to the server that `holdfast up` runs for another project, {found[2]!r} "
        f"({db.url}), and nothing was done there; for this project's own: "
        f"unset {' '.join(filter(os.environ.get, VARIABLES))}; if that one is meant: "
        f'holdfast migrate --url "${name}"'
    )
