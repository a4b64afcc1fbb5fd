"""A side: sessions join an external transaction, which is rolled back; all tests share one loop.

The recipe of SQLAlchemy's documentation, "Joining a Session into an External Transaction (such as
for test suites)", for a factory of sessions. It says nothing of code that uses the engine.
"""

import os
from collections.abc import AsyncIterator

import pytest
from proofs.suite.shop import Base, Sessions
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine


@pytest.fixture(scope="session")
async def engine() -> AsyncIterator[AsyncEngine]:
    """Make the tables once, and give the engine."""
    engine = create_async_engine(os.environ["TEST_DATABASE_URL"])
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield engine
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
    await engine.dispose()


@pytest.fixture
async def sessions(engine: AsyncEngine) -> AsyncIterator[Sessions]:
    """Give what makes the application's sessions, and take back what they did."""
    async with engine.connect() as connection:
        transaction = await connection.begin()
        yield async_sessionmaker(
            connection, join_transaction_mode="create_savepoint", expire_on_commit=False
        )
        await transaction.rollback()
