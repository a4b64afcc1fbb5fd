"""The pool and failures, by the sessions and the database that production uses."""

import asyncio
import time
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import func, literal, make_url, select, text
from sqlalchemy.exc import DBAPIError

from faceplate.config import get_settings
from faceplate.db.session import close_database, get_database, get_session
from faceplate.db.start import running
from faceplate.models import User
from holdfast.database import Database
from holdfast.errors import CommitUnknownError, PoolExhaustedError, UnavailableError

pytestmark = pytest.mark.usefixtures("on_clone")
SECRET = "hunter2-the-secret"
MINE = """
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'faceplate'
"""


@pytest.fixture
async def watch(on_clone):
    """Give a session of somebody else's, who sees the application's connections."""
    async with Database(on_clone.app) as db, db.read() as session:
        yield session


async def connections(watch):
    return set(await watch.scalars(text(MINE)))


async def until(fact):
    """Wait until something is so; asking the server lets the others go on."""
    async with asyncio.timeout(20):
        while not await fact():
            pass


async def backend():
    """Ask in a session of the application's which connection it has."""
    async with get_session() as session:
        return await session.scalar(text("SELECT pg_backend_pid()"))


# FR-005


def test_defaults():
    """A pool of 5 that grows to 20, 30 s of waiting; idle connections are checked."""
    pool = get_database().policy.pool

    assert (pool.min_size, pool.max_size, pool.timeout) == (5, 20, 30.0)
    assert 0 < pool.ping_after <= 5


@pytest.mark.parametrize(
    ("variable", "value", "field"),
    [
        ("MIN_SIZE", "2", "min_size"),
        ("MAX_SIZE", "33", "max_size"),
        ("TIMEOUT", "1.5", "timeout"),
        ("PING_AFTER", "0", "ping_after"),
        ("MAX_LIFETIME", "60", "max_lifetime"),
        ("IDLE_TIMEOUT", "10", "idle_timeout"),
    ],
)
def test_everything_can_be_configured(clean_environment, variable, value, field):
    """Each limit of the pool is a variable of its own."""
    clean_environment.setenv(f"FACEPLATE_DB_POOL_{variable}", value)

    assert getattr(get_database().policy.pool, field) == float(value)


async def test_it_keeps_five_connections_and_grows_to_twenty(watch):
    """Opened it has 5 connections; 50 callers at once bring it to 20, not to 21."""
    async with running():
        await until(lambda: five(watch))

        barrier = asyncio.Barrier(20)

        async def use(number):
            async with get_session() as session:
                pid = await session.scalar(text("SELECT pg_backend_pid()"))
                if number < 20:
                    await barrier.wait()  # the first 20 hold theirs at the same time
                return pid

        used = await asyncio.gather(*map(use, range(50)))
        assert len(set(used)) == 20
        assert await connections(watch) == set(used)


async def five(watch):
    return len(await connections(watch)) == 5


async def test_configured_sizes_are_in_force(clean_environment, watch):
    """What is configured is what the server sees."""
    clean_environment.setenv("FACEPLATE_DB_POOL_MIN_SIZE", "2")
    clean_environment.setenv("FACEPLATE_DB_POOL_MAX_SIZE", "3")
    async with running():
        await asyncio.gather(*(backend() for _ in range(30)))

        assert 2 <= len(await connections(watch)) <= 3


# SC-002


@pytest.mark.parametrize(
    ("queries", "open_session"), [(50, get_session), (5_000, lambda: get_database().read())]
)
async def test_concurrent_queries_all_succeed(clean_environment, watch, queries, open_session):
    """All of them are answered, on no more than 20 connections of the server at any time."""
    # How long the last one waits says something about the machine.
    clean_environment.setenv("FACEPLATE_DB_POOL_TIMEOUT", "300")
    most, asking = 0, True

    async def look():
        nonlocal most
        while asking:
            most = max(most, len(await connections(watch)))
            await asyncio.sleep(0.02)

    async def ask(number):
        async with open_session() as session:
            return await session.scalar(select(literal(number)))

    looking = asyncio.create_task(look())
    answers = await asyncio.gather(*map(ask, range(queries)))
    asking = False
    await looking

    assert answers == list(range(queries))
    assert 0 < most <= 20


