"""Several hosts are dialled in turn, a primary first; passwords are asked for each time."""

import asyncio
import logging
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from tests.database.replication import SETTINGS, Standby, socket_of

from holdfast.database import Database, DatabasePolicy, PrimaryLost
from holdfast.errors import ConfigurationError, UnavailableError
from holdfast.events import Events
from holdfast.pool import PoolPolicy
from holdfast.services import PostgresPolicy, PostgresServer
from holdfast.urls import parse

DRIVERS = ["asyncpg", "psycopg"]
with_drivers = pytest.mark.parametrize("driver", DRIVERS)
WHERE = text("SELECT pg_is_in_recovery()")


@pytest.fixture(scope="module")
def primary() -> Iterator[PostgresServer]:
    """Give a server of its own that others can follow."""
    server = PostgresServer(policy=PostgresPolicy(settings=SETTINGS))
    with asyncio.Runner() as runner:
        runner.run(server.start())
        yield server
        runner.run(server.stop())


@pytest.fixture(scope="module")
def standby(primary) -> Iterator[Standby]:
    """Give a server that follows the primary."""
    server = Standby(primary)
    with asyncio.Runner() as runner:
        runner.run(server.start())
        yield server
        runner.run(server.stop())


def hosts(driver: str, *places: str, **query: str) -> str:
    """Give one URL for several servers, each a folder with a socket."""
    said = "&".join(
        [*(f"host={place}" for place in places), *(f"{k}={v}" for k, v in query.items())]
    )
    return f"postgresql+{driver}://owner@/app?{said}"


async def is_standby(url: str) -> bool:
    """Tell to which kind of server a URL leads."""
    async with Database(url) as db, db.read() as session:
        return bool(await session.scalar(WHERE))


@with_drivers
@pytest.mark.parametrize(
    ("target", "led_to_standby"),
    [
        (None, False),
        ("any", True),
        ("primary", False),
        ("read-write", False),
        ("standby", True),
        ("read-only", True),
        ("prefer-standby", True),
    ],
)
async def test_the_server_that_is_wanted_is_found(primary, standby, driver, target, led_to_standby):
    """Behind the standby that stands first is the primary, taken unless told not to."""
    query = {"target_session_attrs": target} if target else {}
    url = hosts(driver, str(standby.folder), socket_of(primary), **query)

    assert await is_standby(url) is led_to_standby


@with_drivers
@pytest.mark.parametrize(("target", "found"), [(None, True), ("prefer-standby", False)])
async def test_the_second_best_is_taken_where_there_is_no_other(
    primary, standby, driver, target, found
):
    """Without a primary a standby serves, and without a standby a primary."""
    place = str(standby.folder) if found else socket_of(primary)
    query = {"target_session_attrs": target} if target else {}

    assert await is_standby(hosts(driver, place, "/nowhere", **query)) is found


@with_drivers
async def test_load_is_balanced_where_the_url_asks_for_it(primary, standby, driver):
    """Each connection begins with a host of its own; otherwise the one that served comes first."""
    url = hosts(driver, socket_of(primary), str(standby.folder), target_session_attrs="any")

    assert await led_to(url) == {False}
    assert await led_to(f"{url}&load_balance_hosts=random") == {False, True}


async def led_to(url: str) -> set[bool]:
    """Tell to which kinds of servers thirty connections of one database lead."""
    seen = set()
    async with Database(url) as db:
        for _ in range(30):
            async with db.engine.connect() as connection:
                seen.add(bool(await connection.scalar(WHERE)))
            await db.engine.dispose()
    return seen


@with_drivers
async def test_what_none_of_them_is_says_each(primary, driver):
    """The error has each host with its reason."""
    url = hosts(driver, "/nowhere", socket_of(primary), target_session_attrs="standby")

    with pytest.raises(UnavailableError) as caught:
        await Database(url).open()

    said = str(caught.value)
    assert "no host of 2 can be used" in said
    assert "/nowhere: " in said
    assert f"{socket_of(primary)}: it is not standby" in said


@with_drivers
async def test_a_silent_host_does_not_starve_the_next(primary, driver):
    """One that accepts and says nothing has its share of the limit; then comes the other."""

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.CancelledError):
            await reader.read()
        writer.close()

    silent = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    url = f"postgresql+{driver}://owner@/app?host=127.0.0.1:{port}&host={socket_of(primary)}"
    asked = []
    async with Database(url, policy=DatabasePolicy(connect_timeout=2)) as db:
        for _ in range(3):
            async with db.engine.connect() as connection:
                asked.append(await connection.scalar(WHERE))
            await db.engine.dispose()
    silent.close()
    await silent.wait_closed()

    assert asked == [False] * 3


