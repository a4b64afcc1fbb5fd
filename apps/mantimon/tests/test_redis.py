"""JSON values in a real Redis, over one bounded pool."""

import asyncio
import math
import re

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from holdfast.errors import ConfigurationError
from mantimon.db.redis import close_redis, delete, get_json, get_redis, set_json

# Values that stay for good are what is tested.
pytestmark = pytest.mark.holdfast(leaks=False)

VALUES = [
    {"cards": [{"id": "m1-001", "count": 3}], "empty": {}, "none": None, "yes": True},
    ["Ünïcode ☃", "\x00", 'quotes " and \\', "\ud800"],
    2**60,
    -1.5e-7,
    "",
    [],
    False,
]


async def test_the_client_answers(on_redis):
    """`get_redis` gives redis-py's own client."""
    async with get_redis() as client:
        assert await client.ping() is True


async def test_the_client_is_shared(on_redis):
    """Everybody uses one pool."""
    async with get_redis() as one, get_redis() as other:
        assert one.connection_pool is other.connection_pool


async def test_the_pool_is_bounded(on_redis, clean_environment):
    """Any number of tasks use no more connections than allowed, and wait for each other."""
    clean_environment.setenv("MANTIMON_REDIS_MAX_CONNECTIONS", "3")
    clean_environment.setenv("MANTIMON_REDIS_POOL_TIMEOUT", "10")

    await asyncio.gather(*(set_json(f"key:{number}", number) for number in range(200)))

    async with get_redis() as client:
        number = (await client.client_info())["db"]
        mine = [each["id"] for each in await client.client_list() if int(each["db"]) == number]
        assert len(mine) <= 4  # the pool's, and one of the kit
        assert await client.dbsize() == 200


@pytest.mark.parametrize("value", VALUES, ids=repr)
async def test_a_value_comes_back_equal(on_redis, value):
    """What was stored is read back equal, and of the same type."""
    await set_json("key", value)
    found = await get_json("key")

    assert found == value
    assert type(found) is type(value)


async def test_there_is_no_value(on_redis):
    """A key that does not exist is None."""
    assert await get_json("missing") is None


async def test_a_value_is_replaced_with_its_expiry(on_redis):
    """The second value replaces the first; without `expire` it stays for good."""
    await set_json("key", 1, expire=60)
    await set_json("key", 2)

    async with get_redis() as client:
        assert (await get_json("key"), await client.ttl("key")) == (2, -1)


async def test_a_value_expires(on_redis):
    """`expire` is in seconds, to the millisecond."""
    await set_json("long", 1, expire=90)
    await set_json("short", 1, expire=1.5)

    async with get_redis() as client:
        assert 89_000 < await client.pttl("long") <= 90_000
        assert 1_000 < await client.pttl("short") <= 1_500


@pytest.mark.parametrize("expire", [0, -1, math.nan, math.inf, 1e17, 10**20])
async def test_a_wrong_expiry_is_refused(on_redis, expire):
    """A value is never stored with an expiry that makes no sense."""
    with pytest.raises(
        ValueError, match=f"expire is {re.escape(repr(expire))}; it is a number of seconds"
    ):
        await set_json("key", 1, expire=expire)

    assert await get_json("key") is None


@pytest.mark.parametrize(
    ("value", "error", "says"),
    [
        ({"a": [1, {2, 3}]}, TypeError, r"^key\.a\[1\]: set is not JSON$"),
        ({"a": {1: "x"}}, TypeError, r"^key\.a: the key 1 is no text"),
        ([(1, 2)], TypeError, r"^key\[0\]: tuple is not JSON$"),
        (b"bytes", TypeError, "^key: bytes is not JSON$"),
        ({"a": math.nan}, ValueError, r"^key\.a: nan is no number in JSON$"),
        ([-math.inf], ValueError, r"^key\[0\]: -inf is no number in JSON$"),
    ],
)
async def test_what_is_not_json_is_refused(on_redis, value, error, says):
    """A value that would not come back equal is refused, and the message says where it is."""
    with pytest.raises(error, match=says):
        await set_json("key", value)

    assert await get_json("key") is None


async def test_a_value_that_contains_itself_is_refused(on_redis):
    """An endless value is an error, not an endless loop."""
    value = []
    value.append(value)

    with pytest.raises(ValueError, match=r"^key: it contains itself"):
        await set_json("key", value)


async def test_something_else_under_the_key_is_an_error(on_redis):
    """What is no JSON is not taken for a missing value; its content is not shown."""
    async with get_redis() as client:
        await client.set("key", "{private")

    with pytest.raises(ValueError, match=r"^Redis key 'key': what is stored there is not JSON$"):
        await get_json("key")


async def test_delete(on_redis):
    """A value is removed once, and the answer says whether it was there."""
    await set_json("key", 1)

    assert await delete("key") is True
    assert await delete("key") is False
    assert await get_json("key") is None


async def test_a_closed_client_is_made_anew(on_redis):
    """After closing, the next use works."""
    await set_json("key", 1)
    await close_redis()
    await close_redis()

    assert await get_json("key") == 1


async def test_an_unreachable_redis_fails_soon(clean_environment):
    """Without a server the error comes within the limits, and has no password."""
    clean_environment.setenv("REDIS_URL", "redis://:private@127.0.0.1:1/0")

    async with asyncio.timeout(3):
        with pytest.raises(RedisConnectionError) as error:
            await get_json("key")

    assert "private" not in str(error.value)


async def test_a_wrong_limit_is_named(clean_environment):
    """A limit that makes no sense is an error that names its variable."""
    clean_environment.setenv("MANTIMON_REDIS_TIMEOUT", "soon")

    with pytest.raises(ConfigurationError, match="MANTIMON_REDIS_TIMEOUT"):
        await get_json("key")