# E1


@pytest.mark.parametrize(
    ("url", "place", "cause"),
    [
        ("postgresql://ann:{}@127.0.0.1:1/range", "127.0.0.1:1/range", "refused"),
        ("postgresql://ann:{}@nowhere.invalid:5433/range", "nowhere.invalid:5433/range", "host"),
    ],
    ids=["refused", "host"],
)
async def test_unreachable_at_start(clean_environment, url, place, cause):
    """The start fails with one line: host, port, database and cause, never the password."""
    clean_environment.setenv("DATABASE_URL", url.format(SECRET))

    with pytest.raises(UnavailableError) as error:
        await start()

    assert str(error.value).startswith(f"PostgreSQL at {place}: ")
    assert cause in str(error.value)
    assert SECRET not in str(error.value)
    assert "\n" not in str(error.value)


async def test_a_database_that_is_missing(clean_environment, on_clone):
    """A server without the database says so; so does a role that does not exist."""
    url = make_url(on_clone.app)
    for wrong, cause in (
        (url.set(database="nothing_of_this_name"), "nothing_of_this_name"),
        (url.set(username="nobody", password=SECRET), "nobody"),
    ):
        clean_environment.setenv("DATABASE_URL", wrong.render_as_string(hide_password=False))
        with pytest.raises(UnavailableError, match=cause) as error:
            await start()
        assert SECRET not in str(error.value)


async def test_a_server_that_is_silent(clean_environment):
    """A server that accepts and says nothing is given up in time, which is 5 s or less."""
    assert get_database().policy.connect_timeout <= 5
    await close_database()
    async with silent_server() as port:
        url = f"postgresql://ann:{SECRET}@127.0.0.1:{port}/range"
        clean_environment.setenv("DATABASE_URL", url)
        clean_environment.setenv("FACEPLATE_DB_CONNECT_TIMEOUT", "0.3")

        with pytest.raises(UnavailableError) as error:
            await start()

    assert f"127.0.0.1:{port}/range: " in str(error.value)
    assert "0.3 s" in str(error.value)
    assert SECRET not in str(error.value)


async def start():
    """Start as a process does that has just read its settings."""
    get_settings.cache_clear()
    async with running():
        raise AssertionError("it started")


@asynccontextmanager
async def silent_server():
    async def say_nothing(reader, writer):
        await reader.read()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


# E2


class Unlucky:
    """A unit of work that loses its connection in mid-query, so many times."""

    def __init__(self, times):
        self.times = times
        self.calls = 0

    async def __call__(self, session, email):
        """Store a user, then be cut off."""
        self.calls += 1
        session.add(User(email=email, subject_id=email))
        await session.flush()
        if self.calls <= self.times:
            await session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))


async def stored():
    async with get_session() as session:
        return await session.scalar(select(func.count()).select_from(User))


async def test_a_lost_connection_is_one_more_try_after_a_second():
    """The work is run once more, after 1 s, and what it wrote is there once."""
    work = Unlucky(1)
    began = time.monotonic()
    await get_database().run(work, "ann@example.test")

    assert time.monotonic() - began >= 1
    assert work.calls == 2
    assert await stored() == 1


async def test_lost_again_the_error_is_passed_on(clean_environment):
    """After the second loss the caller gets the error itself, and nothing is stored."""
    clean_environment.setenv("FACEPLATE_DB_RETRY_RECONNECT_DELAY", "0")
    work = Unlucky(9)

    with pytest.raises(DBAPIError) as error:
        await get_database().run(work, "ann@example.test")

    assert error.value.connection_invalidated
    assert work.calls == 2
    assert await stored() == 0


