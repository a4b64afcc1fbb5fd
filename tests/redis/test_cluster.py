"""A client of a cluster, while nodes freeze, end and change roles, and keys move."""

import asyncio
from collections.abc import Sequence

import pytest
from proofs.redis_engines import Cluster
from proofs.redis_node import Node, wait_until
from redis.crc import key_slot
from redis.exceptions import (
    ClusterDownError,
    MaxConnectionsError,
    NoScriptError,
    RedisError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from tests.redis.test_sentinels import SLOWLY

from holdfast import redis
from holdfast.errors import UnavailableError
from holdfast.redis import RedisPolicy

SHORT = RedisPolicy(connect_timeout=0.2, timeout=0.2)
SOON = "1000"  # milliseconds until a replica takes over
GUARD = 60.0  # seconds: nothing hangs
sleep = asyncio.sleep  # also where it is replaced
KEYS = [f"key:{number}" for number in range(12)]  # on all masters


@pytest.fixture(autouse=True)
async def _guard():
    async with asyncio.timeout(GUARD):
        yield


async def split(shards: Cluster, node: Node) -> tuple[Sequence[str], Sequence[str]]:
    """Tell which of the keys a node has, and which it has not."""
    owners = {key: await shards.owner(key) for key in KEYS}
    return [k for k in KEYS if owners[k] is node], [k for k in KEYS if owners[k] is not node]


async def test_a_client_works(shards):
    """It stores on each master, and making it and entering it do no I/O."""
    async with redis.cluster(shards.url) as client:
        assert client.get_nodes() == []
        await asyncio.gather(*(client.set(key, key) for key in KEYS))

        assert await asyncio.gather(*map(client.get, KEYS)) == [key.encode() for key in KEYS]
        assert await redis.ping(client) > 0
        assert redis.place(client) == ",".join(node.place for node in shards.nodes)


async def test_a_frozen_master(shards):
    """Its keys are errors in time, each command sent once; all others have answers."""
    frozen = await shards.owner(KEYS[0])
    there, elsewhere = await split(shards, frozen)
    async with redis.cluster(shards.url) as client:
        await asyncio.gather(*(client.set(key, 0) for key in KEYS))
        frozen.freeze()
        for key in there[:2]:  # both over the connection of before, or a new one
            with pytest.raises(RedisTimeoutError):
                await client.incr(key)
            for other in elsewhere:
                await client.incr(other)
        with pytest.raises(UnavailableError, match=f"{frozen.place}: no answer in time") as caught:
            await redis.ping(client)
        frozen.thaw()

        assert "sesame" not in str(caught.value)
        assert await client.get(there[0]) == b"1"
        assert int(await client.get(there[1])) <= 1
        assert {await client.get(key) for key in elsewhere} == {b"2"}


async def test_an_answer_that_comes_too_late(shards):
    """It is an error, and what was done meanwhile is not done again."""
    owner = await shards.owner("slow")

    async def counted(times: str) -> bool:
        return await owner.ask("GET", "slow") == times

    async with redis.cluster(shards.url, policy=SHORT) as client:
        await client.get("slow")
        with pytest.raises(RedisTimeoutError):
            await client.eval(SLOWLY, 1, "slow")
        await wait_until(lambda: counted("1"))
        pipeline = client.pipeline()
        pipeline.execute_command("EVAL", SLOWLY, 1, "slow")
        with pytest.raises(RedisTimeoutError):
            await pipeline.execute()
        await wait_until(lambda: counted("2"))
        await client.get("slow")  # whatever was sent before is done by now

    assert await counted("2")


async def test_the_first_command_goes_to_its_node(shards):
    """It is not sent to any node, to be sent on from there."""
    for node in shards.nodes:
        await node.ask("CONFIG", "RESETSTAT")
    for key in KEYS:
        async with redis.cluster(shards.url) as client:
            await client.get(key)

    told = [await node.ask("INFO", "errorstats") for node in shards.nodes]
    assert not any("errorstat_MOVED" in each for each in told)


async def test_a_client_that_begins_while_a_master_is_frozen(shards):
    """Whichever it is: what a client has to ask first, another node tells."""
    for frozen in await shards.masters():
        _, elsewhere = await split(shards, frozen)
        frozen.freeze()
        async with redis.cluster(shards.url) as client:
            for key in elsewhere[:2]:
                await client.set(key, "stored")
        frozen.thaw()

        assert await (await shards.owner(elsewhere[0])).ask("GET", elsewhere[0]) == "stored"


@pytest.mark.parametrize("end", ["kill", "freeze"])
async def test_a_client_gets_to_the_next_master(shards, end):
    """Errors, each in time, until the replica has taken over; then it works, by itself.

    Also where nothing but pipelines are used, from which redis-py learns of no change.
    """
    await shards.set_patience(SOON)
    old = await shards.owner("count")
    replica = await shards.replica_of(old)
    async with (
        redis.cluster(shards.url, policy=SHORT) as client,
        redis.cluster(shards.url, policy=SHORT) as other,
    ):

        async def pipelined() -> object:
            return await other.pipeline().incr("count").execute()

        await client.set("count", 0)
        await pipelined()
        await old.ask("WAIT", 1, 1_000)
        getattr(old, end)()
        for command in (client.get("count"), pipelined()):
            with pytest.raises((RedisTimeoutError, RedisConnectionError)):
                await command
        await shards.until_master(replica)
        await wait_until(lambda: client.incr("count"))
        await wait_until(pipelined)

        # More where an answer was late: then it was asked again, by this test.
        assert int(await replica.ask("GET", "count")) >= 3


async def test_a_planned_change_of_a_master(shards):
    """It goes unnoticed: nothing is lost, and who asks the old one is sent on."""
    await shards.set_patience(SOON)
    async with redis.cluster(shards.url) as client:
        await client.set("count", 0)
        await shards.fail_over(await shards.owner("count"))

        assert await client.pipeline().incr("count").execute() == [1]
        assert await client.incr("count") == 2


async def begin_move(shards: Cluster, key: str) -> Node:
    """Let a key begin to move to another master."""
    source = await shards.owner(key)
    target = next(node for node in await shards.masters() if node is not source)
    await shards.begin_move(key, target)
    return target


async def test_a_key_that_has_moved(shards):
    """Its command is sent on, once."""
    async with redis.cluster(shards.url) as client:
        await client.set("count", 0)
        target = await begin_move(shards, "count")
        await shards.end_move("count", target)

        assert await client.incr("count") == 1
        assert await client.pipeline().incr("count").execute() == [2]
    assert await target.ask("GET", "count") == "2"


async def test_a_key_that_is_moving(shards):
    """Its command is sent on, once, over whichever of many connections."""
    async with redis.cluster(shards.url) as client:
        target = await begin_move(shards, "count")
        _, elsewhere = await split(shards, await shards.owner("count"))
        await asyncio.gather(*(client.get(key) for key in elsewhere * 10))

        # It is not at the old owner, who so sends each on.
        assert [await client.incr("count") for _ in range(3)] == [1, 2, 3]
        assert sorted(await asyncio.gather(*(client.incr("count") for _ in range(30)))) == [
            *range(4, 34)
        ]
        assert await client.pipeline().incr("count").execute() == [34]
        await shards.end_move("count", target)
    assert await target.ask("GET", "count") == "34"


async def test_tryagain_is_an_error(shards, monkeypatch):
    """It comes through as it is, and nothing is tried again."""
    monkeypatch.setattr("redis.asyncio.cluster.asyncio.sleep", refuse_to_sleep)
    async with redis.cluster(shards.url) as client:
        await client.set("{count}:there", 1)
        target = await begin_move(shards, "{count}")
        with pytest.raises(TryAgainError):
            await client.mget("{count}:there", "{count}:gone")
    await shards.end_move("{count}", target)


async def test_clusterdown_is_an_error(shards, monkeypatch):
    """It comes through at once, and leaves the commands of others alone."""
    monkeypatch.setattr("redis.asyncio.cluster.asyncio.sleep", refuse_to_sleep)
    owner = await shards.owner("count")
    _, [other, *_] = await split(shards, owner)
    async with redis.cluster(shards.url) as client:
        await client.get("count")
        waiting = asyncio.ensure_future(client.blpop([other], 0.4))
        while not waiting.done() and client.get_node_from_key(other)._free:
            await sleep(0.01)
        await owner.ask("CLUSTER", "DELSLOTS", key_slot(b"count"))
        try:
            with pytest.raises(ClusterDownError):
                await client.get("count")
            assert not waiting.done()
        finally:
            await owner.ask("CLUSTER", "ADDSLOTS", key_slot(b"count"))

        assert await waiting is None


async def refuse_to_sleep(seconds: float) -> None:
    """Stand for `asyncio.sleep` where nothing may pause."""
    raise AssertionError(f"it sleeps for {seconds} s")


async def test_nobody_waits_for_a_connection(shards):
    """With all connections to a node in use, a caller gets an error."""
    policy = RedisPolicy(max_connections=2)
    async with redis.cluster(shards.url, policy=policy) as client:
        await client.set("key", 1)
        blocked = [asyncio.ensure_future(client.blpop(["list{key}"], 0.3)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(MaxConnectionsError):
            await client.get("key")

        assert await asyncio.gather(*blocked) == [None, None]
        assert await client.get("key") == b"1"


async def test_a_pipeline_goes_to_all_nodes_once(shards):
    """What one node refuses or does not answer is an error, and the others' answers are there."""
    node = await shards.owner(KEYS[0])
    there, elsewhere = await split(shards, node)
    async with redis.cluster(shards.url) as client:
        sha = await client.script_load("return redis.call('INCR', KEYS[1])")

        async def count() -> dict[str, object]:
            pipeline = client.pipeline()
            for key in KEYS:
                pipeline.execute_command("EVALSHA", sha, 1, key)
            return dict(zip(KEYS, await pipeline.execute(raise_on_error=False), strict=True))

        assert set((await count()).values()) == {1}
        await node.ask("SCRIPT", "FLUSH")
        answers = await count()
        assert {type(answers[key]) for key in there} == {NoScriptError}
        assert {answers[key] for key in elsewhere} == {2}
        await client.script_load("return redis.call('INCR', KEYS[1])")
        node.freeze()
        answers = await count()
        assert {isinstance(answers[key], RedisError) for key in there} == {True}
        assert {answers[key] for key in elsewhere} == {3}
        node.thaw()
        assert set((await count()).values()) == {3, 4}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (("sesame", "mellon"), "it refused the user or the password of the URL"),
        ((":sesame@", ""), "it wants a password, and the URL has none"),
    ],
)
async def test_a_wrong_password_is_told(shards, wrong, says):
    """Without showing any."""
    async with redis.cluster(shards.url.replace(*wrong)) as client:
        with pytest.raises(UnavailableError, match=says) as caught:
            await redis.ping(client)

    assert not any(word in str(caught.value) for word in ("sesame", "mellon"))


async def test_a_server_that_is_no_cluster(group):
    """It is said, and so is a cluster that is not there; as RedisError, which callers catch."""
    url = f"redis+cluster://:sesame@{group.master.place}"
    async with redis.cluster(url) as client:
        [check] = await redis.check(client)
        with pytest.raises(RedisConnectionError):
            await client.get("key")
    async with redis.cluster("redis+cluster://127.0.0.1:1,127.0.0.1:2") as client:
        [gone] = await redis.check(client)

    assert (check.state, gone.state) == ("failed", "failed")
    assert "Cluster mode is not enabled on this node" in check.said
    assert "the connection was refused" in gone.said


async def test_all_is_well(shards):
    """Every node, whether all keys have one, versions and memory."""
    async with redis.cluster(shards.url) as client:
        checks = await redis.check(client)

    assert [each.name for each in checks] == ["reached", "nodes", "slots", "server", "memory"]
    assert {each.state for each in checks} == {"ok"}
    assert checks[1].said == "3 masters and 3 replicas answer"
    assert checks[2].said == "16384 of 16384 are served, the state is ok"
    assert checks[3].said.count(".") == 2  # one version, which all have


@pytest.mark.parametrize(
    ("role", "states"),
    [
        ("master", ["ok", "failed", "ok", "ok", "ok"]),
        ("replica", ["ok", "warning", "ok", "ok", "ok"]),
    ],
)
async def test_a_node_that_is_missing(shards, role, states):
    """It is named; without a replica nothing is lost yet."""
    master = await shards.owner("count")
    node = master if role == "master" else await shards.replica_of(master)
    async with redis.cluster(shards.url, policy=SHORT) as client:
        await redis.ping(client)
        node.freeze()
        checks = await redis.check(client)

    assert [each.state for each in checks] == states
    assert f"; {node.place}: no answer in time" in checks[1].said


async def test_all_masters_are_missing(shards):
    """What cannot be looked at is left out."""
    async with redis.cluster(shards.url, policy=SHORT) as client:
        await redis.ping(client)
        for node in await shards.masters():
            node.freeze()
        checks = await redis.check(client)

    assert [(each.name, each.state) for each in checks] == [("reached", "ok"), ("nodes", "failed")]
    assert checks[1].said.startswith("0 masters and 3 replicas answer; ")


async def test_closing_after_a_loss_closes_all(shards):
    """Also where the nodes would have been asked again next, which redis-py takes for closed."""
    client = redis.cluster(shards.url, policy=SHORT)
    await asyncio.gather(*map(client.get, KEYS))
    node = await shards.owner(KEYS[0])
    node.freeze()
    with pytest.raises(RedisTimeoutError):
        await client.get(KEYS[0])
    nodes = client.get_nodes()
    await client.aclose()

    assert len(nodes) == len(shards.nodes)
    assert not any(each.is_connected for node in nodes for each in node._connections)


@pytest.mark.holdfast(leaks=False)
async def test_a_cancelled_command_leaves_no_wrong_answer(shards):
    """After commands were cancelled at many points, each answer belongs to its question."""
    async with redis.cluster(shards.url) as client:
        await asyncio.gather(*(client.set(key, key) for key in KEYS))
        for turns in range(80):
            task = asyncio.ensure_future(client.get(KEYS[turns % len(KEYS)]))
            for _ in range(turns % 16):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])

        assert await asyncio.gather(*map(client.get, KEYS)) == [key.encode() for key in KEYS]
