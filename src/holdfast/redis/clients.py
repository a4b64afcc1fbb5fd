"""Make the clients."""

from typing import TYPE_CHECKING, Any

from holdfast.errors import MissingExtraError
from holdfast.redis.address import (
    Address,
    cluster_address,
    is_sentinel,
    refuse_unusable,
    sentinel_address,
    unreadable,
)
from holdfast.redis.policy import RedisPolicy

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster


def client(url: str, *, policy: RedisPolicy | None = None) -> "Redis":
    """Build a client on a pool of its own; nothing is opened yet, and `aclose()` ends it.

    redis-py would send a command up to eleven times when answers are lost, INCR as well: here
    a command is sent once, and a lost answer is an error that the caller sees.

    Args:
        url: `redis://…`, `rediss://…` (TLS) or `unix://…` for one server; for the master that
            Sentinels name, `redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/0` or
            `rediss+sentinel://…`.
        policy: the limits.

    Raises:
        ConfigurationError: the URL cannot be used; its password is not repeated.
        MissingExtraError: redis-py is not installed.
    """
    limits = policy or RedisPolicy()
    if is_sentinel(url):
        return _behind_sentinels(url, sentinel_address(url), limits)
    refuse_unusable(url)
    _need_redis_py()
    from redis.asyncio import BlockingConnectionPool, Redis  # noqa: PLC0415  -- 160 ms

    from holdfast.redis.packing import packing  # noqa: PLC0415  -- it loads redis-py

    try:
        pool = BlockingConnectionPool.from_url(url, **_bounded(limits), **_once(limits))
    except (ValueError, TypeError):
        raise unreadable(url) from None
    pool.connection_class = packing(pool.connection_class)
    return Redis.from_pool(pool)


def cluster(url: str, *, policy: RedisPolicy | None = None) -> "RedisCluster":
    """Build the client of a cluster; nothing is opened yet, and `aclose()` ends it.

    A command is sent once, and once more where a node says that it did not run it because the
    key has moved.

    Args:
        url: `redis+cluster://HOST:PORT,HOST:PORT`, or `rediss+cluster://…` (TLS): some of the
            nodes, from which the others are known.
        policy: the limits; connections are counted for each node, and nobody waits for one.

    Raises:
        ConfigurationError: the URL cannot be used; its password is not repeated.
        MissingExtraError: redis-py is not installed.
    """
    limits = policy or RedisPolicy()
    address = cluster_address(url)
    _need_redis_py()
    from redis.asyncio.cluster import ClusterNode  # noqa: PLC0415

    from holdfast.redis.sharded import Cluster  # noqa: PLC0415  -- it loads redis-py

    options = _options(url, address) | _once(limits)
    return Cluster(
        startup_nodes=[ClusterNode(host, port) for host, port in address.hosts],
        max_connections=limits.max_connections,
        ssl=address.tls,
        **options,
    )


def _behind_sentinels(url: str, address: Address, limits: RedisPolicy) -> "Redis":
    _need_redis_py()
    from redis.asyncio import Redis  # noqa: PLC0415

    from holdfast.redis.packing import packing  # noqa: PLC0415
    from holdfast.redis.sentinels import MasterPool, Watch  # noqa: PLC0415

    options = _options(url, address)
    reached = {key: value for key, value in options.items() if key.startswith("ssl_")}
    once = _once(limits) | ({"ssl": True} if address.tls else {})
    watch = Watch(  # type: ignore[no-untyped-call]  # redis-py's
        address.hosts,
        sentinel_kwargs={
            **reached, **address.sentinel, **once, "max_connections": limits.max_connections,
        },
    )  # fmt: skip
    options |= _bounded(limits) | once
    pool = MasterPool(address.service, watch, **options)  # type: ignore[no-untyped-call]  # redis-py's
    pool.connection_class = packing(pool.connection_class)
    return Redis.from_pool(pool)


def _options(url: str, address: Address) -> dict[str, Any]:
    """Have redis-py read what a URL says besides its hosts."""
    from redis.asyncio.connection import parse_url  # noqa: PLC0415

    try:
        told: dict[str, Any] = dict(parse_url(address.one))
    except (ValueError, TypeError):
        raise unreadable(url) from None
    return {k: v for k, v in told.items() if k not in {"host", "port", "connection_class"}}


def _bounded(limits: RedisPolicy) -> dict[str, Any]:
    return {"max_connections": limits.max_connections, "timeout": limits.pool_timeout}


def _once(limits: RedisPolicy) -> dict[str, Any]:
    """Say how long one try may take, and that there is no other."""
    from redis.asyncio.retry import Retry  # noqa: PLC0415
    from redis.backoff import NoBackoff  # noqa: PLC0415
    from redis.maint_notifications import MaintNotificationsConfig  # noqa: PLC0415

    return {
        "socket_connect_timeout": limits.connect_timeout,
        "socket_timeout": limits.timeout,
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": 0,
        # With them redis-py does not look whether a connection was closed since it was used last,
        # and waits longer for answers than it was told to.
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }


def _need_redis_py() -> None:
    try:
        import redis.asyncio  # noqa: F401, PLC0415
    except ImportError as error:
        raise MissingExtraError("Redis needs redis-py: pip install 'holdfast[redis]'") from error
