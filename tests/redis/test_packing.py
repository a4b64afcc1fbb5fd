"""Commands are written by hiredis as redis-py writes them."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Connection
from redis.exceptions import DataError

from holdfast import redis
from holdfast.redis.packing import packing

VALUES = st.text(st.characters(exclude_categories=["Cs"])) | st.binary() | st.integers()
URLS = ("redis://h/0", "rediss://h/0", "unix:///s", "redis+sentinel://h:1/service/0")


def written(kind, *args, **options):
    return b"".join(kind(**options).pack_command(*args))


@given(st.lists(VALUES | st.floats(allow_nan=False) | st.binary(min_size=7_000)))
def test_the_same_bytes(values):
    """Of texts, bytes and numbers, however long."""
    assert written(packing(Connection), "SET", *values) == written(Connection, "SET", *values)


@pytest.mark.parametrize(
    "command",
    [
        ("CONFIG GET", "save"),
        (b"CONFIG GET", "save"),
        ("SET", "k", bytearray(b"x")),
        ("SET", "k", memoryview(b"x")),
    ],
    ids=["text", "bytes", "bytearray", "memoryview"],
)
def test_what_only_redis_py_knows(command):
    """Names of two words are two arguments, and a buffer is written as its bytes."""
    assert written(packing(Connection), *command) == written(Connection, *command)


@pytest.mark.parametrize("value", [None, True, {}])
def test_what_is_no_argument(value):
    """It is refused in redis-py's words."""
    with pytest.raises(DataError, match="Invalid input of type"):
        written(packing(Connection), "SET", "k", value)


def test_another_encoding():
    """Texts are written in that of the client."""
    assert b"\xe9" in written(packing(Connection), "SET", "k", "é", encoding="latin-1")


@pytest.mark.parametrize("url", URLS)
async def test_every_client_of_one_server(url):
    """Whatever it connects over, and however it finds the server."""
    async with redis.client(url) as client:
        kind = client.connection_pool.connection_class

        assert kind.pack_command is not kind.__mro__[1].pack_command


def test_without_hiredis(monkeypatch):
    """redis-py alone is enough."""
    monkeypatch.setitem(sys.modules, "hiredis", None)

    assert packing(Connection) is Connection
