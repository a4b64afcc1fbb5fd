"""A folder's servers know the URLs that they gave, whether they run or not."""

import asyncio
from pathlib import Path

import pytest

from holdfast.services import PostgresPolicy, PostgresServer, RedisPolicy, RedisServer, remove

KINDS = pytest.mark.parametrize("kind", [PostgresServer, RedisServer])
POLICIES = {PostgresServer: PostgresPolicy, RedisServer: RedisPolicy}
OTHERS = (
    "postgresql://app@/app?host=/run/postgresql&port=5432",
    "postgresql://app:secret@127.0.0.1:5432/app",
    "redis://127.0.0.1:6379/0",
    "redis://:@127.0.0.1:6379/0",
    "unix:///run/redis/redis.sock?db=0",
    "postgresql://[::1/app",
    "nonsense",
    "",
)


@KINDS
@pytest.mark.parametrize("listen", [None, "127.0.0.1"])
async def test_a_url_is_known_while_the_server_runs_and_afterwards(folder, kind, listen):
    """By its socket or its password, until the data is removed; a socket's even then."""
    async with kind(folder, policy=POLICIES[kind](listen=listen)) as server:
        url = server.url()
        assert server.gave(url)

    assert kind(folder).gave(url)
    await remove(folder)
    assert kind(folder).gave(url) is (listen is None)


@KINDS
async def test_nobody_elses_url_is_taken_for_ones_own(folder, kind):
    """Nor what is no URL, also where passwords were made."""
    async with kind(folder, policy=POLICIES[kind](listen="127.0.0.1")):
        pass

    assert not any(map(kind(folder).gave, OTHERS))


@KINDS
def test_where_nothing_was_ever_started_nothing_was_given(folder, kind):
    """A folder that is not there, and a temporary one, which has no URLs of before."""
    assert not any(map(kind(folder).gave, OTHERS))
    assert not any(map(kind().gave, OTHERS))


@KINDS
def test_a_socket_in_a_short_folder_is_known(base: Path, kind):
    """Where the path of the folder is too long for a socket, it is elsewhere."""
    folder = base / ("long" * 30)

    async def give() -> str:
        async with kind(folder) as server:
            return server.url()

    url = asyncio.run(give())
    assert str(base) not in url
    assert kind(folder).gave(url)
    assert not kind(base / "other").gave(url)
    asyncio.run(remove(folder))
