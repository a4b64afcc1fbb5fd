"""A side: the tables are made once and emptied after every test; all tests share one loop."""

import os
from collections.abc import AsyncIterator

import pytest
from proofs.suite.shop import Base, Sessions
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine

TABLES = ", ".join(Base.metadata.tables)


@pytest.fixture(scope="session")
async def tables() -> AsyncIterator[AsyncEngine]:
    """Make the tables once, and give the engine."""
    engine = create_async_engine(os.environ["TEST_DATABASE_URL"])
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield engine
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
    await engine.dispose()


@pytest.fixture
async def engine(tables: AsyncEngine) -> AsyncIterator[AsyncEngine]:
    """Give the engine, and empty the tables afterwards."""
    yield tables
    async with tables.begin() as connection:
        await connection.execute(text(f"TRUNCATE {TABLES} RESTART IDENTITY CASCADE"))


@pytest.fixture
def sessions(engine: AsyncEngine) -> Sessions:
    """Give what makes the application's sessions."""
    return async_sessionmaker(engine, expire_on_commit=False)
