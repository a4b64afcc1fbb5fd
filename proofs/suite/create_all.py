"""A side: every test makes the tables and drops them, with an engine of its own."""

import os
from collections.abc import AsyncIterator

import pytest
from proofs.suite.shop import Base, Sessions
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine


@pytest.fixture
async def engine() -> AsyncIterator[AsyncEngine]:
    """Give the engine, with tables that nobody has used."""
    engine = create_async_engine(os.environ["TEST_DATABASE_URL"])
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield engine
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
    await engine.dispose()


@pytest.fixture
def sessions(engine: AsyncEngine) -> Sessions:
    """Give what makes the application's sessions."""
    return async_sessionmaker(engine, expire_on_commit=False)
