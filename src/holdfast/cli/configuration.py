"""Find the URLs that an application here would be given, and say where each comes from."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast import redis
from holdfast.errors import ConfigurationError
from holdfast.services import PostgresPolicy, PostgresServer, RedisServer
from holdfast.settings import Project

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster

_RUNNING = "the project's running server"


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A URL, password and all, and where it comes from."""

    url: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What an application is given.

    Attributes:
        database: as the application connects.
        owner: the same database as the role that owns the tables.
        direct: the same database past a pooler.
        redis: where the state is.
    """

    database: Given
    owner: Given | None = None
    direct: Given | None = None
    redis: Given | None = None


async def find_configuration(project: Project, url: str | None) -> Configuration:
    """Give the URLs of the environment, or of the project's running servers.

    Args:
        project: whose servers may run.
        url: the database that is meant; then no variable says anything about another.

    Raises:
        ConfigurationError: there is no database.
    """
    redis = _variable("REDIS_URL") or await _running_redis(project)
    if url:
        return Configuration(database=Given(url=url, source="--url"), redis=redis)
    database, owner = _variable("DATABASE_URL"), _variable("DATABASE_OWNER_URL")
    running = {} if database or owner else await _running_postgres(project)
    database = database or owner or running.get("app")
    if database is None:
        raise ConfigurationError(
            "no database: set DATABASE_URL, give --url, or start servers with `holdfast up`"
        )
    return Configuration(
        database=database,
        owner=owner or running.get("owner"),
        direct=_variable("DIRECT_DATABASE_URL"),
        redis=redis,
    )


def client_of(url: str) -> "Redis | RedisCluster":
    """Make the client of whichever Redis a URL names: a server, behind Sentinels, or a cluster.

    Raises:
        ConfigurationError: the URL cannot be used; its password is not repeated.
    """
    is_cluster = "+cluster" in url.partition("://")[0]
    return redis.cluster(url) if is_cluster else redis.client(url)


def find_processes() -> int:
    """Give how many processes a server of web applications starts, as most of them are told.

    Raises:
        ConfigurationError: WEB_CONCURRENCY is no number.
    """
    told = os.environ.get("WEB_CONCURRENCY") or "1"
    if told.isascii() and told.isdigit() and 0 < len(told) < 7 and int(told):
        return int(told)
    raise ConfigurationError(f"WEB_CONCURRENCY is {told[:20]!r}; it is a number of processes")


def _variable(name: str) -> Given | None:
    url = os.environ.get(name)
    return Given(url=url, source=name) if url else None


async def _running_postgres(project: Project) -> Mapping[str, Given]:
    server = PostgresServer(project.data_path, policy=PostgresPolicy(database=project.name))
    if not await server.attach():
        return {}
    return {role: Given(url=server.url(role), source=_RUNNING) for role in ("app", "owner")}


async def _running_redis(project: Project) -> Given | None:
    server = RedisServer(project.data_path)
    return Given(url=server.url(), source=_RUNNING) if await server.attach() else None
