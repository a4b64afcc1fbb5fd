"""Opening: one clear sentence within the time limit, and never a password."""

import asyncio
import logging
import sqlite3
import threading
import time
import traceback

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from tests.database.conftest import DRIVERS, with_driver

from holdfast.database import Closed, Database, DatabasePolicy, Opened
from holdfast.database.connecting import unavailable
from holdfast.errors import HoldfastError, MissingExtraError, UnavailableError
from holdfast.events import Events
from holdfast.pool import PoolPolicy
from holdfast.testing.faults import Faults
from holdfast.urls import parse

QUICK = DatabasePolicy(connect_timeout=0.3)
with_drivers = pytest.mark.parametrize("driver", DRIVERS)


async def reason(url: str, policy: DatabasePolicy | None = None) -> str:
    """Give the message of the error that opening ends in, and prove that nothing stays open."""
    db = Database(url, policy=policy)
    with pytest.raises(UnavailableError) as caught:
        await db.open()
    assert db.engine.pool.checkedin() == 0
    return str(caught.value)


@with_drivers
async def test_nothing_listens(driver):
    """A refused connection is said to be one, with the place."""
    said = await reason(f"postgresql+{driver}://ann:secret@127.0.0.1:1/shop")

    assert said.startswith("PostgreSQL at 127.0.0.1:1/shop: ")
    assert "refused" in said


@with_drivers
async def test_a_silent_server(driver, faults):
    """One that accepts and says nothing is given up after connect_timeout."""
    faults.pause_server()

    said = await reason(with_driver(faults.url, driver), QUICK)

    assert said.endswith("no answer within 0.3 s: a firewall, or a wrong address?")


@pytest.mark.parametrize(
    ("place", "seconds"),
    [
        ("127.0.0.1/shop", 5),
        ("ep-cool-1.eu-central-1.aws.neon.tech/shop", 15),
        ("127.0.0.1/shop?connect_timeout=7", 7),
    ],
)
async def test_the_limit_without_a_policy(monkeypatch, place, seconds):
    """What a silent server costs; a serverless one needs longer to wake up."""
    told = []

    async def connect(*_args: object, **options: object) -> None:
        told.append(options["timeout"])
        raise TimeoutError

    monkeypatch.setattr("asyncpg.connect", connect)
    said = await reason(f"postgresql://ann:secret@{place}", DatabasePolicy())

    assert told == [seconds]
    assert f"no answer within {seconds} s" in said


@with_drivers
async def test_an_unknown_host(driver):
    """A name that nobody knows is said to be the problem."""
    said = await reason(f"postgresql+{driver}://ann:secret@nowhere.invalid/shop")

    assert "host" in said
    assert "nowhere.invalid" in said


@with_drivers
@pytest.mark.parametrize(
    "place", ["nobody:Zq7@127.0.0.1:1/shop", "nobody:Zq7@nowhere.invalid/shop", "a wrong password"]
)
async def test_what_cannot_succeed_fails_at_once(driver, place, guarded):
    """The limit is for a server that says nothing; none is waited for that has said no."""
    if place == "a wrong password":
        place = f"app:Zq7@{parse(guarded.url('app')).place}"
    patient = DatabasePolicy(connect_timeout=600)

    async with asyncio.timeout(60):
        assert "no answer within" not in await reason(f"postgresql+{driver}://{place}", patient)


@with_drivers
async def test_a_missing_socket(driver, tmp_path):
    """The folder is named, and that nothing is there."""
    said = await reason(f"postgresql+{driver}:///shop?host={tmp_path}")

    assert said.startswith(f"PostgreSQL at {tmp_path}/shop: ")
    assert "no socket" in said


@with_drivers
async def test_a_wrong_password(driver, guarded):
    """The role is named; the password is not."""
    url = parse(guarded.url("app")).engine.set(drivername=f"postgresql+{driver}", password="sesame")

    said = await reason(url)

    assert "password" in said
    assert "app" in said
    assert "sesame" not in said


@with_drivers
async def test_the_right_password(driver, guarded):
    """The same server lets in who knows it."""
    async with Database(guarded.url("app").replace("postgresql", f"postgresql+{driver}", 1)) as db:
        assert await db.ping() > 0


@with_drivers
async def test_no_such_role(driver, database_url):
    """The missing role is named."""
    url = parse(database_url).engine.set(drivername=f"postgresql+{driver}", username="nobody-here")

    assert "nobody-here" in await reason(url)


@with_drivers
async def test_no_such_database(driver, database_url):
    """The missing database is named."""
    url = parse(database_url).engine.set(drivername=f"postgresql+{driver}", database="nothing-here")

    assert "nothing-here" in (await reason(url)).partition(": ")[2]


@with_drivers
@pytest.mark.parametrize(
    ("code", "words"),
    [("57P03", "the database system is starting up"), ("53300", "sorry, too many clients already")],
)
async def test_a_server_that_lets_nobody_in_now(driver, faults, code, words):
    """It is starting, or has no free connection: the cause is said."""
    faults.refuse(code, message=words)

    said = await reason(with_driver(faults.url, driver))

    assert "starting" in said or "too many clients" in said or "no free connection" in said


