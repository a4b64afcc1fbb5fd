"""A connection that was ended while it was idle is replaced, and those beside it stay."""

import asyncio

import psycopg
import pytest
from sqlalchemy import text
from tests.database.conftest import with_driver

from holdfast.database import Database, DatabasePolicy
from holdfast.pool import PoolPolicy
from holdfast.retry import RetryPolicy
from holdfast.urls import parse

ENDED = "SELECT pg_terminate_backend({pid}, 5000)"
PID = text("SELECT pg_backend_pid()")


def end(database_url: str, pid: int) -> None:
    """End a back end while the loop stands still, so that no driver can have seen it."""
    engine = parse(database_url).engine
    where = {"host": engine.query.get("host") or engine.host, "port": engine.port}
    told = {key: value for key, value in where.items() if value}
    with psycopg.connect(dbname=engine.database, user=engine.username, **told) as connection:
        connection.execute(ENDED.format(pid=pid))


async def pid_of(db: Database) -> int:
    async with db.begin() as session:
        return int(await session.scalar(PID) or 0)


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_one_that_was_ended_a_moment_ago(database_url, driver):
    """Nobody sees an error, though the driver has not read of it yet."""
    policy = DatabasePolicy(pool=PoolPolicy(ping_after=3600))
    async with Database(with_driver(database_url, driver), policy=policy) as db:
        for _ in range(5):
            before = await pid_of(db)
            end(database_url, before)

            assert await pid_of(db) != before


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_the_others_stay(database_url, driver):
    """One lost connection does not cost the service all of them."""
    retry = RetryPolicy(reconnect_delay=0)
    policy = DatabasePolicy(pool=PoolPolicy(max_size=4, ping_after=3600), retry=retry)
    async with Database(with_driver(database_url, driver), policy=policy) as db:
        ready = asyncio.Barrier(4)

        async def together() -> int:
            async with db.begin() as session:
                pid = int(await session.scalar(PID) or 0)
                await ready.wait()
                return pid

        before = set(await asyncio.gather(*(together() for _ in range(4))))
        ended: list[int] = []

        async def lose(session) -> None:
            ended.append(await session.scalar(PID))
            if len(ended) == 1:
                end(database_url, ended[0])
                await session.execute(PID)

        await db.run(lose)
        after = set(await asyncio.gather(*(together() for _ in range(4))))

        assert len(before & after) == 3
        assert ended[0] not in after
