"""Find the database that a command means when it was not told."""

import os

from holdfast.errors import ConfigurationError
from holdfast.services import PostgresPolicy, PostgresServer
from holdfast.settings import Project

# Migrations need the role that owns the tables; the application's own URL is the last resort.
# The direct one goes past a pooler, which migrations cannot use as they should.
VARIABLES = ("DIRECT_DATABASE_URL", "DATABASE_OWNER_URL", "DATABASE_URL")


async def find_url(given: str | None, project: Project) -> str:
    """Give the first URL there is for the role that owns the tables.

    In this order: the one given, `DIRECT_DATABASE_URL`, `DATABASE_OWNER_URL`, `DATABASE_URL`, the
    running PostgreSQL of the project.

    Raises:
        ConfigurationError: there is none.
    """
    for url in (given, *map(os.environ.get, VARIABLES)):
        if url:
            return url
    server = PostgresServer(project.data_path, policy=PostgresPolicy(database=project.name))
    if await server.attach():
        return server.url("owner")
    raise ConfigurationError(
        f"no database: set {' or '.join(VARIABLES[1:])}, or start servers with `holdfast up`"
    )