@with_drivers
async def test_a_url_without_a_user(driver, faults):
    """The driver takes the system's, and the error says so."""
    faults.refuse("28P01", message="password authentication failed for user")

    said = await reason(with_driver(faults.url.replace("owner@", ""), driver))

    assert "the password for the system's user (the URL names none) was refused" in said


@pytest.mark.parametrize(("driver", "key"), [("asyncpg", "ssl"), ("psycopg", "sslmode")])
async def test_tls_that_the_server_has_not(driver, key, guarded):
    """TLS asked for and refused is an error, not a plain connection."""
    url = parse(guarded.url("app")).engine.set(drivername=f"postgresql+{driver}")

    assert "the server offers no TLS" in await reason(url.set(query={key: "require"}))


def workers() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if "connection_worker" in each.name}


@with_drivers
@pytest.mark.parametrize("code", ["42P05", "26000"])
async def test_a_pooler_that_the_url_is_wrong_about(driver, code, database_url):
    """Prepared statements that meet are its sign: it is said what to write in the URL."""
    url = database_url.replace("postgresql", f"postgresql+{driver}", 1)
    with Faults(url) as faults:
        faults.fail_next(code, at="SELECT 1")
        db = Database(f"{faults.url}?pooler=session", events=Events(lambda _: None))
        with pytest.raises(UnavailableError, match="write pooler=transaction in the URL"):
            await db.open()
        await db.close()


@with_drivers
async def test_a_statement_that_meets_another_client(driver, faults):
    """The same later on is the driver's error, with what to write beside it."""
    async with Database(with_driver(faults.url, driver), events=Events(lambda _: None)) as db:
        faults.fail_next("26000", at="SELECT 17")
        with pytest.raises(DBAPIError) as caught:
            async with db.begin() as session:
                await session.execute(text("SELECT 17"))

    [note] = caught.value.__notes__
    assert "write pooler=transaction in the URL" in note


@with_drivers
@pytest.mark.parametrize(
    ("mode", "answer", "cause"),
    [
        ("", b"HTTP/1.1 400 Bad Request", "does not speak PostgreSQL: is the port right?"),
        ("", b"", "the connection was lost before the server let anybody in: it is starting"),
        ("?sslmode=disable", b"", "the connection was lost before the server let anybody in"),
    ],
)
async def test_what_is_no_server(driver, mode, answer, cause):
    """Something else listens at the port, or hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        said = await reason(f"postgresql+{driver}://ann:secret@127.0.0.1:{port}/shop{mode}")

    assert cause in said


@pytest.mark.parametrize("name", ["PGSSLCERT", "PGSSLKEY"])
@pytest.mark.parametrize("hosts", ["127.0.0.1:1", "127.0.0.1:1,127.0.0.1:2"])
async def test_a_certificate_that_is_gone(monkeypatch, tmp_path, name, hosts):
    """Its file is named, and not a socket that nobody has asked for."""
    authority = trustme.CA()
    mine = authority.issue_cert("ann@example.test")
    files = {"PGSSLCERT": tmp_path / "cert.pem", "PGSSLKEY": tmp_path / "key.pem"}
    mine.cert_chain_pems[0].write_to_path(str(files["PGSSLCERT"]))
    mine.private_key_pem.write_to_path(str(files["PGSSLKEY"]))
    for each, file in files.items():
        monkeypatch.setenv(each, str(file))
    files[name].unlink()

    said = await reason(f"postgresql://ann:secret@{hosts}/shop")

    assert f"there is no file {files[name]}, which the variable {name} names" in said
    assert "socket" not in said


@with_drivers
@pytest.mark.parametrize("statement", range(5))
async def test_a_first_connection_that_is_lost(driver, statement, database_url):
    """Whichever statement of SQLAlchemy's first look at a server it is, the next one is whole."""
    url = database_url.replace("postgresql", f"postgresql+{driver}", 1)
    with Faults(url) as faults:
        faults.drop_connection(after=statement)
        db = Database(faults.url, events=Events(lambda _: None))

        with pytest.raises(UnavailableError, match="lost before the server let anybody in: "):
            await db.open()

        async with db:
            assert db.engine.dialect.server_version_info


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("missing/notes.db", "there is no folder {}/missing, and SQLite makes none: make it"),
        ("", "unable to open database file: it may be a folder"),
    ],
)
async def test_a_sqlite_file_that_cannot_be_opened(tmp_path, name, says):
    """A missing folder, and a folder itself, are each one sentence."""
    before = workers()

    assert says.format(tmp_path) in await reason(f"sqlite:///{tmp_path}/{name}")
    # The driver's own thread would print a traceback when it ends after the loop.
    assert workers() <= before


def test_a_sqlite_file_that_may_not_be_written():
    """Opening one sets its journal; root, who runs some of these tests, may write anything."""
    refused = sqlite3.OperationalError("attempt to write a readonly database")

    said = str(unavailable(refused, parse("sqlite:///notes.db"), within=5))

    assert "or not the folder that it is in, which SQLite needs even to read" in said


