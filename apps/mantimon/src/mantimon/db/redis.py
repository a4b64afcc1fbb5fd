"""JSON values in Redis, over one bounded pool of connections that the application shares."""

import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import TypeAlias

from redis.asyncio import Redis

from holdfast import redis, settings
from mantimon.config import get_settings

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"

LONGEST_EXPIRE = 10**10  # seconds, 300 years; Redis refuses times that are much later


@asynccontextmanager
async def get_redis() -> AsyncIterator[Redis]:
    """Give the shared client: redis-py's own, with short limits and no hidden retries.

    Its limits come from `MANTIMON_REDIS_…` (see `holdfast.redis.RedisPolicy`). A connection is
    taken from the pool for each command, not for the block.

    Raises:
        ConfigurationError: a setting is wrong; the message names it.
    """
    yield get_client()


@lru_cache(maxsize=1)
def get_client() -> Redis:
    """Give the shared client; the first call reads the settings, none does I/O.

    Raises:
        ConfigurationError: a setting is wrong; the message names it.
    """
    return make_client(get_settings().redis_url.get_secret_value())


def make_client(url: str) -> Redis:
    """Make a client with the application's limits, `MANTIMON_REDIS_…`; no I/O is done here.

    Raises:
        ConfigurationError: the URL or a limit is wrong.
    """
    return redis.client(url, policy=settings.load(redis.RedisPolicy, prefix="MANTIMON_REDIS_"))


async def get_json(key: str) -> Json:
    """Read a value; None when there is none (or when it is `null`).

    Raises:
        ValueError: what is stored there is not JSON.
    """
    async with get_redis() as client:
        stored = await client.get(key)
    if stored is None:
        return None
    try:
        value: Json = json.loads(stored)
    except ValueError:
        raise ValueError(f"Redis key {key!r}: what is stored there is not JSON") from None
    return value


async def set_json(key: str, value: Json, expire: float | None = None) -> None:
    """Store a value, which `get_json` gives back equal.

    Args:
        key: replaced when it exists, with its expiry.
        value: plain JSON: objects have text keys, and numbers are finite.
        expire: seconds until it goes, to the millisecond; None keeps it.

    Raises:
        TypeError: something in the value is not JSON; the message says where.
        ValueError: a number is not finite, the value contains itself, or `expire` is not
            above zero and at most 10 billion seconds. Nothing is stored.
    """
    milliseconds = None if expire is None else _milliseconds(expire)
    _require_json(value, key)
    encoded = json.dumps(value, separators=(",", ":"))
    async with get_redis() as client:
        await client.set(key, encoded, px=milliseconds)


async def delete(key: str) -> bool:
    """Remove a value of any kind; tell whether there was one."""
    async with get_redis() as client:
        return bool(await client.delete(key))


async def close_redis() -> None:
    """Close the connections and forget the shared client; the next use makes a new one."""
    if get_client.cache_info().currsize:
        client = get_client()
        get_client.cache_clear()
        await client.aclose()


def _milliseconds(seconds: float) -> int:
    if not 0 < seconds <= LONGEST_EXPIRE:
        raise ValueError(
            f"expire is {seconds!r}; it is a number of seconds above zero, "
            f"at most {LONGEST_EXPIRE:,}"
        )
    return math.ceil(seconds * 1000)


def _require_json(value: object, where: str) -> None:
    # json.dumps would turn a key 1 into "1", and NaN into what no other reader takes.
    try:
        _check(value, where)
    except RecursionError:
        raise ValueError(f"{where}: it contains itself, or is nested too deep") from None


def _check(value: object, where: str) -> None:
    if isinstance(value, dict):
        for name, each in value.items():
            if not isinstance(name, str):
                raise TypeError(f"{where}: the key {name!r} is no text, as JSON needs it")
            _check(each, f"{where}.{name}")
    elif isinstance(value, list):
        for index, each in enumerate(value):
            _check(each, f"{where}[{index}]")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where}: {value!r} is no number in JSON")
    elif value is not None and not isinstance(value, (str, int, float)):
        raise TypeError(f"{where}: {type(value).__name__} is not JSON")