async def test_an_error_of_the_work_itself_is_not_tried_again():
    """What would fail again is passed on at once."""
    calls = 0

    async def fail(session):
        nonlocal calls
        calls += 1
        await session.execute(text("SELECT 1 / 0"))

    with pytest.raises(DBAPIError, match="division by zero"):
        await get_database().run(fail)

    assert calls == 1


SLOW_COMMIT = (
    """CREATE FUNCTION faceplate.dawdle() RETURNS trigger LANGUAGE plpgsql AS
       'BEGIN PERFORM pg_sleep(60); RETURN NULL; END'""",
    """CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON faceplate.users
       DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION faceplate.dawdle()""",
)


async def test_a_commit_that_may_have_reached_the_server_is_not_repeated(on_clone, watch):
    """Cut off while COMMIT runs, the work is not run again: the error says it is unknown."""
    async with Database(on_clone.owner) as owner, owner.begin() as session:
        for statement in SLOW_COMMIT:
            await session.execute(text(statement))
    work = Unlucky(0)
    committing = f"{MINE} AND query LIKE 'COMMIT%' AND state = 'active'"
    running_work = asyncio.create_task(get_database().run(work, "ann@example.test"))
    await until(lambda: watch.scalar(text(committing)))

    await watch.execute(text(f"SELECT pg_terminate_backend(pid) FROM ({MINE}) AS mine"))
    with pytest.raises(CommitUnknownError):
        await running_work

    assert work.calls == 1
    assert await stored() == 0


# E3


async def test_an_exhausted_pool_says_who_holds_it(clean_environment):
    """Nobody gives a connection back: the error names tasks, lines and statements."""
    clean_environment.setenv("FACEPLATE_DB_POOL_MIN_SIZE", "0")
    clean_environment.setenv("FACEPLATE_DB_POOL_MAX_SIZE", "2")
    clean_environment.setenv("FACEPLATE_DB_POOL_TIMEOUT", "0.2")
    held, enough = asyncio.Barrier(3), asyncio.Event()

    async def hold(number):
        async with get_session() as session:
            await session.execute(text(f"SELECT {number} AS held"))
            await held.wait()
            await enough.wait()

    holders = [asyncio.create_task(hold(each), name=f"chat {each}") for each in (1, 2)]
    await held.wait()
    with pytest.raises(PoolExhaustedError) as error:
        await backend()
    enough.set()
    await asyncio.gather(*holders)

    said = str(error.value)
    assert "0.2 s" in said
    for number in (1, 2):
        assert f"chat {number}" in said
        assert f"SELECT {number} AS held" in said
    assert "test_pool.py" in said
    assert await backend()  # and it goes on when one is given back


# E4


async def test_stale_connections_are_replaced_without_an_error(watch):
    """The server has ended every idle connection: the next 20 callers do not notice."""
    async with running() as db:
        await asyncio.gather(*(backend() for _ in range(20)))
        before = await connections(watch)
        await asyncio.sleep(db.policy.pool.ping_after)  # after so much idling they are asked
        await watch.execute(text(f"SELECT pg_terminate_backend(pid) FROM ({MINE}) AS mine"))

        after = await asyncio.gather(*(backend() for _ in range(20)))

    assert len(before) > 5
    assert not before & set(after)


async def test_connections_may_be_asked_each_time(clean_environment, watch):
    """With a threshold of 0 not even one that was ended just now is noticed."""
    clean_environment.setenv("FACEPLATE_DB_POOL_PING_AFTER", "0")
    async with running():
        for _ in range(5):
            before = await asyncio.gather(*(backend() for _ in range(5)))
            await watch.execute(text(f"SELECT pg_terminate_backend(pid) FROM ({MINE}) AS mine"))
            after = await asyncio.gather(*(backend() for _ in range(5)))
            assert not set(before) & set(after)
