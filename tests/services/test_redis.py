"""Redis starts, is as promised, and leaves nothing behind."""

import os
import signal
import socket
from pathlib import Path

import pytest
import redis.asyncio as client

from holdfast.errors import ConfigurationError, ServiceError
from holdfast.services import RedisPolicy, RedisServer


async def ask(server: RedisServer, *command: str, database: int = 0) -> object:
    async with client.from_url(server.url(database), decode_responses=True) as connection:
        return await connection.execute_command(*command)


async def test_life(redis_binary, folder: Path, running) -> None:
    """It starts, forgets everything over a restart, and a stop leaves no process."""
    async with RedisServer(folder) as server:
        assert (server.product, server.version) == (redis_binary.product, redis_binary.version)
        assert (await ask(server, "CONFIG", "GET", "maxmemory-policy"))[
            "maxmemory-policy"
        ] == "noeviction"
        assert (await ask(server, "CONFIG", "GET", "port"))["port"] == "0"
        await ask(server, "SET", "key", "value", database=3)
        assert await ask(server, "GET", "key", database=3) == "value"
        assert await ask(server, "GET", "key") is None
    assert running() == []
    async with RedisServer(folder) as server:
        assert await ask(server, "GET", "key", database=3) is None
    assert running() == []


async def test_kill_9(redis_binary, folder: Path, running) -> None:
    """After kill -9 it is said what happened, nothing is left, and the next start works."""
    server = RedisServer(folder)
    await server.start()

    os.kill(server.pid, signal.SIGKILL)

    with pytest.raises(ServiceError, match="SIGKILL"):
        await server.wait()
    await server.start()
    assert await ask(server, "PING") in (True, "PONG")
    await server.stop()
    assert running() == []


async def test_settings_reach_the_server(redis_binary, folder: Path) -> None:
    """What is set is in force: with an append-only file every key outlives the server."""
    policy = RedisPolicy(settings={"appendonly": "yes"})

    async with RedisServer(folder, policy=policy) as server:
        await ask(server, "SET", "key", "value")
    async with RedisServer(folder, policy=policy) as server:
        assert await ask(server, "GET", "key") == "value"


async def test_tcp_needs_the_password(redis_binary, folder: Path, running) -> None:
    """On an address there is a password, which is kept out of log and arguments."""
    policy = RedisPolicy(listen="127.0.0.1")

    async with RedisServer(folder, policy=policy) as server:
        address = server.url()
        password = address.split(":")[2].split("@")[0]
        assert await ask(server, "PING") in (True, "PONG")
        with pytest.raises(client.AuthenticationError):
            async with client.from_url(address.replace(password, "guess")) as connection:
                await connection.ping()
        assert password not in server.log.read_text()
        assert password not in " ".join(running())
        async with RedisServer(folder) as second:
            assert second.attached
            assert second.url() == address
            assert await ask(second, "PING") in (True, "PONG")


async def test_a_taken_port_is_named(folder: Path) -> None:
    """A port that somebody else listens on is an error with its number."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServiceError, match=f"port {port}"):
            await RedisServer(folder, policy=RedisPolicy(listen="127.0.0.1", port=port)).start()


async def test_a_wrong_setting_is_said_by_the_server(redis_binary, folder: Path, running) -> None:
    """A setting that Redis refuses is an error with its words."""
    policy = RedisPolicy(settings={"maxmemory-policy": "whatever"})

    with pytest.raises(ServiceError, match="maxmemory-policy"):
        await RedisServer(folder, policy=policy).start()
    assert running() == []


@pytest.mark.parametrize("settings", [{"maxmemory": "1mb\nport 6379"}, {"port": "6379"}])
def test_a_setting_that_moves_the_server(settings: dict[str, str]) -> None:
    """Where the server listens is not for `settings`, nor for a second line in a value."""
    with pytest.raises(ConfigurationError, match=f"settings has {next(iter(settings))!r}"):
        RedisPolicy(settings=settings)


async def test_a_temporary_folder_is_removed() -> None:
    """Without a folder there is a temporary one, of which nothing is left."""
    async with RedisServer() as server:
        root = server.log.parent.parent

    assert not root.exists()
