"""What a database says of itself: each thing that is wrong is caused for real once."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager

import asyncpg
import pytest
from sqlalchemy import text

from holdfast.database import Database, DatabasePolicy, diagnosis
from holdfast.database.facts import Clock
from holdfast.events import Check, Events
from holdfast.pool import PoolPolicy
from holdfast.services import PostgresServer

END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'readonly'"
DRIVERS = ("asyncpg", "psycopg")
ROLES = """
CREATE ROLE bypasses LOGIN BYPASSRLS;
CREATE ROLE few LOGIN CONNECTION LIMIT 3;
CREATE ROLE unlimited LOGIN;
ALTER DATABASE "narrow" CONNECTION LIMIT 5;
"""


def by(driver: str, url: str) -> str:
    return url.replace("postgresql://", f"postgresql+{driver}://", 1)


@asynccontextmanager
async def opened(url: str, **limits: float | PoolPolicy) -> AsyncIterator[Database]:
    """Give a database that is closed afterwards, though it was never opened."""
    policy = DatabasePolicy(**limits)  # type: ignore[arg-type]  # named by the test
    db = Database(url, policy=policy, events=Events(lambda _: None))
    try:
        yield db
    finally:
        await db.close()


async def examined(url: str, processes: int = 1, **limits: float | PoolPolicy) -> dict[str, Check]:
    async with opened(url, **limits) as db:
        return {each.name: each for each in await db.examine(processes=processes)}


def states(checks: Mapping[str, Check]) -> dict[str, str]:
    """Give what is not as it should be."""
    return {name: each.state for name, each in checks.items() if each.state != "ok"}


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Give a server with roles of all kinds."""
    server = PostgresServer()
    with asyncio.Runner() as runner:
        runner.run(server.start())
        runner.run(server.create_database("narrow"))
        runner.run(run(server.url("postgres"), ROLES))
        yield server
        runner.run(server.stop())


