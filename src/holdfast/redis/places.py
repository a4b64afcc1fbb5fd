"""Say where a client connects to."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias, Union

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster

    Client: TypeAlias = Union[Redis, RedisCluster]  # noqa: UP007  -- names in quotes


def place(redis: "Client") -> str:
    """Say where a client connects to, for messages: `localhost:6379/0`, a socket, or several hosts.

    It reads as the URL does, without the password: `a:26379,b:26379/SERVICE/0` for a master
    behind Sentinels, `a:6379,b:6379` for a cluster.
    """
    # Whoever has a client has redis-py loaded.
    from redis.asyncio import RedisCluster  # noqa: PLC0415
    from redis.asyncio.sentinel import SentinelConnectionPool  # noqa: PLC0415

    if isinstance(redis, RedisCluster):
        return ",".join(each.name for each in redis.startup_nodes)
    pool = redis.connection_pool
    to = pool.connection_kwargs
    if isinstance(pool, SentinelConnectionPool):
        return f"{_hosts(pool.sentinel_manager.sentinels)}/{pool.service_name}/{to.get('db') or 0}"
    where = to.get("path") or f"{to.get('host', 'localhost')}:{to.get('port', 6379)}"
    return f"{where}/{to.get('db') or 0}"


def place_of(sentinel: "Redis") -> str:
    """Say where a Sentinel is."""
    to: dict[str, Any] = sentinel.connection_pool.connection_kwargs
    return f"{to['host']}:{to['port']}"


def _hosts(sentinels: Iterable["Redis"]) -> str:
    return ",".join(map(place_of, sentinels))
