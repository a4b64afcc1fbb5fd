"""Databases with a pool of each kind, and a witness on the server."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from holdfast.database import Database, DatabasePolicy
from holdfast.events import Event, Events
from holdfast.pool import PoolPolicy
from holdfast.urls import parse

DRIVERS = ("asyncpg", "psycopg")


@asynccontextmanager
async def opened(url: str, *handlers: Callable[[Event], None], **pool: Any) -> AsyncIterator[Any]:
    """Open a database with such a pool; afterwards no connection may be in use."""
    pooled = replace(PoolPolicy(ping_after=60), **pool)
    policy = DatabasePolicy(pool=pooled)
    async with Database(url, policy=policy, events=Events(*(handlers or (lambda _: None,)))) as db:
        yield db
        await until(lambda: db.engine.pool.checkedout() == 0)


async def until(fact: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for what goes on in the background."""
    async with asyncio.timeout(seconds):
        while not fact():  # noqa: ASYNC110  -- nobody tells
            await asyncio.sleep(0.002)


class Witness:
    """Asks the server, on a connection of its own, what others do there."""

    OTHERS = (
        "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND backend_type = 'client backend'"
    )

    def __init__(self, url: str) -> None:
        self._engine = create_async_engine(
            parse(url).engine, poolclass=NullPool, isolation_level="AUTOCOMMIT"
        )

    async def ask(self, sql: str) -> list[Any]:
        """Give the first column of what the server says."""
        async with self._engine.connect() as connection:
            result = await connection.execute(text(sql))
            return list(result.scalars()) if result.returns_rows else []

    async def pids(self, where: str = "true") -> set[int]:
        """Give the server's processes for other clients."""
        return set(await self.ask(f"SELECT pid {self.OTHERS} AND {where}"))

    async def terminate(self, where: str = "true") -> None:
        """End other clients' connections, and wait until they are gone."""
        await self.ask(f"SELECT pg_terminate_backend(pid, 5000) {self.OTHERS} AND {where}")

    async def until(self, sql: str, answer: list[Any], seconds: float = 10) -> None:
        """Ask until this is the answer."""
        async with asyncio.timeout(seconds):
            while await self.ask(sql) != answer:  # noqa: ASYNC110  -- nobody tells
                await asyncio.sleep(0.02)

    async def until_count(self, number: int, where: str = "true", seconds: float = 10) -> None:
        """Ask until there are so many connections of others."""
        await self.until(f"SELECT count(*) {self.OTHERS} AND {where}", [number], seconds)

    async def gone(self) -> None:
        """Ask until the server has forgotten the witness's own earlier connections, too."""
        async with asyncio.timeout(10):
            while True:
                try:
                    await self.until_count(0)
                except DBAPIError:  # no room yet
                    continue
                return
