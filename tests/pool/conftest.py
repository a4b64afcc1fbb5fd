"""A database for each driver, and a witness on its server."""

from collections.abc import Iterator

import pytest
from tests.pool.serving import DRIVERS, Witness

from holdfast.testing.faults import Faults


@pytest.fixture(params=DRIVERS)
def postgres_url(request, database_url: str) -> str:
    """Give an empty PostgreSQL database, once for each driver."""
    return database_url.replace("postgresql://", f"postgresql+{request.param}://", 1)


@pytest.fixture
def faults(postgres_url: str) -> Iterator[Faults]:
    """Give what stands in front of `postgres_url`: it counts and holds what passes."""
    with Faults(postgres_url) as faults:
        yield faults


@pytest.fixture
def witness(database_url: str) -> Witness:
    """Give somebody who asks the server of `database_url`."""
    return Witness(database_url)
