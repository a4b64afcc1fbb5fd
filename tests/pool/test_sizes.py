"""The pool keeps between its sizes, with the server as the witness."""

import asyncio

from sqlalchemy import event, text
from sqlalchemy.util import greenlet_spawn
from tests.pool.faking import Clock, FakeServer, check_out, clocked, fake_pool, turns
from tests.pool.serving import opened, until

from holdfast.pool import PoolPolicy

PAUSE = text("SELECT pg_sleep(0.02)")


async def pause(db) -> None:
    async with db.read() as session:
        await session.execute(PAUSE)


async def test_min_size_is_there_after_opening(postgres_url, witness):
    """Connections that nobody has asked for yet are made in the background, and no more."""
    async with opened(postgres_url, min_size=3, max_size=6) as db:
        await witness.until_count(3)
        await until(lambda: db.engine.pool.checkedin() == 3)

    await witness.until_count(0)


async def test_min_size_comes_back_when_connections_are_ended(postgres_url, witness):
    """A caller finds them gone, and the pool makes new ones up to its least size."""
    async with opened(postgres_url, min_size=3, max_size=6, ping_after=0) as db:
        await witness.until_count(3)
        before = await witness.pids()

        await witness.terminate()
        await pause(db)

        await witness.until_count(3)
        assert not before & await witness.pids()


async def test_it_grows_under_load_and_never_above_max_size(postgres_url, witness):
    """Callers come in crowds, are cancelled and break connections: the server sees four at most."""
    seen = []

    async def look(done: asyncio.Event) -> None:
        while not done.is_set():
            seen.append(len(await witness.pids()))

    async def call(db, number: int) -> None:
        async with db.engine.connect() as connection:
            await connection.execute(PAUSE)
            if number % 7 == 0:
                await connection.invalidate()

    async with opened(postgres_url, min_size=1, max_size=4) as db:
        done = asyncio.Event()
        looking = asyncio.create_task(look(done))
        for _ in range(3):
            calls = [asyncio.create_task(call(db, number)) for number in range(40)]
            await until(lambda: db.engine.pool.checkedout() == 4)
            for cancelled in calls[::5]:
                cancelled.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            assert db.engine.pool.size() <= 4
        done.set()
        await looking

    assert max(seen) == 4


async def test_it_shrinks_to_min_size_and_keeps_those(postgres_url, witness):
    """What has been idle for too long is closed; the least number stays, the same connections."""
    async with opened(postgres_url, min_size=2, max_size=6, idle_timeout=0.3) as db:
        await asyncio.gather(*(pause(db) for _ in range(6)))
        assert len(await witness.pids()) > 2

        await witness.until_count(2)
        kept = await witness.pids()
        await until(lambda: db.engine.pool._alarm._due > asyncio.get_running_loop().time() + 1)
        assert await witness.pids() == kept


def test_an_idle_night_costs_no_connection():
    """However long all are idle, those up to min_size are neither closed nor made anew."""

    async def night(clock, server, pool) -> None:
        server.patient = True
        pool.keep_warm()
        await turns(20)
        held = [await check_out(pool) for _ in range(8)]
        for fairy in held:
            await greenlet_spawn(fairy.close)
        assert (pool.size(), server.made) == (8, 8)
        for _ in range(100):
            clock.now += 60
            await turns(3)
        assert (pool.size(), server.made, len(server.open)) == (5, 8, 5)

    clock, server = Clock(), FakeServer()
    policy = PoolPolicy(min_size=5, max_size=8, idle_timeout=600, max_lifetime=0)
    with clocked(clock) as run:
        run(night(clock, server, fake_pool(server, policy)))


async def test_an_old_connection_is_replaced_and_nobody_notices(postgres_url, witness):
    """Callers go on without an error while each connection reaches its age and goes."""
    async with opened(postgres_url, min_size=2, max_size=4, max_lifetime=0.5) as db:
        await witness.until_count(2)
        before = await witness.pids()
        async with asyncio.timeout(10):
            while before & await witness.pids():
                await asyncio.gather(pause(db), pause(db))
        await witness.until_count(2)


async def test_a_lifetime_that_is_over_at_once(postgres_url):
    """Each connection serves once."""
    async with opened(postgres_url, max_size=1, min_size=0, max_lifetime=1e-9) as db:
        made = []
        event.listen(db.engine.sync_engine, "connect", lambda *_: made.append(1))
        for _ in range(3):
            await pause(db)

    assert len(made) == 3


def test_ages_differ_so_that_not_all_go_together():
    """Of connections made in one moment none is older than max_lifetime, and few go at once."""

    async def age(clock, server, pool) -> None:
        server.patient = True
        pool.keep_warm()
        await turns(50)
        began, ends = clock.now, []
        while server.open and clock.now < began + 101:
            clock.now += 0.5
            before = len(server.open)
            pool._keeps_warm = False
            await turns(3)
            ends += [clock.now - began] * (before - len(server.open))
        assert len(ends) == 20
        assert 89 <= min(ends) < max(ends) <= 101
        assert len(set(ends)) >= 8

    clock, server = Clock(), FakeServer()
    policy = PoolPolicy(min_size=20, max_size=20, idle_timeout=0, max_lifetime=100)
    with clocked(clock) as run:
        run(age(clock, server, fake_pool(server, policy)))


async def test_bursts_after_the_first_make_no_connection(postgres_url):
    """What was made for a crowd stays for the next one."""
    async with opened(postgres_url, min_size=2, max_size=8) as db:
        made = []
        event.listen(db.engine.sync_engine, "connect", lambda *_: made.append(1))
        for _ in range(11):
            await asyncio.gather(*(pause(db) for _ in range(30)))

        assert len(made) <= 8  # a later crowd may be the first that wants them all
