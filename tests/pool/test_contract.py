"""What the pool relies on inside SQLAlchemy; each test says what to look at when it has moved."""

import asyncio
import inspect
import time

import pytest
from sqlalchemy import event
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.pool import Pool
from sqlalchemy.pool import base as pools
from sqlalchemy.util import await_only, greenlet_spawn
from sqlalchemy.util.concurrency import in_greenlet
from tests.pool.faking import FakeServer, check_out, fake_pool

from holdfast.pool import ElasticPool, PoolPolicy

MOVED = "SQLAlchemy has moved what holdfast/pool/elastic.py stands on: look at "


@pytest.fixture
async def pool():
    """Give a pool whose server answers at once."""
    server = FakeServer()
    server.patient = True
    pool = fake_pool(server, PoolPolicy(min_size=0, max_size=2))
    yield pool
    await greenlet_spawn(pool.dispose)


@pytest.mark.parametrize(
    "name", ["_do_get", "_do_return_conn", "dispose", "recreate", "status", "_close_connection"]
)
def test_what_it_overrides_is_there(name):
    """A method of another name would never be called."""
    assert callable(getattr(Pool, name, None)), f"{MOVED}Pool.{name}"


def test_what_recreate_hands_on_is_taken():
    """The options of a pool and the attributes that hold them."""
    taken = set(inspect.signature(Pool.__init__).parameters)
    given = {"recycle", "echo", "logging_name", "reset_on_return", "_dispatch", "dialect"}
    assert given <= taken, f"{MOVED}Pool.__init__: {given - taken}"
    pool = fake_pool(FakeServer(), PoolPolicy())
    for name in ("_creator", "_recycle", "echo", "_orig_logging_name", "_reset_on_return"):
        assert hasattr(pool, name), f"{MOVED}Pool.{name}"
    again = pool.recreate()
    assert type(again) is ElasticPool
    assert (again.policy, again._dialect) == (pool.policy, pool._dialect)


async def test_a_checkout_asks_do_get_once_and_a_return_gives_the_record_back(pool, monkeypatch):
    """`Pool.connect()` is `_do_get`, closing is `_do_return_conn` with the same record."""
    seen = []
    for name in ("_do_get", "_do_return_conn"):
        inner = getattr(pool, name)

        def spied(*args, name=name, inner=inner):
            result = inner(*args)
            seen.append((name, result or args[0]))
            return result

        monkeypatch.setattr(pool, name, spied)
    fairy = await check_out(pool)
    record = fairy._connection_record
    await greenlet_spawn(fairy.close)
    expected = [("_do_get", record), ("_do_return_conn", record)]
    assert seen == expected, f"{MOVED}_ConnectionRecord.checkout, checkin"


async def test_a_record_of_an_older_generation_is_known(pool):
    """`_invalidate_time` after `last_connect_time` makes `_is_hard_or_soft_invalidated` true."""
    record = await greenlet_spawn(pool._create_connection)
    assert record.last_connect_time <= time.time(), f"{MOVED}last_connect_time"
    assert not record._is_hard_or_soft_invalidated(), f"{MOVED}_is_hard_or_soft_invalidated"
    pool.retire_with(record)
    assert record._is_hard_or_soft_invalidated(), f"{MOVED}Pool._invalidate_time"
    await greenlet_spawn(record.close)


async def test_a_closed_record_has_no_connection_and_a_new_one_info(pool):
    """`close()` goes through `_close_connection`; `info` is a dictionary of the connection's."""
    record = await greenlet_spawn(pool._create_connection)
    record.info["mark"] = 1
    assert record.info["mark"] == 1, f"{MOVED}ConnectionPoolEntry.info"
    await greenlet_spawn(record.close)
    assert record.dbapi_connection is None, f"{MOVED}_ConnectionRecord.close"
    assert not pool._dialect.open, f"{MOVED}Pool._close_connection"


async def test_an_invalidated_one_is_terminated_and_comes_back_empty(pool, monkeypatch):
    """`invalidate()` is `_close_connection(terminate=True)`, and the record is returned still."""
    how = []
    inner = pool._close_connection

    def spied(connection, *, terminate=False):
        how.append(terminate)
        inner(connection, terminate=terminate)

    monkeypatch.setattr(pool, "_close_connection", spied)
    fairy = await check_out(pool)

    def give_up():
        fairy.invalidate()
        fairy.close()

    await greenlet_spawn(give_up)
    assert how == [True], f"{MOVED}_ConnectionRecord.invalidate"
    assert pool.checkedout() == 0, f"{MOVED}_ConnectionRecord.checkin"


async def test_a_detached_one_is_returned_empty(pool):
    """What is detached, by a user or by the garbage collector, frees its place."""
    fairy = await check_out(pool)
    await greenlet_spawn(fairy.detach)
    assert pool.checkedout() == 0, f"{MOVED}_ConnectionFairy.detach"
    await greenlet_spawn(fairy.close)


async def test_a_failed_checkout_gives_the_record_back(pool):
    """An error between `_do_get` and the caller ends in `_do_return_conn`."""

    def refuse(*_):
        raise RuntimeError("not this one")

    event.listen(pool, "checkout", refuse)
    with pytest.raises(RuntimeError):
        await check_out(pool)
    assert pool.checkedout() == 0, f"{MOVED}_checkin_failed"


async def test_the_way_between_greenlet_and_task(pool):
    """`in_greenlet`, `await_only` and `greenlet_spawn`, also for a function that awaits nothing."""
    assert not in_greenlet(), f"{MOVED}util.concurrency.in_greenlet"

    def inside() -> tuple[bool, str]:
        return in_greenlet(), await_only(asyncio.sleep(0, "awaited"))

    assert await greenlet_spawn(inside) == (True, "awaited"), f"{MOVED}util.greenlet_spawn"
    assert await greenlet_spawn(in_greenlet) is True


def test_the_entry_of_a_connection_is_found():
    """`_connection_record` of what a `Connection` has is the record that the pool lent."""
    assert "_connection_record" in pools._ConnectionFairy.__slots__, (
        f"{MOVED}_ConnectionFairy._connection_record, and at holdfast/database/failing.py"
    )


def test_a_dialect_says_that_it_is_async_and_can_terminate():
    """The garbage collector's way through `_finalize_fairy` depends on both."""
    assert PGDialect_asyncpg.is_async, f"{MOVED}Dialect.is_async"
    assert PGDialect_asyncpg.has_terminate, f"{MOVED}Dialect.has_terminate"
    source = inspect.getsource(pools._finalize_fairy)
    assert "_close_connection" in source, f"{MOVED}_finalize_fairy"