async def run(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


def as_role(server: PostgresServer, role: str, database: str = "app") -> str:
    return server.url("postgres", database).replace("postgres@", f"{role}@", 1)


@pytest.mark.parametrize("driver", DRIVERS)
async def test_all_is_well(server, driver):
    """Nothing is found on a server and role as they should be."""
    checks = await examined(by(driver, server.url()))

    assert states(checks) == {}
    assert "a unix socket is on this machine" in checks["tls"].said
    assert checks["pooler"].said == "none"
    assert checks["server"].said.startswith("PostgreSQL 1")
    assert checks["writes"].said == "a primary"
    assert checks["role"].said == "app, without SUPERUSER and BYPASSRLS"
    assert checks["statement_timeout"].said == "30 s"
    assert checks["lock_timeout"].said == "10 s"
    assert checks["idle_in_transaction_session_timeout"].said == "60 s"


@pytest.mark.parametrize("driver", DRIVERS)
async def test_serving(server, driver):
    """The quick check tells of place, writing and pool."""
    async with opened(by(driver, server.url())) as db:
        checks = await db.check()

    assert [each.name for each in checks] == ["reached", "writes", "pool"]
    assert all(each.state == "ok" for each in checks)
    assert checks[2].said == "connections in use: 0 of 20; callers waiting: 0"


async def test_the_quick_check_is_quick(faults):
    """On a connection that is there it is two statements, neither in a transaction."""
    async with opened(faults.url) as db:
        await db.check()
        faults.clear()
        await db.check()

    assert faults.transactions == []
    assert faults.round_trips <= 4  # asyncpg prepares a statement, then runs it


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("way", ["check", "examine"])
async def test_a_server_that_is_not_there(driver, way):
    """One failed check has the sentence of the error, and what to do."""
    async with opened(f"postgresql+{driver}://app:sesame@127.0.0.1:1/shop") as db:
        [check] = await getattr(db, way)()

    assert (check.name, check.ok) == ("reached", False)
    assert "refused" in check.said
    assert check.advice
    assert "sesame" not in check.said


async def test_a_server_that_is_frozen(faults):
    """It is not reached, within the limit to connect."""
    async with opened(faults.url, connect_timeout=0.3) as db:
        await db.check()
        faults.pause_server()
        [check] = await db.check()
        faults.heal()

    assert check.state == "failed"
    assert "no answer within 0.3 s" in check.said


@pytest.mark.parametrize(
    ("role", "right"), [("postgres", "SUPERUSER and BYPASSRLS"), ("bypasses", "BYPASSRLS")]
)
async def test_a_role_that_rules_do_not_hold_for(server, role, right):
    """A superuser and a role with BYPASSRLS are none for an application."""
    checks = await examined(as_role(server, role))

    assert states(checks) == {"role": "failed"}
    assert checks["role"].said.startswith(f"{role} has {right}: ")
    assert "NOSUPERUSER NOBYPASSRLS" in checks["role"].advice


@pytest.mark.parametrize("way", ["check", "examine"])
async def test_a_role_that_only_reads(server, way):
    """READ ONLY by default is wrong, unless the URL asks for it."""
    for url, state in (
        (server.url("readonly"), "failed"),
        (f"{server.url('readonly')}&target_session_attrs=read-only", "ok"),
    ):
        async with opened(url) as db:
            checks = {each.name: each for each in await getattr(db, way)()}
        assert checks["writes"].state == state


async def test_a_standby(tmp_path):
    """A server in recovery is wrong, unless the URL asks for one."""
    folder = tmp_path / "own"
    async with PostgresServer(folder):
        pass
    (folder / "postgres" / "data" / "standby.signal").touch()
    async with PostgresServer(folder) as standby:
        plain = await examined(standby.url())
        asked = await examined(f"{standby.url()}&target_session_attrs=standby")
        async with opened(standby.url()) as db:
            quick = {each.name: each for each in await db.check()}

    assert states(plain) == states(quick) == {"writes": "failed"}
    assert "target_session_attrs=primary" in plain["writes"].advice
    assert states(asked) == {}


async def test_more_connections_than_the_server_has(server):
    """Pools of all processes are held against what is left of max_connections."""
    one = await examined(server.url())
    fits = await examined(server.url(), processes=4)
    checks = await examined(server.url(), processes=5)

    assert one["pool"].said.startswith("connections: at most 20 (max_size 20 x 1 process)")
    assert fits["pool"].state == "ok"
    assert states(checks) == {"pool": "failed"}
    assert checks["pool"].said.startswith("connections: at most 100 (max_size 20 x 5 processes)")
    assert "97 can be had: max_connections 100, 3 reserved" in checks["pool"].said
    assert "PoolPolicy.max_size to 19" in checks["pool"].advice


async def test_callers_that_wait(faults, monkeypatch):
    """They are to be known of, before the pool is exhausted."""

    async def use() -> None:
        async with db.read() as session:
            await session.execute(text("SELECT 1"))

    async def reach_and_freeze(_self: Database) -> float:
        seconds = await ping()
        faults.pause_server()
        return seconds

    async with opened(faults.url, pool=PoolPolicy(max_size=1)) as db:
        ping = db.ping
        monkeypatch.setattr(Database, "ping", reach_and_freeze)
        async with asyncio.TaskGroup() as group:
            checked = group.create_task(db.check())
            while not any("recovery" in each.statement for each in db.holders()):  # noqa: ASYNC110
                await asyncio.sleep(0)
            for _ in range(2):
                group.create_task(use())
            while len(db.engine.pool.waiting()) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0)
            faults.heal()

    pool = checked.result()[2]
    assert (pool.state, pool.said) == ("warning", "connections in use: 1 of 1; callers waiting: 1")


async def test_what_others_use_is_taken_off(server):
    """Clients of other roles count; those of the application itself do not."""
    others = [await asyncpg.connect(server.url("owner")) for _ in range(3)]
    own = await asyncpg.connect(server.url())
    try:
        checks = await examined(server.url())
    finally:
        for each in (*others, own):
            await each.close()

    assert "94 can be had: max_connections 100, 3 reserved, 3 in use" in checks["pool"].said


