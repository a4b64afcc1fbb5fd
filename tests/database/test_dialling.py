"""Several hosts are dialled in turn, a primary first; passwords are asked for each time."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import pytest_asyncio
from proofs.pair import Node, Pair, pair
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from tests.database.conftest import DRIVERS

from holdfast.database import Database, DatabasePolicy, PrimaryLost
from holdfast.errors import ConfigurationError, UnavailableError
from holdfast.events import Events
from holdfast.pool import PoolPolicy
from holdfast.urls import parse

with_drivers = pytest.mark.parametrize("driver", DRIVERS)
WHERE = text("SELECT pg_is_in_recovery()")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both() -> AsyncIterator[Pair]:
    """Give a primary and the standby that follows it, which stay what they are."""
    async with pair() as made:
        yield made


def hosts(driver: str, *places: str, **query: str) -> str:
    """Give one URL for several servers, each a folder with a socket."""
    said = "&".join(
        [*(f"host={place}" for place in places), *(f"{k}={v}" for k, v in query.items())]
    )
    return f"postgresql+{driver}://owner@/app?{said}"


def folder(node: Node) -> str:
    """Give the folder of a server's socket."""
    return str(node.socket.parent)


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
async def test_the_server_that_is_wanted_is_found(both, driver, target, led_to_standby):
    """Behind the standby that stands first is the primary, taken unless told not to."""
    query = {"target_session_attrs": target} if target else {}
    url = hosts(driver, folder(both.standby), folder(both.primary), **query)

    assert await is_standby(url) is led_to_standby


@with_drivers
@pytest.mark.parametrize(("target", "found"), [(None, True), ("prefer-standby", False)])
async def test_the_second_best_is_taken_where_there_is_no_other(both, driver, target, found):
    """Without a primary a standby serves, and without a standby a primary."""
    place = folder(both.standby) if found else folder(both.primary)
    query = {"target_session_attrs": target} if target else {}

    assert await is_standby(hosts(driver, place, "/nowhere", **query)) is found


@with_drivers
async def test_load_is_balanced_where_the_url_asks_for_it(both, driver):
    """Each connection begins with a host of its own; otherwise the one that served comes first."""
    url = hosts(driver, folder(both.primary), folder(both.standby), target_session_attrs="any")

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
async def test_what_none_of_them_is_says_each(both, driver):
    """The error has each host with its reason."""
    url = hosts(driver, "/nowhere", folder(both.primary), target_session_attrs="standby")

    with pytest.raises(UnavailableError) as caught:
        await Database(url).open()

    said = str(caught.value)
    assert "no host of 2 can be used" in said
    assert "/nowhere: there is no socket there: is the server started?" in said
    assert f"{folder(both.primary)}: it is not standby" in said


@with_drivers
async def test_a_silent_host_does_not_starve_the_next(both, driver):
    """One that accepts and says nothing has its share of the limit; then comes the other."""

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.CancelledError):
            await reader.read()
        writer.close()

    asked = []
    async with await asyncio.start_server(swallow, "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        url = f"postgresql+{driver}://owner@/app?host=127.0.0.1:{port}&host={folder(both.primary)}"
        async with Database(url, policy=DatabasePolicy(connect_timeout=6)) as db:
            for _ in range(3):
                async with db.engine.connect() as connection:
                    asked.append(await connection.scalar(WHERE))
                await db.engine.dispose()

    assert asked == [False] * 3


@with_drivers
async def test_writes_follow_the_primary(driver):
    """When another server is promoted and the one that wrote refuses, the next writes go there."""
    events: list[object] = []
    policy = DatabasePolicy(pool=PoolPolicy(max_size=3))
    async with pair() as both:
        old, new = both.primary, both.standby
        url = hosts(driver, folder(old), folder(new))
        async with Database(url, policy=policy, events=Events(events.append)) as db:
            async with db.begin() as session:
                await session.execute(text("CREATE TABLE kept (id int)"))
            await new.until("SELECT to_regclass('kept') IS NOT NULL")
            await both.promote()
            # Both write now; the old one is told to refuse, as one that follows would.
            await old.do("ALTER SYSTEM SET default_transaction_read_only = on")
            await old.do("SELECT pg_reload_conf()")
            await old.until("SELECT current_setting('default_transaction_read_only') = 'on'")
            with pytest.raises(DBAPIError, match="read-only"):
                await db.run(insert)
            await db.run(insert)

        assert await new.ask("SELECT count(*) FROM kept") == 1
    assert [type(event) for event in events].count(PrimaryLost) == 1


async def insert(session) -> None:
    await session.execute(text("INSERT INTO kept VALUES (1)"))


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
