"""Find the database that a command means when it was not told."""

import os

from holdfast.errors import ConfigurationError
from holdfast.services import PostgresPolicy, PostgresServer
from holdfast.settings import Project
from holdfast.urls import parse

# Migrations need the role that owns the tables; the application's own URL is the last resort.
# The direct one goes past a pooler, which migrations cannot use as they should.
VARIABLES = ("DIRECT_DATABASE_URL", "DATABASE_OWNER_URL", "DATABASE_URL")


async def find_url(given: str | None, project: Project) -> str:
    """Give the first URL there is for the role that owns the tables.

    In this order: the one given, `DIRECT_DATABASE_URL`, `DATABASE_OWNER_URL`, `DATABASE_URL`, the
    running PostgreSQL of the project.

    Raises:
        ConfigurationError: there is none, or the variable holds what is no URL.
    """
    if given:
        return given
    for name in VARIABLES:
        if url := os.environ.get(name):
            return readable(url, name)
    server = PostgresServer(project.data_path, policy=PostgresPolicy(database=project.name))
    if await server.attach():
        return server.url("owner")
    raise ConfigurationError(
        f"no database: set {' or '.join(VARIABLES[1:])}, give --url (to alembic -x url=…), or "
        "start servers with `holdfast up`"
    )


def readable(url: str, name: str) -> str:
    """Give a URL that can be used.

    Raises:
        ConfigurationError: it cannot; with the name of what holds it.
    """
    try:
        parse(url)
    except ConfigurationError as error:
        raise ConfigurationError(f"{name}: {error}") from None
    return url
