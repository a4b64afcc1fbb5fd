"""A Redis client with short limits, a bounded pool and no hidden retries.

    client = redis.client("redis://localhost:6379/0")     # no I/O here
    await redis.ping(client)                              # fails within a second or two
    await client.set("greeting", "hello", ex=60)
    await client.aclose()

The client is redis-py's own. Needs `holdfast[redis]`.
"""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast.errors import ConfigurationError, MissingExtraError, UnavailableError

if TYPE_CHECKING:
    from redis.asyncio import Redis

SCHEMES = ("redis://", "rediss://", "unix://")


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisPolicy:
    """Limits in seconds, and of the pool.

    Attributes:
        connect_timeout: until a new connection is there.
        timeout: for one answer. A call that passes it may still take effect on the server.
        max_connections: connections at most.
        pool_timeout: how long a caller waits for a free connection.
    """

    connect_timeout: float = 1.0
    timeout: float = 0.5
    max_connections: int = 50
    pool_timeout: float = 1.0

    def __post_init__(self) -> None:
        for name in ("connect_timeout", "timeout", "max_connections", "pool_timeout"):
            value = getattr(self, name)
            if not 0 < value < float("inf"):
                raise ConfigurationError(f"{name} is {value!r}; it is a number above 0")


def client(url: str, *, policy: RedisPolicy | None = None) -> "Redis":
    """Build a client on a pool of its own; nothing is opened yet, and `aclose()` ends it.

    redis-py would send a command up to eleven times when answers are lost, INCR as well: here
    a command is sent once, and a lost answer is an error that the caller sees.

    Args:
        url: `redis://…`, `rediss://…` (TLS) or `unix://…`.
        policy: the limits.

    Raises:
        ConfigurationError: the URL cannot be used; its password is not repeated.
        MissingExtraError: redis-py is not installed.
    """
    limits = policy or RedisPolicy()
    if not url.startswith(SCHEMES):
        raise ConfigurationError(f"Redis URL: it begins with one of {', '.join(SCHEMES)}")
    try:
        from redis.asyncio import BlockingConnectionPool, Redis  # noqa: PLC0415  -- 160 ms
        from redis.asyncio.retry import Retry  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("Redis needs redis-py: pip install 'holdfast[redis]'") from error
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=limits.max_connections,
            timeout=limits.pool_timeout,
            socket_connect_timeout=limits.connect_timeout,
            socket_timeout=limits.timeout,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
        )
    except (ValueError, TypeError) as error:
        raise ConfigurationError(
            "Redis URL: it cannot be read; it looks like redis://:password@host:6379/0"
        ) from error
    return Redis.from_pool(pool)


async def ping(redis: "Redis") -> float:
    """Send PING and return the seconds that the answer took.

    Raises:
        UnavailableError: it names the place and the cause, never the password.
    """
    from redis.exceptions import RedisError  # noqa: PLC0415  -- whoever has a client has it loaded

    begun = time.perf_counter()
    try:
        await redis.ping()
    except (RedisError, OSError) as error:
        cause = " ".join(str(error).split()) or type(error).__name__
        raise UnavailableError(f"Redis at {place(redis)}: {cause}") from error
    return time.perf_counter() - begun


def place(redis: "Redis") -> str:
    """Say where a client connects to, for messages: `localhost:6379/0` or a socket."""
    to = redis.connection_pool.connection_kwargs
    where = to.get("path") or f"{to.get('host', 'localhost')}:{to.get('port', 6379)}"
    return f"{where}/{to.get('db') or 0}"