@pytest.mark.parametrize(
    ("role", "database", "room"),
    [("few", "app", "3 can be had: role few has CONNECTION LIMIT 3"),
     ("app", "narrow", "5 can be had: the database has CONNECTION LIMIT 5"),
     ("few", "narrow", "3 can be had: role few")],
)  # fmt: skip
async def test_limits_of_a_role_and_a_database(server, role, database, room):
    """The narrowest limit is the one that is named."""
    checks = await examined(as_role(server, role, database))

    assert states(checks) == {"pool": "failed"}
    assert room in checks["pool"].said


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize(
    ("limit", "name"),
    [("statement_timeout", "statement_timeout"),
     ("lock_timeout", "lock_timeout"),
     ("idle_in_transaction_timeout", "idle_in_transaction_session_timeout")],
)  # fmt: skip
async def test_a_limit_that_is_none(server, driver, limit, name):
    """What the server says is in force counts."""
    checks = await examined(by(driver, server.url()), **{limit: 0})

    assert states(checks) == {name: "failed"}
    assert checks[name].said.startswith("none")


@pytest.mark.parametrize("off", [-5.0, 5.0])
async def test_a_clock_that_is_off(server, monkeypatch, off):
    """A difference of more than a second is wrong; here it is this machine's clock that differs."""
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + off)
    checks = await examined(server.url())

    assert states(checks) == {"clock": "failed"}
    assert checks["clock"].said.startswith(("the server's is 5.0", "the server's is 4.9"))
    assert f"s {'behind' if off > 0 else 'ahead of'} this machine's" in checks["clock"].said


async def test_a_slow_network_is_no_wrong_clock(server, monkeypatch):
    """Half of the round trip may be the network's, and is taken off."""
    clock = Clock(ahead=1.4, within=0.5)

    assert diagnosis.check_clock(clock).ok


@pytest.mark.parametrize(("supported", "state"), [((90, 99), "failed"), ((8, 9), "warning")])
async def test_versions(server, monkeypatch, supported, state):
    """A server older than what is supported is wrong, a newer one is to be known of."""
    monkeypatch.setattr(diagnosis, "SUPPORTED", supported)
    checks = await examined(server.url())

    assert states(checks) == {"server": state}


async def test_a_pooler_that_is_not_there(server):
    """What the URL was read as is compared with what is there."""
    checks = await examined(f"{server.url()}&pooler=transaction")

    assert states(checks)["pooler"] == "warning"
    assert "pooler=none" in checks["pooler"].advice


async def test_the_pool_is_used_up(server):
    """Callers that wait are told of; the check itself waits no longer than it may."""
    pool = PoolPolicy(max_size=1)
    async with opened(server.url(), pool=pool, connect_timeout=0.2) as db, db.read() as session:
        await session.execute(text("SELECT 1"))
        [check] = await db.check()

    assert check.state == "failed"
    assert "all connections of the pool are in use" in check.said


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("way", ["check", "examine"])
async def test_what_fails_in_between(server, monkeypatch, driver, way):
    """A server that ends while it is looked at leaves what was found, and why."""
    async with opened(by(driver, server.url("readonly"))) as db:

        async def reach_and_end(_self: Database) -> float:
            seconds = await ping()
            await run(server.url("postgres"), END)
            return seconds

        ping = db.ping
        monkeypatch.setattr(Database, "ping", reach_and_end)
        # As if the end of it had not arrived here yet.
        monkeypatch.setattr("holdfast.pool.elastic.is_good", lambda *_: True)
        monkeypatch.setattr("holdfast.pool.elastic.is_quiet", lambda _record: True)
        checks = await getattr(db, way)()

    assert [(each.name, each.state) for each in checks] == [("reached", "ok"), ("server", "failed")]
    assert checks[1].said
    assert checks[1].advice


async def test_a_server_that_freezes_in_between(faults, monkeypatch):
    """The quick check ends within its limit, whatever answer is missing."""
    async with opened(faults.url, connect_timeout=0.3) as db:

        async def reach_and_freeze(_self: Database) -> float:
            seconds = await ping()
            faults.pause_server()
            return seconds

        ping = db.ping
        monkeypatch.setattr(Database, "ping", reach_and_freeze)
        checks = await db.check()
        faults.heal()

    assert [each.state for each in checks] == ["ok", "failed"]
    assert "TimeoutError" in checks[1].said
