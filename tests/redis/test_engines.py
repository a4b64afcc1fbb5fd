"""The groups of servers that proofs and tests start."""

import asyncio
import os
import sys

from proofs.redis_engines import cluster, sentinels
from proofs.redis_node import wait_until

from holdfast import redis
from holdfast.services import find_redis

OWNER = """
import asyncio
from proofs.redis_engines import sentinels

async def main():
    async with sentinels() as group:
        group.master.freeze()
        print(*(each.pid for each in (*group.nodes, *group.sentinels)), flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_servers_end_with_their_owner(tmp_path):
    """Also one that is frozen, when the owner is killed."""
    path = os.pathsep.join(sys.path)
    owner = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        OWNER,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": path},
    )
    assert owner.stdout
    pids = [int(word) for word in (await owner.stdout.readline()).split()]
    owner.kill()
    await owner.wait()

    async def gone() -> bool:
        return not any(map(is_there, pids))

    await wait_until(gone)
    assert len(pids) == 6


def is_there(pid: int) -> bool:
    """Tell whether a process has this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_the_wheel_s_server_does_as_well(monkeypatch):
    """Valkey, where nothing is installed on the system."""
    monkeypatch.delenv("HOLDFAST_REDIS_BIN", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    program = find_redis().path
    monkeypatch.undo()
    async with sentinels(program=program) as group, redis.client(group.url) as client:
        await client.set("count", 1)
        await group.master.ask("WAIT", 2, 1_000)
        group.master.kill()
        await group.until_taken_over()
        await wait_until(lambda: client.incr("count"))
        checks = await redis.check(client)
    async with cluster(program=program) as shards, redis.cluster(shards.url) as client:
        await client.set("count", 1)
        await shards.fail_over(await shards.owner("count"))
        count = await client.incr("count")
        checks += await redis.check(client)

    assert count == 2
    assert {each.state for each in checks} == {"ok"}
    assert "Valkey" in str(checks)
