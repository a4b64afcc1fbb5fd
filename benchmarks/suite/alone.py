"""The limit: the tables are made once, nothing is taken back, and all tests share one loop."""

import os
from collections.abc import AsyncIterator

import pytest
from proofs.suite.shop import Base, Sessions

from holdfast.database import Database


@pytest.fixture(scope="session")
async def opened() -> AsyncIterator[Database]:
    """Make the tables, and give the database as the application opens it."""
    async with Database(os.environ["TEST_DATABASE_URL"]) as db:
        async with db.engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        yield db
        async with db.engine.begin() as connection:
            await connection.run_sync(Base.metadata.drop_all)


@pytest.fixture
def sessions(opened: Database) -> Sessions:
    """Give what makes the application's sessions."""
    return opened.session
