"""The stacks that proofs compare, each set up as its documentation says."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from advanced_alchemy.config import EngineConfig, SQLAlchemyAsyncConfig
from proofs.contract import Outcome
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from holdfast.database import Database, DatabasePolicy

DRIVERS = ("asyncpg", "psycopg")

R = TypeVar("R")
Unit = Callable[[], AbstractAsyncContextManager[AsyncSession]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """What a deed is done with.

    Attributes:
        begin: gives a session with one transaction, committed at the end of the block.
        engine: that it stands on.
        database: Holdfast's, on that side.
    """

    begin: Unit
    engine: AsyncEngine
    database: Database | None = None

    async def run(self, work: Callable[[AsyncSession], Awaitable[R]]) -> R:
        """Do a unit of work as the stack does it: Holdfast by `Database.run()`."""
        if self.database:
            return await self.database.run(work)
        async with self.begin() as session:
            return await work(session)


Open = Callable[..., AbstractAsyncContextManager[Stack]]


@asynccontextmanager
async def plain(url: str, **options: Any) -> AsyncIterator[Stack]:
    """SQLAlchemy alone; the options are `create_async_engine`'s."""
    engine = create_async_engine(url, **options)
    make_session = async_sessionmaker(engine, expire_on_commit=False)

    @asynccontextmanager
    async def begin() -> AsyncIterator[AsyncSession]:
        async with make_session() as session, session.begin():
            yield session

    try:
        yield Stack(begin=begin, engine=engine)
    finally:
        await engine.dispose()


@asynccontextmanager
async def advanced_alchemy(url: str, **options: Any) -> AsyncIterator[Stack]:
    """advanced-alchemy's configuration; the options are those of its `EngineConfig`."""
    config = SQLAlchemyAsyncConfig(
        connection_string=url, engine_config=EngineConfig(**options) if options else EngineConfig()
    )

    @asynccontextmanager
    async def begin() -> AsyncIterator[AsyncSession]:
        async with config.get_session() as session:
            yield session
            await session.commit()

    engine = config.get_engine()
    try:
        yield Stack(begin=begin, engine=engine)
    finally:
        await engine.dispose()


@asynccontextmanager
async def holdfast(url: str, policy: DatabasePolicy | None = None) -> AsyncIterator[Stack]:
    """Holdfast's `Database`."""
    async with Database(url, policy=policy) as db:
        yield Stack(begin=db.begin, engine=db.engine, database=db)


def together(outcomes: Mapping[str, Outcome]) -> Outcome:
    """Give the outcomes on several drivers as one, which is kept where each is."""
    return Outcome(
        said="; ".join(f"{driver}: {each.said}" for driver, each in outcomes.items()),
        true="; ".join(f"{driver}: {each.true}" for driver, each in outcomes.items()),
        kept=all(each.kept for each in outcomes.values()),
    )
