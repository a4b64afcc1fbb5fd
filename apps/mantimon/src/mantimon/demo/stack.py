"""The servers that the demo runs on: those that the environment names, else its own."""

import os
from contextlib import AsyncExitStack
from dataclasses import dataclass

from sqlalchemy import text

from holdfast import redis
from holdfast.database import Database
from holdfast.services import PostgresPolicy, PostgresServer, RedisServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Urls:
    """Where the servers are; `given` when the database is somebody's own."""

    owner: str
    app: str
    redis: str
    given: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One server for the report; `seconds` until it answered."""

    name: str
    source: str
    seconds: float


async def open_stack(stack: AsyncExitStack) -> tuple[Urls, list[Service]]:
    """Start what `DATABASE_URL` and `REDIS_URL` do not name; the stack stops it again.

    Raises:
        UnavailableError: a server that the environment names does not answer.
        ServiceError: a server of our own did not start.
    """
    given = os.environ.get("DATABASE_URL")
    if given:
        owner, app = os.environ.get("DATABASE_OWNER_URL") or given, given
        postgres = await _given_postgres(app)
    else:
        server = PostgresServer(policy=PostgresPolicy(database="mantimon"))
        await stack.enter_async_context(server)
        owner, app = server.url("owner"), server.url("app")
        postgres = _started(server)
    redis_url = os.environ.get("REDIS_URL")
    if redis_url:
        hot = await _given_redis(redis_url)
    else:
        redis_server = await stack.enter_async_context(RedisServer())
        redis_url, hot = redis_server.url(), _started(redis_server)
    return Urls(owner=owner, app=app, redis=redis_url, given=bool(given)), [postgres, hot]


def _started(server: PostgresServer | RedisServer) -> Service:
    return Service(
        name=f"{server.product} {server.version}",
        source=f"started, from {server.source}",
        seconds=server.seconds,
    )


async def _given_postgres(url: str) -> Service:
    async with Database(url) as db:
        seconds = await db.ping()
        async with db.read() as session:
            version = await session.scalar(text("SHOW server_version"))
    return Service(name=f"PostgreSQL {version}", source="from DATABASE_URL", seconds=seconds)


async def _given_redis(url: str) -> Service:
    async with redis.client(url) as client:
        seconds = await redis.ping(client)
        version = (await client.info("server"))["redis_version"]
    return Service(name=f"Redis {version}", source="from REDIS_URL", seconds=seconds)