@with_drivers
async def test_writes_follow_the_primary(primary, driver):
    """When another server is promoted and the one that wrote refuses, the next writes go there."""
    events: list[object] = []
    policy = DatabasePolicy(pool=PoolPolicy(max_size=3))
    async with AsyncExitStack() as stack:
        standby = Standby(primary)
        await standby.start()
        stack.push_async_callback(standby.stop)
        url = hosts(driver, socket_of(primary), str(standby.folder))
        db = Database(url, policy=policy, events=Events(events.append))
        await stack.enter_async_context(db)
        async with db.begin() as session:
            await session.execute(text("CREATE TABLE IF NOT EXISTS kept (id int)"))
        await standby.promote()
        # Both write now; the old one is told to refuse, as one that follows would.
        await refuse_writes(primary, refuse=True)
        try:
            with pytest.raises(DBAPIError, match="read-only"):
                await db.run(insert)
            await db.run(insert)
        finally:
            await refuse_writes(primary, refuse=False)

        async with Database(standby.url()) as promoted, promoted.read() as session:
            assert await session.scalar(text("SELECT count(*) FROM kept")) == 1
    assert [type(event) for event in events].count(PrimaryLost) == 1


async def insert(session) -> None:
    await session.execute(text("INSERT INTO kept VALUES (1)"))


async def refuse_writes(server: PostgresServer, *, refuse: bool) -> None:
    value = "on" if refuse else "off"
    connection = await asyncpg.connect(server.url("postgres"))
    await connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()


@pytest.fixture(scope="module")
def guarded() -> Iterator[PostgresServer]:
    """Give a PostgreSQL that asks for passwords."""
    server = PostgresServer(policy=PostgresPolicy(listen="127.0.0.1"))
    with asyncio.Runner() as runner:
        runner.run(server.start())
        yield server
        runner.run(server.stop())


@with_drivers
@pytest.mark.parametrize("awaited", [True, False])
async def test_the_password_is_asked_for_at_each_connection(guarded, driver, awaited):
    """A token that was renewed is used for the connections that come after."""
    right = parse(guarded.url("app")).engine
    tokens = ["wrong", right.password, right.password]
    asked = []

    def token() -> str:
        asked.append(tokens[len(asked)])
        return asked[-1]

    async def token_later() -> str:
        return token()

    url = right.set(drivername=f"postgresql+{driver}", password="not this one")
    db = Database(url, password=token_later if awaited else token)
    with pytest.raises(UnavailableError, match="password"):
        await db.open()
    async with db:
        await db.engine.dispose()
        await db.ping()

    assert asked == tokens


@with_drivers
async def test_a_callable_that_gives_no_password(guarded, driver):
    """What it gave is named by its type, and never shown."""
    url = parse(guarded.url("app")).engine.set(drivername=f"postgresql+{driver}")

    with pytest.raises(ConfigurationError, match="gave a bytes; it is to give a str"):
        await Database(url, password=lambda: b"secret").open()  # type: ignore[arg-type, return-value]


@with_drivers
async def test_a_callable_that_fails_passes_its_error_on(guarded, driver):
    """Whoever wrote it knows the error."""
    url = parse(guarded.url("app")).engine.set(drivername=f"postgresql+{driver}")

    def token() -> str:
        raise LookupError("no token service")

    with pytest.raises(LookupError, match="no token service"):
        await Database(url, password=token).open()


@with_drivers
async def test_a_password_that_was_given_is_never_said(guarded, driver, caplog):
    """Neither errors nor logs nor the database's text have it."""
    caplog.set_level(logging.DEBUG)
    url = parse(guarded.url("app")).engine.set(drivername=f"postgresql+{driver}")
    db = Database(url, password=lambda: "Zq7sesameXk9")

    with pytest.raises(UnavailableError) as caught:
        await db.open()

    assert "Zq7" not in f"{caught.value!r} {caught.value.__cause__!r} {db!r} {caplog.text}"


async def test_a_server_that_vanished_is_noticed_with_asyncpg(guarded):
    """The system asks the other end of the connection, sooner than by its own defaults."""
    async with Database(guarded.url("app")) as db, db.engine.connect() as connection:
        raw = await connection.get_raw_connection()
        sock = raw.driver_connection._transport.get_extra_info("socket")

        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 10


async def test_a_server_that_vanished_is_noticed_with_psycopg(guarded):
    """By libpq, which takes what the URL says first."""
    url = guarded.url("app").replace("postgresql", "postgresql+psycopg", 1)
    async with Database(f"{url}?keepalives_count=9") as db, db.engine.connect() as connection:
        raw = await connection.get_raw_connection()
        told = raw.driver_connection.info.get_parameters()

    assert (told["keepalives_idle"], told["keepalives_count"]) == ("10", "9")
