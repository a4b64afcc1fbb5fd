"""What a Redis says of itself."""

from holdfast import redis
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
    monkeypatch.setattr(redis, "OLDEST", (90, 0))
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
