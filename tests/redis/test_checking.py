"""What a Redis says of itself."""

import asyncio

import pytest

from holdfast import redis
from holdfast.errors import UnavailableError
from holdfast.services import RedisPolicy, RedisServer


async def test_all_is_well(redis_url):
    """Place, version and what happens when its memory is full."""
    async with redis.client(redis_url) as client:
        checks = await redis.check(client)

    assert [each.name for each in checks] == ["reached", "server", "memory"]
    assert {each.state for each in checks} == {"ok"}
    assert checks[1].said.startswith(("Valkey ", "Redis "))
    assert "noeviction" in checks[2].said


async def test_a_server_that_is_not_there():
    """It is a failed check, without the password."""
    async with redis.client("redis://:sesame@127.0.0.1:1/0") as client:
        [check] = await redis.check(client)

    assert (check.name, check.state) == ("reached", "failed")
    assert "sesame" not in check.said
    assert check.advice


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis://127.0.0.1:1/0", "the connection was refused; nothing listens there"),
        ("unix:///nowhere/redis.sock?db=0", "there is no socket there: is the server started?"),
        ("redis://h.invalid:6379/0", "the host name is unknown: is it spelled right"),
    ],
)
async def test_what_is_wrong_is_said_in_one_sentence(url, says):
    """Where, what it means and what to look at, as for PostgreSQL, and no numbers of errors."""
    async with redis.client(url) as client:
        [check] = await redis.check(client)
        with pytest.raises(UnavailableError) as caught:
            await redis.ping(client)

    assert check.said == str(caught.value)
    assert check.said.startswith(f"Redis at {redis.place(client)}: {says}")
    assert "Error " not in check.said


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "does not speak Redis: is the port right?"),
        (b"", "the connection was closed before an answer: it is stopping, has too many clients"),
        (b"-NOAUTH Authentication required.\r\n", "it wants a password, and the URL has none"),
        (None, "no answer in time: a firewall, a wrong address"),
    ],
)
async def test_what_answers_otherwise(answer, says):
    """Something else listens at the port, hangs up, wants a password, or is silent."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        if answer is None:
            await reader.read()  # until the client has had enough
        else:
            writer.write(answer)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with redis.client(f"redis://127.0.0.1:{port}/0") as client:
            [check] = await redis.check(client)

    assert says in check.said


async def test_a_password_that_is_refused():
    """It is told apart from a server that is not there, and none is shown."""
    policy = RedisPolicy(listen="127.0.0.1")
    async with RedisServer(policy=policy) as server:
        wrong = server.url().replace("redis://:", "redis://:sesame")
        none = server.url().replace(server.url().partition("@")[0], "redis://").replace("@", "")
        said = []
        for url in (wrong, none):
            async with redis.client(url) as client:
                [check] = await redis.check(client)
                said.append(check.said)

    assert "it refused the user or the password of the URL: " in said[0]
    assert "it wants a password, and the URL has none: " in said[1]
    assert "sesame" not in said[0]


async def test_keys_that_may_be_dropped():
    """Eviction of any key is right for a cache only, which cannot be known here."""
    settings = {"maxmemory": "10mb", "maxmemory-policy": "allkeys-lru"}
    async with (
        RedisServer(policy=RedisPolicy(settings=settings)) as server,
        redis.client(server.url()) as client,
    ):
        checks = await redis.check(client)

    assert checks[2].state == "warning"
    assert checks[2].said.startswith("maxmemory 10.00M, allkeys-lru")


async def test_a_version_that_is_too_old(redis_url, monkeypatch):
    """It is told what to upgrade to."""
    monkeypatch.setattr("holdfast.redis.checking.OLDEST", (90, 0))
    async with redis.client(redis_url) as client:
        checks = await redis.check(client)

    assert checks[1].state == "failed"
    assert "90.0" in checks[1].advice


async def test_a_user_that_may_not_look(redis_url):
    """Without INFO the rest is not known, and nothing is wrong."""
    async with redis.client(redis_url) as admin:
        await admin.acl_setuser(
            "blind", enabled=True, nopass=True, commands=["+ping", "+select"], keys=["*"]
        )
        try:
            async with redis.client(redis_url.replace("unix://", "unix://blind:x@")) as client:
                checks = await redis.check(client)
        finally:
            await admin.acl_deluser("blind")

    assert [each.state for each in checks] == ["ok", "warning"]
    assert "INFO" in checks[1].advice