async def test_a_file_that_is_no_database(tmp_path):
    """Another file is one sentence, and it is closed again."""
    (tmp_path / "text.db").write_text("no database, " * 100)
    before = workers()

    assert "not a database" in await reason(f"sqlite:///{tmp_path}/text.db")
    left = workers() - before
    for each in left:
        await asyncio.to_thread(each.join, 5)
    assert not any(each.is_alive() for each in left)


@with_drivers
async def test_a_full_pool_is_no_silent_server(driver, database_url):
    """A ping that finds no free connection says so, and who might hold them."""
    url = database_url.replace("postgresql", f"postgresql+{driver}", 1)
    policy = DatabasePolicy(connect_timeout=0.3, pool=PoolPolicy(max_size=1))
    async with Database(url, policy=policy) as db, db.begin() as session:
        await session.execute(text("SELECT 1"))
        with pytest.raises(UnavailableError, match="all connections of the pool are in use"):
            await db.ping()


@with_drivers
async def test_a_frozen_server_ends_a_ping_in_time(driver, faults):
    """A connection that was fine and then answers nothing is given up after connect_timeout."""
    url = with_driver(faults.url, driver)
    db = Database(url, policy=QUICK)
    await db.open()
    faults.pause_server()
    begun = time.perf_counter()

    with pytest.raises(UnavailableError, match=r"no answer within 0\.3 s"):
        await db.ping()

    assert time.perf_counter() - begun < 1.5
    faults.heal()
    await db.close()


async def test_events_tell_of_opening_and_closing(any_url):
    """Once each, however often it is opened and closed; the place has no password."""
    told = []
    db = Database(any_url, events=Events(told.append))

    await asyncio.gather(*(db.open() for _ in range(5)))
    await db.close()
    await asyncio.gather(*(db.close() for _ in range(5)))

    assert [type(each) for each in told] == [Opened, Closed]
    assert {each.place for each in told} == {db.url.place}
    assert 0 <= told[0].seconds < 5


async def test_a_closed_database_opens_again(any_url):
    """It works as before."""
    db = Database(any_url)
    for _ in range(2):
        async with db, db.read() as session:
            assert await session.scalar(text("SELECT 1")) == 1


async def test_closing_what_was_never_opened_does_nothing(any_url):
    """No connection is made, and no event told."""
    told = []

    await Database(any_url, events=Events(told.append)).close()

    assert told == []


async def test_making_one_does_no_io(tmp_path):
    """Neither a server nor a file is touched before it is opened."""
    Database("postgresql://ann:secret@nowhere.invalid/shop")
    Database(f"sqlite:///{tmp_path}/notes.db")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "module", "extra"),
    [
        ("postgresql+psycopg://db/shop", "psycopg", r"'holdfast\[psycopg\]'"),
        ("sqlite:///notes.db", "aiosqlite", r"'holdfast\[sqlite\]'"),
        ("postgresql://db/shop", "asyncpg", "'holdfast'"),
    ],
)
def test_a_missing_driver(monkeypatch, url, module, extra):
    """The error has the command that installs it."""
    monkeypatch.setitem(__import__("sys").modules, module, None)

    with pytest.raises(MissingExtraError, match=rf"driver {module} is not installed.*{extra}"):
        Database(url)


PASSWORDS = st.text(st.characters(blacklist_categories=["Cs"]), max_size=12).map("Zq7{}Xk9".format)


def drawn(strategy: st.SearchStrategy[str], number: int) -> list[str]:
    """Give examples of a strategy to async code, which `given` cannot call."""
    found: list[str] = []

    @settings(max_examples=number, database=None)
    @given(strategy)
    def draw(example: str) -> None:
        found.append(example)

    draw()
    return found


def everything_said(error: BaseException, caplog: pytest.LogCaptureFixture) -> str:
    chain = "".join(traceback.format_exception(error))
    return "\n".join([chain, str(error), repr(error), caplog.text])


@pytest.mark.parametrize("code", ["28P01", "08P01"])
@with_drivers
async def test_no_password_comes_out_of_a_failed_opening(driver, faults, code, caplog):
    """Message, repr, chain of causes, logs and events hold no piece of any password."""
    caplog.set_level(logging.DEBUG)
    faults.refuse(code, message="refused for a reason")
    events = Events(lambda event: logging.getLogger().info("%r", event))
    for password in [
        *drawn(PASSWORDS, 12),
        "Zq7%Xk9",
        "Zq7%41Xk9",
        "Zq7@:/?#[]Xk9",
        "Zq7'\" =\\Xk9",
    ]:
        url = parse(with_driver(faults.url, driver)).engine.set(password=password)
        db = Database(url, policy=QUICK, events=events)
        with pytest.raises(HoldfastError) as caught:
            await db.open()
        said = everything_said(caught.value, caplog) + repr(db) + str(db.url)
        assert "Zq7" not in said
        assert "Xk9" not in said


@with_drivers
async def test_no_event_of_the_engine_is_listened_to(driver):
    """With one, each connection joins all kinds: a sixth of what a small unit of work costs."""
    db = Database(f"postgresql+{driver}://ann@127.0.0.1:1/shop")

    assert not db.engine.sync_engine._has_events
