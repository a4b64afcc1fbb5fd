"""A client of the master that Sentinels name, while servers freeze, end and change roles."""

import asyncio

import pytest
from proofs.redis_node import wait_until
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from holdfast import redis
from holdfast.errors import UnavailableError
from holdfast.redis import RedisPolicy

SHORT = RedisPolicy(connect_timeout=0.2, timeout=0.2, max_connections=2, pool_timeout=0.2)
# Longer than the limit, and over when a second try would greet the server. For a
# script of Redis 8 TIME stands still, one of Redis 6.2 has no clock.
SLOWLY = """
    local function now()
        local known, seconds = pcall(function() return os.clock() end)
        if known then return seconds end
        local time = redis.call('TIME')
        return time[1] + time[2] / 1e6
    end
    local done = now() + 0.3
    repeat until now() > done
    return redis.call('INCR', KEYS[1])
"""
GUARD = 60.0  # seconds: nothing hangs


@pytest.fixture(autouse=True)
async def _guard():
    async with asyncio.timeout(GUARD):
        yield


async def test_a_client_works(group):
    """It stores at the master, and reads there."""
    async with redis.client(group.url) as client:
        await client.set("greeting", "hello")

        assert await client.get("greeting") == b"hello"
        assert await redis.ping(client) > 0
    assert await group.master.ask("GET", "greeting") == "hello"


async def test_a_command_is_sent_once(group):
    """A frozen master is an error in time, and what it gets to do later it does once."""
    async with redis.client(group.url, policy=SHORT) as client:
        await client.set("count", 0)
        group.master.freeze()
        for _ in range(2):  # the second on a new connection, whose greeting is not answered
            with pytest.raises(RedisTimeoutError):
                await client.incr("count")
        with pytest.raises(UnavailableError, match=r"/main/0: no answer in time"):
            await redis.ping(client)
        group.master.thaw()

        assert await group.master.ask("GET", "count") == "1"
        assert await client.get("count") == b"1"


async def test_an_answer_that_comes_too_late(group):
    """It is an error, and what was done meanwhile is not done again."""
    async with redis.client(group.url, policy=SHORT) as client:
        with pytest.raises(RedisTimeoutError):
            await client.eval(SLOWLY, 1, "slow")
    async with redis.client(group.url, policy=RedisPolicy(timeout=GUARD)) as client:
        assert await client.get("slow") == b"1"


async def test_the_pool_is_bounded(group):
    """With all connections in use, a caller waits for its limit and then gets an error."""
    async with redis.client(group.url, policy=SHORT) as client:
        pool = client.connection_pool
        taken = [await pool.get_connection() for _ in range(SHORT.max_connections)]
        with pytest.raises(RedisConnectionError, match="No connection available"):
            await client.get("x")
        for connection in taken:
            await pool.release(connection)

        assert await client.get("x") is None


async def test_a_frozen_sentinel_holds_nobody_up(group):
    """Many new connections at once ask the others, and each Sentinel stays known."""
    for frozen in group.sentinels[:2]:
        frozen.freeze()
        # No Sentinel is waited for until its limit, which is longer than all of this may take.
        long = RedisPolicy(connect_timeout=GUARD * 2, timeout=GUARD * 2)
        async with redis.client(group.url, policy=long) as client:
            await asyncio.gather(*(client.incr("count") for _ in range(20)))
            asked = client.connection_pool.sentinel_manager.sentinels

            assert len(set(map(id, asked))) == len(group.sentinels)
        frozen.thaw()


async def test_no_sentinel_answers(group):
    """A master that is known already is used; who asks for it gets an error in time."""
    async with redis.client(group.url, policy=SHORT) as known:
        await redis.ping(known)
        for each in group.sentinels:
            each.freeze()
        async with redis.client(group.url, policy=SHORT) as client:
            with pytest.raises(UnavailableError) as caught:
                await redis.ping(client)
            checks = await redis.check(client)

        assert await redis.ping(known) > 0
    assert str(caught.value).count("no answer in time") == len(group.sentinels)
    assert [(each.name, each.state) for each in checks] == [
        ("reached", "failed"),
        ("sentinels", "failed"),
    ]
    assert checks[1].said.startswith("0 of 3 answer; 127.0.0.1:")


@pytest.mark.parametrize("end", ["kill", "freeze"])
async def test_a_client_gets_to_the_next_master(changing, end):
    """Errors, each in time, until another one is master; then it works, by itself."""
    async with redis.client(changing.url, policy=SHORT) as client:
        old = changing.master
        await client.set("count", 1)
        await old.ask("WAIT", 2, 1_000)
        getattr(old, end)()
        with pytest.raises((RedisTimeoutError, RedisConnectionError)):
            await client.get("count")
        await changing.until_taken_over()
        await wait_until(lambda: client.incr("count"))

        assert changing.master is not old
        assert await changing.master.ask("GET", "count") == "2"


