"""The limits of the Redis client, on a real server that freezes, ends and fills up."""

import asyncio
import os
import signal
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio.retry import Retry
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from holdfast import redis
from holdfast.errors import ConfigurationError, UnavailableError
from holdfast.redis import RedisPolicy
from holdfast.services import RedisServer

SHORT = RedisPolicy(connect_timeout=0.2, timeout=0.2, max_connections=2, pool_timeout=0.2)


@pytest.fixture
async def server() -> AsyncIterator[RedisServer]:
    """Give a server of this test, to be frozen or ended."""
    async with RedisServer() as own:
        yield own


@contextmanager
def frozen(server: RedisServer) -> Iterator[None]:
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


async def test_a_client_works(redis_url):
    """A client stores and reads, and tells how long an answer took."""
    async with redis.client(redis_url) as client:
        await client.set("greeting", "hello", ex=60)

        assert await client.get("greeting") == b"hello"
        assert await redis.ping(client) > 0


async def test_making_a_client_does_no_io():
    """A client of a server that is not there is made without an error."""
    client = redis.client("redis://127.0.0.1:1/0")

    assert redis.place(client) == "127.0.0.1:1/0"
    await client.aclose()


async def test_a_command_is_sent_once(server):
    """An answer that comes too late is an error, and the command is not sent again."""
    async with redis.client(server.url(), policy=SHORT) as client:
        await client.set("count", 0)
        with frozen(server), pytest.raises(RedisTimeoutError):
            await client.incr("count")
        async with redis.client(server.url()) as other:
            # Redis answers in the order of arrival: what the first client sent is done by now.
            assert await other.get("count") == b"1"


async def test_retries_are_off(redis_url):
    """redis-py's own retries, ten by default, are none."""
    async with redis.client(redis_url) as client:
        retry = client.connection_pool.connection_kwargs["retry"]

        assert isinstance(retry, Retry)
        assert retry.get_retries() == 0


async def test_a_frozen_server_is_unavailable(server):
    """A ping of a server that does not answer says so, with the place."""
    async with redis.client(server.url(), policy=SHORT) as client:
        await redis.ping(client)
        with frozen(server), pytest.raises(UnavailableError, match=r"Redis at /.*/redis\.sock/0: "):
            await redis.ping(client)

        assert await redis.ping(client) > 0


async def test_an_ended_server_is_unavailable(server):
    """A ping of a server that is gone is the same error."""
    async with redis.client(server.url(), policy=SHORT) as client:
        await redis.ping(client)
        await server.stop()

        with pytest.raises(UnavailableError, match="Redis at"):
            await redis.ping(client)


async def test_the_pool_is_bounded(redis_url):
    """With all connections in use, a caller waits for its limit and then gets an error."""
    async with redis.client(redis_url, policy=SHORT) as client:
        pool = client.connection_pool
        taken = [await pool.get_connection() for _ in range(SHORT.max_connections)]
        with pytest.raises(RedisConnectionError, match="No connection available"):
            await client.get("x")
        for connection in taken:
            await pool.release(connection)

        assert await client.get("x") is None


@pytest.mark.holdfast(leaks=False)
async def test_a_cancelled_command_leaves_no_wrong_answer(redis_url):
    """After commands were cancelled at many points, each answer belongs to its question."""
    async with redis.client(redis_url) as client:
        await client.mset({f"key:{number}": number for number in range(50)})

        async def read(number: int) -> bool:
            return await client.get(f"key:{number}") == str(number).encode()

        for turns in range(40):
            task = asyncio.ensure_future(read(turns))
            for _ in range(turns % 8):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])

        assert all(await asyncio.gather(*map(read, range(50))))


@pytest.mark.parametrize(
    "url", [None, "", "localhost:6379", "http://ann:hunter2@h/0", "postgresql://ann:hunter2@h/x"]
)
def test_another_scheme_is_refused(url):
    """A URL that is none of Redis is refused without repeating it."""
    with pytest.raises(ConfigurationError, match="it begins with one of redis://") as caught:
        redis.client(url)

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://ann:hunter2@h:port/0",
        "redis://ann:hunter2@h:65536/0",
        "redis://ann:hunter2@[::1/0",
        "redis://ann:hunter2@h/0?db=one",
        "redis://ann:hunter2@h/0?protocol=x",
    ],
)
def test_an_unreadable_url_is_refused(url):
    """A URL with a wrong part is refused without its password, in message and causes alike."""
    with pytest.raises(ConfigurationError, match="it cannot be read") as caught:
        redis.client(url)

    assert "hunter2" not in f"{caught.value!r} {caught.value.__cause__!r}"


async def test_an_error_has_no_password():
    """A server that cannot be reached is named without the password."""
    client = redis.client("redis://ann:hunter2@127.0.0.1:1/3")
    with pytest.raises(UnavailableError, match=r"Redis at 127\.0\.0\.1:1/3: ") as caught:
        await redis.ping(client)

    assert "hunter2" not in str(caught.value)
    await client.aclose()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis://h/0?socket_timeout=60", "socket_timeout in the query cannot be given there"),
        ("redis://h/0?max_connections=9&retry_on_timeout=1", "max_connections, retry_on_timeout"),
        ("redis://h/0?hunter=2", "hunter in the query"),
        ("redis://h/shop", "the number of a database"),
    ],
)
def test_limits_are_not_the_url_s(url, says):
    """What would loosen the limits, or fail at the first command, is refused at once."""
    with pytest.raises(ConfigurationError, match=says):
        redis.client(url)


async def test_a_url_may_choose_database_and_protocol(redis_url):
    """What says where and how, and limits nothing, is taken."""
    async with redis.client(f"{redis_url.partition('?')[0]}?db=2&protocol=3") as client:
        assert await redis.ping(client) > 0
        assert redis.place(client).endswith("/2")


@given(st.text(max_size=12).map("Zq7{}Xk9".format))
def test_a_password_pasted_as_it_is_never_comes_out(password):
    """It is read or refused; no piece of it is in message, causes or place."""
    try:
        said = redis.place(redis.client(f"redis://ann:{password}@h/0"))
    except ConfigurationError as error:
        said = "".join(traceback.format_exception(error))

    assert "Zq7" not in said
    assert "Xk9" not in said


@pytest.mark.parametrize("value", ["1", None, True])
def test_a_limit_is_no_text(value):
    """What is no number is refused as well, and a part of a connection is none."""
    with pytest.raises(ConfigurationError, match=r"^timeout is "):
        RedisPolicy(timeout=value)
    with pytest.raises(ConfigurationError, match=r"max_connections is 1\.5; it is a whole number"):
        RedisPolicy(max_connections=1.5)


@pytest.mark.parametrize("name", ["connect_timeout", "timeout", "max_connections", "pool_timeout"])
@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
def test_a_limit_is_a_number_above_zero(name, value):
    """A policy without a limit is refused, by the name of the field."""
    with pytest.raises(ConfigurationError, match=f"^{name} is "):
        RedisPolicy(**{name: value})
