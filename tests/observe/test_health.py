"""What the parts say is gathered, whatever they do."""

import asyncio
import os
import signal
from functools import partial

from holdfast import observe, redis
from holdfast.database import Database
from holdfast.events import Check
from holdfast.redis import RedisPolicy
from holdfast.services import RedisServer

FINE = Check(name="reached", said="in 1 ms")
WRONG = Check(name="role", said="a superuser", state="failed", advice="take another")


async def fine() -> list[Check]:
    return [FINE]


async def wrong() -> list[Check]:
    return [FINE, WRONG]


async def raises() -> list[Check]:
    raise RuntimeError("cannot read postgresql://app:sesame@db/shop")


async def hangs() -> list[Check]:
    await asyncio.Event().wait()
    return []


async def stays() -> list[Check]:
    """Refuse to be cancelled, as a driver may that takes its leave."""
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(3600)
    return []


async def test_all_is_well():
    """Each check is there under its part's name, in the order asked."""
    health = await observe.health(b=fine, a=fine)

    assert health.ok
    assert [each.name for each in health.checks] == ["b.reached", "a.reached"]


async def test_one_is_wrong():
    """One failed check makes it all not well; a warning does not."""
    warned = Check(name="memory", said="any key may go", state="warning", advice="look")

    async def warns() -> list[Check]:
        return [warned]

    assert not (await observe.health(a=fine, b=wrong)).ok
    assert (await observe.health(a=fine, b=warns)).ok


async def test_a_part_that_raises():
    """It is a failed check of that part, without secrets; the others are heard."""
    health = await observe.health(bad=raises, good=fine)

    bad, good = health.checks
    assert (bad.name, bad.state, good.state) == ("bad", "failed", "ok")
    assert bad.said == "RuntimeError: cannot read postgresql://app:***@db/shop"
    assert bad.advice


async def test_a_part_that_hangs():
    """It is a failed check after the limit, also when it does not let itself be cancelled."""
    health = await observe.health(within=0.01, hung=hangs, stuck=stays, good=fine)

    assert [each.said for each in health.checks[:2]] == ["no answer within 0.01 s"] * 2
    assert health.checks[2].ok
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert len(left) == 1
    for task in left:
        task.cancel()
    await asyncio.wait(left)


async def test_parts_are_asked_at_once():
    """One waits for the other, and gets its answer."""
    asked = asyncio.Event()

    async def first() -> list[Check]:
        await asked.wait()
        return [FINE]

    async def second() -> list[Check]:
        asked.set()
        return [FINE]

    assert (await observe.health(a=first, b=second)).ok


async def test_whoever_asks_may_be_cancelled():
    """The parts are cancelled with it."""
    ended = asyncio.Event()
    begun = asyncio.Event()

    async def part() -> list[Check]:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return []

    task = asyncio.create_task(observe.health(a=part))
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
    assert ended.is_set()


async def test_nothing_to_ask():
    """Without parts nothing is wrong."""
    assert (await observe.health()).ok


async def test_real_parts(database_url):
    """A database that serves, and a Redis that is frozen."""
    policy = RedisPolicy(timeout=0.2, connect_timeout=0.2)
    async with (
        Database(database_url) as db,
        RedisServer() as server,
        redis.client(server.url(), policy=policy) as client,
    ):
        well = await observe.health(database=db.check, cache=partial(redis.check, client))
        os.kill(server.pid, signal.SIGSTOP)
        ill = await observe.health(database=db.check, cache=partial(redis.check, client))
        os.kill(server.pid, signal.SIGCONT)

    assert well.ok
    assert [each.name for each in ill.checks if not each.ok] == ["cache.reached"]