async def test_a_planned_change_of_the_master(changing):
    """One error where the old one refuses at once, then the new one is asked for."""
    async with redis.client(changing.url) as client:
        await client.set("count", 1)
        old = changing.master
        await old.ask("WAIT", 2, 1_000)
        await changing.fail_over()
        await old.ask("REPLICAOF", *changing.master.place.split(":"))
        with pytest.raises(RedisConnectionError, match="The previous master is now a slave"):
            await client.incr("count")

        assert await client.incr("count") == 2
        assert await changing.master.ask("GET", "count") == "2"


async def test_connections_leave_a_former_master(changing):
    """One that was in use at the change leads nowhere else when it is used again."""
    async with redis.client(changing.url) as client:
        old, pool = changing.master, client.connection_pool
        in_use = await pool.get_connection()
        await changing.fail_over()
        await client.set("told", "by a new connection")
        await pool.release(in_use)
        for number in range(3):
            await client.set(f"later:{number}", "on any connection")

        assert await old.is_master()  # it would still have taken them
        assert await old.ask("EXISTS", "told", "later:0", "later:1", "later:2") == 0


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (("sesame", "mellon"), "it refused the user or the password of the URL"),
        ((":sesame@", ""), "it wants a password, and the URL has none"),
        (("simsim", "mellon"), r"Sentinel 127\.0\.0\.1:\d+: it refused the user or the password"),
        (("/main", "/other"), r"no master of 'other': Sentinel 127\.0\.0\.1:\d+ knows only main"),
        (("sentinel_password=simsim", ""), r"Sentinel 127\.0\.0\.1:\d+: it wants a password"),
    ],
)
async def test_a_wrong_url_is_told(group, wrong, says):
    """Which password, or the name of the service; no password is shown."""
    async with redis.client(group.url.replace(*wrong)) as client:
        with pytest.raises(UnavailableError, match=says) as caught:
            await redis.ping(client)

    assert not any(word in str(caught.value) for word in ("sesame", "simsim", "mellon"))


async def test_all_is_well(group):
    """The master, how many Sentinels answer, version and memory."""
    async with redis.client(group.url) as client:
        checks = await redis.check(client)

    assert [each.name for each in checks] == ["reached", "sentinels", "server", "memory"]
    assert {each.state for each in checks} == {"ok"}
    assert checks[0].said.startswith(redis.place(client))
    assert checks[1].said == "3 of 3 answer"


async def test_a_sentinel_that_is_missing(group):
    """It is named, and a warning: two of three can still choose a master."""
    gone = group.sentinels[1]
    gone.kill()
    async with redis.client(group.url) as client:
        checks = await redis.check(client)

    assert [each.state for each in checks] == ["ok", "warning", "ok", "ok"]
    assert checks[1].said.startswith(f"2 of 3 answer; {gone.place}: the connection was refused")


async def test_a_master_that_is_missing(changing):
    """The check says so, and what the Sentinels say of it."""
    await changing.set_patience("60000")
    changing.master.kill()
    async with redis.client(changing.url) as client:
        checks = await redis.check(client)

    assert [(each.name, each.state) for each in checks] == [
        ("reached", "failed"),
        ("sentinels", "ok"),
    ]
    assert "the connection was refused" in checks[0].said


@pytest.mark.holdfast(leaks=False)
async def test_a_cancelled_command_leaves_no_wrong_answer(group):
    """After commands were cancelled at many points, each answer belongs to its question."""
    async with redis.client(group.url) as client:
        await client.mset({f"key:{number}": number for number in range(20)})

        async def read(number: int) -> bool:
            return await client.get(f"key:{number}") == str(number).encode()

        for turns in range(60):
            if turns % 10 == 0:
                await client.connection_pool.disconnect()  # so that the master is asked for
            task = asyncio.ensure_future(read(turns))
            for _ in range(turns % 30):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])

        assert all(await asyncio.gather(*map(read, range(20))))


async def test_closing_closes_the_sentinels_connections(group):
    """Nothing is left open anywhere."""
    client = redis.client(group.url)
    await client.ping()
    pool = client.connection_pool
    await client.aclose()

    pools = [pool, *(each.connection_pool for each in pool.sentinel_manager.sentinels)]
    assert not any(
        connection.is_connected for each in pools for connection in each._available_connections
    )
