"""A database for each driver, and a witness on its server."""

import pytest
from tests.pool.serving import DRIVERS, Witness


@pytest.fixture(params=DRIVERS)
def postgres_url(request, database_url: str) -> str:
    """Give an empty PostgreSQL database, once for each driver."""
    return database_url.replace("postgresql://", f"postgresql+{request.param}://", 1)


@pytest.fixture
def witness(database_url: str) -> Witness:
    """Give somebody who asks the server of `database_url`."""
    return Witness(database_url)
