"""Limits: refused when wrong, in force on the server when right."""

import asyncio
from decimal import Decimal

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from holdfast.database import Database, DatabasePolicy
from holdfast.errors import ConfigurationError, PoolExhaustedError
from holdfast.pool import PoolPolicy

SECONDS = [
    "connect_timeout",
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_timeout",
]
WRONG = [-1, -0.001, float("nan"), float("inf"), 2_147_484, "5", None, True, Decimal(5)]
SHOWN = "SELECT setting FROM pg_settings WHERE name = '{}'"


@pytest.mark.parametrize("value", WRONG)
def test_wrong_seconds_are_refused(value):
    """The error names the field and its value, for each time-out of database and pool."""
    for name in SECONDS:
        with pytest.raises(ConfigurationError, match=f"{name} is "):
            DatabasePolicy(**{name: value})
    for name in ("timeout", "ping_after"):
        with pytest.raises(ConfigurationError, match=f"{name} is "):
            PoolPolicy(**{name: value})


def test_a_size_that_no_server_has_is_refused():
    """A number that makes no sense is said so at once, not when the pool is made."""
    with pytest.raises(ConfigurationError, match="max_size is 262144; no server gives more than"):
        PoolPolicy(max_size=262_144)


def test_sizes_that_contradict_each_other_are_refused():
    """Both are named, with what to do."""
    with pytest.raises(ConfigurationError, match="min_size is 5 and max_size 3; lower the one or"):
        PoolPolicy(min_size=5, max_size=3)


@pytest.mark.parametrize("value", [0, -1, 1.5, float("nan"), "5", None, True])
def test_a_wrong_size_is_refused(value):
    """A pool has a whole number of connections, at least one."""
    with pytest.raises(ConfigurationError, match=r"size is .* whole number"):
        PoolPolicy(max_size=value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("connect_timeout", 0),
        ("application_name", 5),
        ("application_name", "a\0b"),
        ("application_name", "a\ud800"),
        ("show_bound_values_in_errors", 1),
        ("pool", 5),
    ],
)
def test_other_wrong_values_are_refused(name, value):
    """No limit for connecting, a name that is none, and a pool that is none."""
    with pytest.raises(ConfigurationError, match=name):
        DatabasePolicy(**{name: value})


def test_all_wrong_values_are_named_at_once():
    """One error for all time-outs, so that one run shows them."""
    with pytest.raises(ConfigurationError, match="statement_timeout is -1, lock_timeout is nan"):
        DatabasePolicy(statement_timeout=-1, lock_timeout=float("nan"))


async def shown(db: Database) -> dict[str, str]:
    names = {
        "statement_timeout",
        "lock_timeout",
        "idle_in_transaction_session_timeout",
        "application_name",
    }
    async with db.read() as session:
        return {name: await session.scalar(text(SHOWN.format(name))) for name in names}


async def test_the_default_limits_are_in_force(postgres_url):
    """From a connection's first statement the server has them, in milliseconds."""
    async with Database(postgres_url) as db:
        assert await shown(db) == {
            "statement_timeout": "30000",
            "lock_timeout": "10000",
            "idle_in_transaction_session_timeout": "60000",
            "application_name": "holdfast",
        }


async def test_limits_can_be_chosen(postgres_url):
    """They are in force as given; 0 is none."""
    policy = DatabasePolicy(
        statement_timeout=2_147_483,
        lock_timeout=0.25,
        idle_in_transaction_timeout=0,
        application_name="it's my \\ shop's",
    )
    async with Database(postgres_url, policy=policy) as db:
        assert await shown(db) == {
            "statement_timeout": "2147483000",
            "lock_timeout": "250",
            "idle_in_transaction_session_timeout": "0",
            "application_name": "it's my \\ shop's",
        }


def test_a_very_short_limit_is_not_none():
    """Fractions of a millisecond are rounded up, since the server takes 0 for no limit."""
    assert DatabasePolicy(lock_timeout=0.0001).server_settings()["lock_timeout"] == "1"


async def test_a_slow_statement_is_ended(postgres_url):
    """The server cancels it, and the connection goes on working."""
    policy = DatabasePolicy(statement_timeout=0.05, pool=PoolPolicy(max_size=1))
    async with Database(postgres_url, policy=policy) as db:
        with pytest.raises(DBAPIError, match="statement timeout"):
            async with db.begin() as session:
                await session.execute(text("SELECT pg_sleep(60)"))

        assert await db.ping() > 0


async def test_a_wait_for_a_lock_is_ended(db, postgres_url):
    """Behind somebody else's row lock a writer fails after lock_timeout."""
    async with db.begin() as session:
        await session.execute(text("INSERT INTO notes VALUES (1, 'first')"))
    policy = DatabasePolicy(lock_timeout=0.05)
    change = text("UPDATE notes SET body = body")

    async with db.begin() as session, Database(postgres_url, policy=policy) as other:
        await session.execute(change)
        with pytest.raises(DBAPIError, match="lock timeout"):
            async with other.begin() as waiting:
                await waiting.execute(change)


async def test_a_transaction_left_idle_is_ended(postgres_url, look):
    """The server ends it, what it wrote is gone, and the block says so."""
    policy = DatabasePolicy(idle_in_transaction_timeout=0.05)

    async def idle(db):
        async with db.begin() as session:
            await session.execute(text("CREATE TABLE gone (id int)"))
            pid = await session.scalar(text("SELECT pg_backend_pid()"))
            while await look(f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid}"):
                pass

    async with Database(postgres_url, policy=policy) as db:
        with pytest.raises(DBAPIError):
            await idle(db)
        assert await db.ping() > 0

    assert await look("SELECT count(*) FROM pg_tables WHERE tablename = 'gone'") == [0]


async def test_the_pool_is_bounded(any_url):
    """One caller more than connections waits for `timeout`, and hears who has them."""
    policy = DatabasePolicy(pool=PoolPolicy(max_size=2, timeout=0.05))
    async with Database(any_url, policy=policy) as db, db.read() as one, db.read() as two:
        await asyncio.gather(one.execute(text("SELECT 1")), two.execute(text("SELECT 1")))
        with pytest.raises(PoolExhaustedError, match="2 of 2 are in use"):
            async with db.read() as three:
                await three.execute(text("SELECT 1"))


@pytest.mark.parametrize("value", ["p4ssw0rd-one", "p4ssw0rd-two"])
async def test_the_values_of_a_failed_statement_are_hidden(any_db, value):
    """SQLAlchemy's message has the statement without its parameters."""
    with pytest.raises(DBAPIError) as caught:
        async with any_db.begin() as session:
            await session.execute(text("SELECT :value FROM nowhere"), {"value": value})

    assert "nowhere" in str(caught.value)
    assert value not in str(caught.value)
