"""A Redis client with short limits, a bounded pool and no hidden retries.

    client = redis.client("redis://localhost:6379/0")     # no I/O here
    await redis.ping(client)                              # fails within a second or two
    await client.set("greeting", "hello", ex=60)
    await client.aclose()

The client is redis-py's own. Needs `holdfast[redis]`.
"""

import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from holdfast.errors import ConfigurationError, MissingExtraError, UnavailableError
from holdfast.events import Check

if TYPE_CHECKING:
    from redis.asyncio import Redis

OLDEST = (6, 2)  # what Holdfast supports
SCHEMES = ("redis://", "rediss://", "unix://")
# What a URL may say besides the address. Limits are the policy's, and a key that redis-py does
# not know would come back as a TypeError from the first command.
QUERY_KEYS = frozenset(
    {
        "client_name",
        "db",
        "protocol",
        "ssl_ca_certs",
        "ssl_cert_reqs",
        "ssl_certfile",
        "ssl_check_hostname",
        "ssl_keyfile",
    }
)


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
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not 0 < value < float("inf"):
                raise ConfigurationError(f"{name} is {value!r}; it is a number above 0")
        if not isinstance(self.max_connections, int):
            raise ConfigurationError(
                f"max_connections is {self.max_connections!r}; it is a whole number"
            )


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
    _refuse_unusable(url)
    try:
        from redis.asyncio import BlockingConnectionPool, Redis  # noqa: PLC0415  -- 160 ms
        from redis.asyncio.retry import Retry  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415
        from redis.maint_notifications import MaintNotificationsConfig  # noqa: PLC0415
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
            # With them redis-py does not look whether a connection was closed meanwhile, and
            # waits longer for answers than it was told to.
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
    except (ValueError, TypeError):
        # redis-py's error is not chained: it may hold a piece of the password.
        raise ConfigurationError(_UNREADABLE) from None
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
        raise UnavailableError(f"Redis at {place(redis)}: {_cause(error)}") from error
    return time.perf_counter() - begun


async def check(redis: "Redis") -> Sequence[Check]:
    """Tell whether the server answers, which it is, and what it does when its memory is full.

    Two round trips. A server that cannot be reached is a failed check, not an exception.
    """
    from redis.exceptions import RedisError  # noqa: PLC0415

    try:
        seconds = await ping(redis)
    except UnavailableError as error:
        advice = "start the server or mend REDIS_URL; the rest can be looked at only then"
        return [Check(name="reached", said=str(error), state="failed", advice=advice)]
    reached = Check(name="reached", said=f"{place(redis)} in {seconds * 1000:.0f} ms")
    try:
        told: Mapping[str, Any] = await redis.info("server", "memory")
    except (RedisError, OSError) as error:
        said = " ".join(str(error).split())
        advice = "let this user run INFO, or leave it at that"
        return [reached, Check(name="server", said=said, state="warning", advice=advice)]
    return [reached, _check_version(told), _check_memory(told)]


def place(redis: "Redis") -> str:
    """Say where a client connects to, for messages: `localhost:6379/0` or a socket."""
    to = redis.connection_pool.connection_kwargs
    where = to.get("path") or f"{to.get('host', 'localhost')}:{to.get('port', 6379)}"
    return f"{where}/{to.get('db') or 0}"


# redis-py's own errors have the system's as their context.
_BY_KIND = (
    (ConnectionRefusedError, "the connection was refused; nothing listens there: is it started?"),
    (FileNotFoundError, "there is no socket there: is the server started?"),
    (socket.gaierror, "the host name is unknown: is it spelled right, does DNS answer?"),
    (ssl.SSLError, "TLS failed: {said}; write redis:// where the server has none"),
)
_BY_NAME = {
    "AuthenticationError": "it refused the user or the password of the URL: {said}",
    "InvalidResponse": "what answers there does not speak Redis: is the port right?",
    "TimeoutError": "no answer in time: a firewall, a wrong address, a server that is busy, or "
    "rediss:// where it speaks no TLS",
}
_WITHOUT_PASSWORD = ("Authentication required", "HELLO must be called with the client already")
_NO_PASSWORD = "it wants a password, and the URL has none: redis://:PASSWORD@HOST:6379/0"  # noqa: S105
_CLOSED = "Connection closed by server"
_HUNG_UP = (
    "the connection was closed before an answer: it is stopping, has too many clients, wants TLS "
    "(rediss://), or is no Redis"
)


def _cause(error: Exception) -> str:
    """Say why there was no answer, and what to do; the server's own words where they say it."""
    said = " ".join(str(error).split()) or type(error).__name__
    for each in (error, error.__cause__, error.__context__):
        for kind, text in _BY_KIND:
            if isinstance(each, kind):
                return text.format(said=said)
    if said.startswith(_WITHOUT_PASSWORD):
        return _NO_PASSWORD
    if said.startswith(_CLOSED):
        return _HUNG_UP
    return _BY_NAME.get(type(error).__name__, "{said}").format(said=said)


def _check_version(told: Mapping[str, Any]) -> Check:
    name = "Valkey" if told.get("server_name") == "valkey" else "Redis"
    version = str(told.get("valkey_version") or told.get("redis_version") or "")
    said = f"{name} {version}"
    numbers = tuple(int(each) for each in version.split(".")[:2] if each.isdigit())
    if not numbers or numbers >= OLDEST:
        return Check(name="server", said=said)
    advice = f"upgrade to Redis {OLDEST[0]}.{OLDEST[1]} or newer, or to Valkey"
    return Check(name="server", said=f"{said} is too old", state="failed", advice=advice)


def _check_memory(told: Mapping[str, Any]) -> Check:
    policy = str(told.get("maxmemory_policy", "not told"))
    most = told.get("maxmemory_human", "not told") if told.get("maxmemory") else "none"
    limit = f"maxmemory {most}, {policy}"
    if not policy.startswith("allkeys"):
        return Check(name="memory", said=limit)
    return Check(
        name="memory",
        said=f"{limit}: when it is full, any key may be dropped",
        state="warning",
        advice="fine for a cache; for state that lives there: CONFIG SET maxmemory-policy "
        "noeviction (or volatile-lru)",
    )


_UNREADABLE = "Redis URL: it cannot be read; it looks like redis://HOST:6379/0"


def _refuse_unusable(url: str) -> None:
    # None is what an unset environment variable gives.
    if not url or not url.startswith(SCHEMES):
        raise ConfigurationError(f"Redis URL: it begins with one of {', '.join(SCHEMES)}")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ConfigurationError(_UNREADABLE) from None
    if "@" in parts.path + parts.query + parts.fragment or parts.netloc.count("@") > 1:
        # A password with / ? # or @ in it would be cut there, and its rest shown as a place.
        raise ConfigurationError(
            "Redis URL: a password with /, ?, # or @ is written with %2F, %3F, %23 or %40"
        )
    unknown = sorted({key for key, _ in parse_qsl(parts.query)} - QUERY_KEYS)
    if unknown:
        raise ConfigurationError(
            f"Redis URL: {', '.join(unknown)} in the query cannot be given there; limits are "
            f"RedisPolicy's, and known are {', '.join(sorted(QUERY_KEYS))}"
        )
    database = parts.path.strip("/")
    if parts.scheme != "unix" and database and not database.isdecimal():
        # redis-py would take database 0 without a word.
        raise ConfigurationError("Redis URL: after the host stands the number of a database")
