"""Find the database that a command means when it was not told."""

import os

from holdfast.errors import ConfigurationError

# Migrations need the role that owns the tables; the application's own URL is the last resort.
VARIABLES = ("DATABASE_OWNER_URL", "DATABASE_URL")


def find_url(given: str | None) -> str:
    """Give the first URL there is: the one given, `DATABASE_OWNER_URL`, `DATABASE_URL`.

    Raises:
        ConfigurationError: there is none.
    """
    for url in (given, *map(os.environ.get, VARIABLES)):
        if url:
            return url
    raise ConfigurationError(
        f"no database URL: set {' or '.join(VARIABLES)}, or start servers with `holdfast up`"
    )
