"""An empty logical database of Redis for each test."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

from redis.asyncio import Redis
from redis.exceptions import RedisError

from holdfast import redis
from holdfast.errors import ConfigurationError
from holdfast.testing.moving import make_redis_movable

if TYPE_CHECKING:
    from holdfast.testing.moving import AnyLoop

_FOR_EVER = -1  # Redis' answer to TTL for a key without one


class Keyspace:
    """The logical database of one process of a run, beside those of the others.

    Where the server has too few, all processes use the same one, and have to take turns: no
    prefix could be put in front of keys that the code under test names itself.

    Args:
        client: of that database.
        url: names it.
        shared: whether it is the other processes' too.
    """

    def __init__(self, client: Redis, url: str, *, shared: bool) -> None:
        self._client = client
        self.url = url
        self.shared = shared

    async def empty(self) -> None:
        """Remove all keys, in one command."""
        await self._client.flushdb()

    async def find_left(self, owned: Sequence[str]) -> list[str]:
        """Give the keys that neither expire nor match a pattern of those that are meant to stay."""
        keys = sorted([key async for key in self._client.scan_iter(count=1000)])
        async with self._client.pipeline(transaction=False) as asking:
            for key in keys:
                asking.ttl(key)
            lives = await asking.execute()
        return [
            name
            for name, life in zip(map(_text, keys), lives, strict=True)
            if life == _FOR_EVER and not any(fnmatchcase(name, pattern) for pattern in owned)
        ]

    async def reconnect(self) -> None:
        """Forget a connection that was lost."""
        await self._client.connection_pool.disconnect()

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()


async def open_keyspace(url: str, number: int, count: int, *, unsafe: bool) -> Keyspace:
    """Find the database of one of several processes, counted from the one that the URL names.

    Args:
        url: of the server.
        number: of this process, from 0.
        count: of all processes.
        unsafe: take it though it has keys, which will be gone.

    Raises:
        ConfigurationError: it has keys, or it is no URL of a Redis.
        UnavailableError: the server does not answer.
    """
    redis.client(url)  # refuses one that cannot be used
    enough = count == 1 or await _exists(with_number(url, number=count - 1))
    mine = with_number(url, number=number) if enough else url
    client, _ = movable_client(mine)
    try:
        await redis.ping(client)
        if not unsafe:
            await _require_empty(client, mine)
    except BaseException:
        await client.aclose()
        raise
    return Keyspace(client, mine, shared=not enough)


def movable_client(url: str) -> "tuple[Redis, AnyLoop]":
    """Build a client that can be used by one loop after the other."""
    client = redis.client(url)
    return client, make_redis_movable(client)


def with_number(url: str, *, number: int) -> str:
    """Give the URL of the database that comes so many after the one that a URL names."""
    parts = urlsplit(url)
    query = [pair for pair in parse_qsl(parts.query) if pair[0] != "db"]
    path = parts.path if parts.scheme == "unix" else ""
    query.append(("db", str(_number(url) + number)))
    # Not geturl(): it would write unix:/path.
    return f"{parts.scheme}://{parts.netloc}{path}?{urlencode(query)}"


def _number(url: str) -> int:
    parts = urlsplit(url)
    path = "" if parts.scheme == "unix" else parts.path.strip("/")
    named = dict(parse_qsl(parts.query)).get("db") or path or "0"
    if not named.isdecimal():
        raise ConfigurationError(f"Redis URL: its database is {named!r}; it is a number")
    return int(named)


async def _exists(url: str) -> bool:
    client, _ = movable_client(url)
    try:
        await client.ping()
    except RedisError:  # out of range, or a cluster's node, which has but one
        return False
    finally:
        await client.aclose()
    return True


async def _require_empty(client: Redis, url: str) -> None:
    if found := await client.dbsize():
        raise ConfigurationError(
            f"TEST_REDIS_URL: database {_number(url)} of {redis.place(client)} has {found} key(s), "
            "and tests begin by removing all; name an empty one, empty it (FLUSHDB), or add "
            "--holdfast-any-database"
        )


def _text(key: bytes | str) -> str:
    return key.decode(errors="replace") if isinstance(key, bytes) else key
