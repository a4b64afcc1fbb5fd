"""Errors that people meet: each says what happened, the likely cause, and what to do."""

import asyncio
import socket
import tempfile
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from pathlib import Path

import asyncpg
import pytest
import trustme
from sqlalchemy import ForeignKey, make_url, text
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, MissingGreenlet
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.orm.exc import DetachedInstanceError

from holdfast.database import Database, DatabasePolicy
from holdfast.errors import (
    SessionSharedError,
    TransactionAbortedError,
    UnavailableError,
    WrongLoopError,
)
from holdfast.events import Events
from holdfast.pool import PoolPolicy
from holdfast.retry import RetryPolicy, classify
from holdfast.services import PostgresPolicy, PostgresServer
from holdfast.testing.faults import Faults
from holdfast.urls import parse

SECRET = "sesame-4711"
SOON = DatabasePolicy(connect_timeout=0.5, retry=RetryPolicy(reconnect_delay=0.001))


class Base(DeclarativeBase):
    """A declarative base of the application's own."""


class Author(Base):
    """Has notes."""

    __tablename__ = "authors"

    id: Mapped[int] = mapped_column(primary_key=True)
    notes: Mapped[list["Note"]] = relationship(back_populates="author")


class Note(Base):
    """Has an author."""

    __tablename__ = "texts"

    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[str]
    author_id: Mapped[int] = mapped_column(ForeignKey("authors.id"))
    author: Mapped[Author] = relationship(back_populates="notes")


# A connection that cannot be made


@pytest.fixture(params=["asyncpg", "psycopg"])
def driver(request) -> str:
    """Give the name of each driver in turn."""
    return request.param


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give a folder that every user can enter: servers do not run as root."""
    with tempfile.TemporaryDirectory(prefix="hf-err-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
async def starting(open_folder) -> AsyncIterator[str]:
    """Give the URL of a server that recovers, and lets nobody in meanwhile."""
    policy = PostgresPolicy(settings={"hot_standby": "off"})
    recovering = PostgresServer(open_folder, policy=policy, events=Events(lambda _: None))
    await recovering.start()
    url = recovering.url("app")
    await recovering.stop()
    [version] = await asyncio.to_thread(lambda: list(open_folder.rglob("data/PG_VERSION")))
    version.with_name("standby.signal").touch()
    start = asyncio.create_task(recovering.start())
    while await state_of(url) != "57P03":  # noqa: ASYNC110  -- a server has no event
        await asyncio.sleep(0)  # a missing socket is told without a turn of the loop
    yield url
    start.cancel()
    await asyncio.wait({start})


async def state_of(url: str) -> str | None:
    """Give the SQLSTATE that a connection is refused with."""
    try:
        connection = await asyncpg.connect(url)
    except (OSError, asyncpg.PostgresError) as error:
        return getattr(error, "sqlstate", None)
    await connection.close()
    return None


@contextmanager
def silent() -> Iterator[int]:
    """Listen, and say nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def nowhere(driver: str, host: str = "127.0.0.1", port: int = 1) -> str:
    return f"postgresql+{driver}://ann:{SECRET}@{host}:{port}/shop"


async def fails(url: object, *, attempts: int) -> str:
    """Run work; prove how often it was tried, and give the error's text, which has no secret."""
    calls = []

    async def work(session: AsyncSession) -> None:
        calls.append(session)
        await session.execute(text("SELECT 1"))

    db = Database(url, policy=SOON, events=Events(lambda _: None))
    with pytest.raises(UnavailableError) as caught:
        await db.run(work)
    await db.close()
    assert len(calls) == attempts
    assert (classify(caught.value) is not None) == (attempts == 2)
    assert SECRET not in str(caught.value)
    return str(caught.value)


class TestConnecting:
    """Each is said in one sentence, and tried again only where it may pass by itself."""

    async def test_refused(self, driver):
        """A server that is being restarted refuses for a moment."""
        said = await fails(nowhere(driver), attempts=2)

        assert said.startswith("PostgreSQL at 127.0.0.1:1/shop: ")
        assert said.endswith("refused; nothing listens there: is the server started?")

    async def test_silent(self, driver):
        """What accepts and says nothing may be a firewall or another program."""
        with silent() as port:
            said = await fails(nowhere(driver, port=port), attempts=2)

        assert "no answer within 0.5 s: a firewall, or a wrong address?" in said

    async def test_unknown_host(self, driver):
        """A name may be misspelled, or DNS be away."""
        said = await fails(nowhere(driver, host="nowhere.invalid"), attempts=2)

        assert said.startswith("PostgreSQL at nowhere.invalid:1/shop: ")
        assert "the host name is unknown: is it spelled right, does DNS answer?" in said

    async def test_no_socket(self, driver, tmp_path):
        """A socket that is not there may be there when the server has started."""
        said = await fails(f"postgresql+{driver}:///shop?host={tmp_path}", attempts=2)

        assert str(tmp_path) in said
        assert said.endswith(": there is no socket there: is the server started?")

    async def test_wrong_password(self, driver, guarded):
        """Trying again could lock the role."""
        url = address(guarded, driver, password=SECRET)

        said = await fails(url, attempts=1)

        assert "the password for 'app' was refused" in said
        assert "is it the one of this server?" in said

    async def test_wrong_password_at_the_second_address(self, driver, guarded, monkeypatch):
        """What the one that answers says counts, and not that nothing listens at the first."""

        async def resolve(_host: str, port: str | int, **_: object) -> list[tuple[object, ...]]:
            kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
            return [(*kind, (address, int(port))) for address in ("127.0.0.2", "127.0.0.1")]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
        url = address(guarded, driver, password=SECRET, host="localhost")

        assert "the password for 'app' was refused" in await fails(url, attempts=1)

    async def test_missing_role(self, driver, database_url):
        """Where no password is asked for, the server says that there is no such role."""
        url = parse(database_url).engine.set(drivername=f"postgresql+{driver}", username="nobody-x")

        said = await fails(url, attempts=1)

        assert "'nobody-x' may not log in" in said
        assert "the role is missing or pg_hba.conf refuses it" in said

    async def test_missing_database(self, driver, database_url):
        """It has to be made, or the URL mended."""
        url = parse(database_url).engine.set(drivername=f"postgresql+{driver}", database="nothing")

        said = await fails(url, attempts=1)

        assert "the server has no database 'nothing': create it, or mend the URL" in said

    async def test_too_many_connections(self, driver, guarded):
        """Somebody may give one back in a moment."""
        await as_superuser(guarded, "ALTER ROLE app CONNECTION LIMIT 0")
        try:
            said = await fails(address(guarded, driver), attempts=2)
        finally:
            await as_superuser(guarded, "ALTER ROLE app CONNECTION LIMIT -1")

        assert "no free connection: raise max_connections or lower pools" in said

    async def test_starting_up(self, driver, starting):
        """It answers already, and lets nobody in."""
        said = await fails(with_driver(starting, driver), attempts=2)

        assert "the server is starting or stopping: try again in a moment" in said

    async def test_no_tls(self, driver, guarded):
        """TLS that is asked for and not there is no server that restarts."""
        said = await fails(address(guarded, driver, sslmode="require"), attempts=1)

        assert "the server offers no TLS, and the URL asks for it" in said
        assert "switch TLS on there" in said

    async def test_a_certificate_of_another_host(self, driver, encrypted):
        """It is for `localhost`, and the URL says 127.0.0.1."""
        trust = {"sslmode": "verify-full", "sslrootcert": encrypted.folder / "authority.pem"}

        said = await fails(address(encrypted.server, driver, **trust), attempts=1)

        assert "its certificate is for another host" in said
        assert "use the name that the certificate has" in said

    async def test_an_authority_that_nobody_knows(self, driver, encrypted, tmp_path):
        """The file that would tell has to be named."""
        other = tmp_path / "other.pem"
        trustme.CA().cert_pem.write_to_path(str(other))
        trust = {"sslmode": "verify-full", "sslrootcert": other}

        said = await fails(address(encrypted.server, driver, "localhost", **trust), attempts=1)

        assert "nobody who is trusted here vouches for its certificate" in said
        assert "sslrootcert=" in said


def address(server: PostgresServer, driver: str, host: str = "127.0.0.1", **query: object) -> str:
    """Give the URL of a server, for a driver."""
    url = make_url(server.url("app")).set(drivername=f"postgresql+{driver}", host=host)
    password = {"password": str(query.pop("password"))} if "password" in query else {}
    texts = {name: str(value) for name, value in query.items()}
    return url.set(**password).update_query_dict(texts).render_as_string(hide_password=False)


def with_driver(url: str, driver: str) -> str:
    return url.replace("postgresql://", f"postgresql+{driver}://", 1)


async def as_superuser(server: PostgresServer, sql: str) -> None:
    async with Database(server.url("postgres")) as db, db.engine.begin() as connection:
        await connection.execute(text(sql))


# One session, used as it is not meant to be


@pytest.fixture
async def library(postgres_url) -> AsyncIterator[Database]:
    """Give a database with an author and a note."""
    policy = DatabasePolicy(pool=PoolPolicy(max_size=3))
    async with Database(postgres_url, policy=policy, events=Events(lambda _: None)) as db:
        async with db.engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        async with db.begin() as session:
            session.add(Author(id=1, notes=[Note(id=1, body="first")]))
        yield db
        assert db.engine.pool.checkedout() == 0


@pytest.mark.parametrize("sql", ["EXECUTE missing", "deallocate missing"])
async def test_a_statement_of_ones_own_is_no_sign_of_a_pooler(library, sql):
    """It is the application's, which did not prepare it."""
    with pytest.raises(DBAPIError) as caught:
        async with library.begin() as session:
            await session.execute(text(sql))

    assert "pooler" not in str(getattr(caught.value, "__notes__", ""))


@asynccontextmanager
async def flushing_behind_a_lock(db):
    """Give a plain session and its flush, which the server answers after the block."""
    async with db.begin() as session:
        await session.execute(text("CREATE TABLE texts (id int, body text, author_id int)"))
    session = db.session()
    async with db.session() as locks:
        await locks.execute(text("LOCK TABLE texts"))
        session.add(Note(id=1, body="first", author_id=1))
        yield session, asyncio.create_task(session.flush())


class TestTwoTasks:
    """A session is one transaction; SQLAlchemy has two tasks wait for each other in silence."""

    async def test_statements_at_the_same_time(self, library):
        """The second one fails, and nothing of the block is stored."""

        async def block() -> None:
            async with library.begin() as session:
                await session.execute(text("INSERT INTO authors VALUES (2)"))
                async with asyncio.TaskGroup() as group:
                    group.create_task(session.execute(text("SELECT pg_sleep(0.1)")))
                    group.create_task(session.execute(text("SELECT 1")))

        with pytest.raises(ExceptionGroup) as caught:
            await block()

        [error] = caught.value.exceptions
        self.assert_says(error)
        async with library.read() as session:
            assert await session.get(Author, 2) is None

    async def test_the_first_statements_at_the_same_time(self, library):
        """Neither has a connection yet: SQLAlchemy says so in its own words."""

        async def block() -> None:
            async with library.begin() as session, asyncio.TaskGroup() as group:
                group.create_task(session.execute(text("SELECT 1")))
                group.create_task(session.execute(text("SELECT 1")))

        await library.ping()
        async with library.begin() as one:  # so that the other one has to wait for a connection
            await one.execute(text("SELECT 1"))
            with pytest.raises(ExceptionGroup) as caught:
                await block()

        self.assert_says(caught.value.exceptions[0])

    async def test_a_change_while_another_task_flushes(self, library):
        """A statement of the other one is refused, where its changes would have been lost."""

        async def block() -> None:
            async with library.begin() as session:
                note = await session.get_one(Note, 1)
                note.body = "flushed"
                flushing = asyncio.create_task(session.flush())
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                note.body = "lost"
                try:
                    await session.execute(text("SELECT 1"))
                finally:
                    await flushing

        with pytest.raises(SessionSharedError):
            await block()

    async def test_the_block_ends_while_a_task_goes_on(self, library):
        """What it left behind would be part of the transaction, or not, by chance."""
        left = []

        async def block() -> None:
            async with library.begin() as session:
                await session.execute(text("INSERT INTO authors VALUES (2)"))
                left.append(asyncio.create_task(session.execute(text("SELECT pg_sleep(0.1)"))))
                await asyncio.sleep(0)
                await asyncio.sleep(0)

        with pytest.raises(SessionSharedError) as caught:
            await block()

        self.assert_says(caught.value)
        await asyncio.gather(*left, return_exceptions=True)
        async with library.read() as session:
            assert await session.get(Author, 2) is None

    @pytest.mark.parametrize("way", ["begin", "read", "session"])
    async def test_the_connection_is_as_good_as_new(self, any_url, way):
        """Wherever the block left the other task, the next caller meets nothing of it."""
        one = DatabasePolicy(pool=PoolPolicy(max_size=1), lock_timeout=1)
        async with Database(any_url, policy=one, events=Events(lambda _: None)) as db:
            for rounds in range(12):
                error, left = await leave_in_the_middle(getattr(db, way), rounds)
                assert "This session is" not in str(getattr(error, "__notes__", ""))
                async with db.begin() as session:  # which a transaction left open would refuse
                    assert await session.scalar(text("SELECT 2")) == 2
                await asyncio.gather(left, return_exceptions=True)
                assert db.engine.pool.checkedout() == 0

    async def test_a_plain_session(self, any_url):
        """It says the same, to whoever comes second and to whoever ends it too early."""
        async with Database(any_url) as db:
            ended = db.session()
            with pytest.raises(SessionSharedError) as second:
                async with ended as session:
                    await asyncio.gather(*(session.execute(text("SELECT 1")) for _ in range(2)))
            early = db.session()
            taking = asyncio.create_task(early.execute(text("SELECT 1")))
            await asyncio.sleep(0)
            with pytest.raises(SessionSharedError, match="end the session"):
                await early.close()
            await asyncio.gather(taking, return_exceptions=True)

            assert db.holders() == []
        self.assert_says(second.value)

    @pytest.mark.parametrize(
        ("way", "ending"), [("begin", "flush"), ("session", "flush"), ("session", "commit")]
    )
    async def test_what_a_late_task_flushes_is_not_stored(self, postgres_url, way, ending):
        """It gets its connection when the block has failed, and its objects have been let go of."""
        one = DatabasePolicy(pool=PoolPolicy(max_size=1))
        async with Database(postgres_url, policy=one) as db:
            async with db.begin() as session:
                await session.execute(
                    text("CREATE TABLE texts (id serial, body text, author_id int)")
                )
            async with db.session() as holder:
                await holder.connection()
                late = await leave_while_flushing(getattr(db, way), ending)
            with pytest.raises(SessionSharedError, match="to end the "):
                await late
            assert db.holders() == []
            async with db.read() as session:
                assert (await session.execute(text("SELECT * FROM texts"))).all() == []

    @pytest.mark.parametrize("ending", ["close", "reset", "invalidate"])
    async def test_what_ends_a_plain_session_too_early(self, postgres_url, ending):
        """The task that waits for its connection stores nothing of what was let go of."""
        one = DatabasePolicy(pool=PoolPolicy(max_size=1))
        async with Database(postgres_url, policy=one) as db:
            session = db.session()
            async with db.session() as holder:
                await holder.connection()
                session.add(Note(id=1, body="first", author_id=1))
                flushing = asyncio.create_task(session.flush())
                await asyncio.sleep(0)
                with pytest.raises(SessionSharedError, match="end the session"):
                    await getattr(session, ending)()
            with pytest.raises(SessionSharedError, match="end the block"):
                await flushing
            assert db.holders() == []

    async def test_what_lets_go_of_all_objects_during_a_flush(self, postgres_url):
        """It is refused, while the flush waits for its connection and while it sends."""
        async with Database(postgres_url) as db:
            async with flushing_behind_a_lock(db) as (session, flushing):
                await asyncio.sleep(0)
                with pytest.raises(SessionSharedError, match="to let go of all objects"):
                    session.expunge_all()
                await until_it_waits(db, "relation")
                with pytest.raises(SessionSharedError, match="to let go of all objects"):
                    session.expunge_all()
            await flushing
            await session.commit()
            async with db.read() as reading:
                assert await reading.scalar(text("SELECT body FROM texts")) == "first"
            session.expunge_all()  # one after the other it may be done
            await session.close()

    async def test_a_session_that_is_closed_during_a_flush(self, database_url):
        """Both are told, and its connection is given back."""
        async with Database(database_url) as db:
            async with flushing_behind_a_lock(db) as (session, flushing):
                await until_it_waits(db, "relation")
                with pytest.raises(SessionSharedError, match="end the session"):
                    await session.close()
                with pytest.raises(SessionSharedError, match="end the session"):
                    await flushing
            assert db.holders() == []

    async def test_a_statement_while_another_task_rolls_back(self, database_url):
        """It is told as every other one, whatever asyncpg calls it."""
        async with Database(database_url) as db, db.session() as session:
            connection = await session.connection()
            driver = (await connection.get_raw_connection()).driver_connection
            ending = asyncio.create_task(driver.execute("ROLLBACK AND CHAIN"))
            await asyncio.sleep(0)
            with pytest.raises(SessionSharedError) as caught:
                await session.execute(text("SELECT 1"))
            await ending
        self.assert_says(caught.value)

    @pytest.mark.parametrize("ending", ["close", "reset", "invalidate"])
    async def test_what_ends_a_plain_session_lets_go_of_its_objects(self, postgres_url, ending):
        """That is no other task's affair, also where a flush has been before."""
        async with Database(postgres_url) as db, db.session() as session:
            note = Note(id=1, body="dropped", author_id=1)
            session.add(note)
            await getattr(session, ending)()

            assert note not in session

    @pytest.mark.parametrize("way", ["execute", "stream"])
    async def test_a_session_that_is_closed_during_a_statement(self, database_url, way):
        """Whoever waits for the answer is told the same, and not what asyncpg makes of it.

        psycopg lets whoever closes it wait for the answer.
        """
        async with Database(database_url) as db:
            session = db.session()
            waiting = asyncio.create_task(wait_for_an_answer(session, way))
            await until_it_waits(db, "PgSleep")
            with pytest.raises(SessionSharedError, match="end the session"):
                await session.close()
            with pytest.raises(SessionSharedError) as theirs:
                await waiting
            assert db.holders() == []
        self.assert_says(theirs.value)

    async def test_a_commit_while_another_task_closes(self, postgres_url):
        """There is nothing left to store, and it must not say that it is stored."""
        async with Database(postgres_url) as db:
            session = db.session()
            await session.execute(text("SELECT 1"))
            closing = asyncio.create_task(session.close())
            await asyncio.sleep(0)
            with pytest.raises(SessionSharedError, match="commit"):
                await session.commit()
            await closing
            await session.commit()  # of a session that is used again, and by one task
            assert db.holders() == []

    async def test_a_session_is_used_again_after_it_was_shared(self, postgres_url):
        """What was said once is not said of the next use, which is right."""
        async with Database(postgres_url) as db:
            session = db.session()
            taking = asyncio.create_task(session.execute(text("SELECT 1")))
            await asyncio.sleep(0)
            with pytest.raises(SessionSharedError):
                await session.close()
            with pytest.raises(SessionSharedError):
                await taking
            async with session:
                assert await session.scalar(text("SELECT 2")) == 2

    async def test_who_is_cancelled_stays_cancelled(self, postgres_url):
        """Also when another task has closed the session meanwhile, at whatever moment."""
        async with Database(postgres_url) as db:
            for turns in range(30):
                session = db.session()
                await session.execute(text("SELECT 1"))
                task = asyncio.create_task(session.execute(text("SELECT pg_sleep(0.05)")))
                for _ in range(turns):
                    await asyncio.sleep(0)
                closing = asyncio.create_task(session.close())
                await asyncio.sleep(0)
                is_late = task.done()
                task.cancel()
                await asyncio.gather(closing, return_exceptions=True)
                await asyncio.wait({task})

                assert task.cancelled() or is_late, task

    async def test_a_lost_connection_is_no_other_task(self, database_url):
        """What asyncpg calls an error of its interface, too, when a session is closed then."""
        with Faults(database_url) as faults:
            async with Database(faults.url) as db:
                session = db.session()
                connection = await (await session.connection()).get_raw_connection()
                faults.drop_all()
                async with asyncio.timeout(10):
                    while not connection.driver_connection.is_closed():  # noqa: ASYNC110
                        await asyncio.sleep(0)

                with pytest.raises(InterfaceError, match="closed"):
                    await session.close()
                assert db.holders() == []

    async def test_one_after_the_other(self, library):
        """A child task that is awaited may use it: wait_for() makes one."""
        async with library.begin() as session:
            for _ in range(3):
                await asyncio.wait_for(session.execute(text("SELECT 1")), timeout=10)
                await asyncio.create_task(session.execute(text("SELECT 1")))

    def assert_says(self, error: BaseException) -> None:
        """It tells what happened, why that is wrong, and what to do."""
        assert isinstance(error, SessionSharedError)
        assert "while another one waits for an answer" in str(error)
        assert "a session is one transaction" in str(error)
        assert "Give each task a session of its own" in str(error)


async def until_it_waits(db: Database, what_for: str) -> None:
    """Wait until somebody's statement waits at the server."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event = :what_for"
    )
    async with asyncio.timeout(10), db.read() as session:
        while not await session.scalar(waiting, {"what_for": what_for}):
            pass


async def wait_for_an_answer(session: AsyncSession, way: str) -> None:
    slow = text("SELECT pg_sleep(30) FROM generate_series(1, 2)")
    result = await getattr(session, way)(slow)
    if way == "stream":
        await result.all()


async def leave_while_flushing(
    block: Callable[[], AbstractAsyncContextManager[AsyncSession]], ending: str
) -> asyncio.Task[object]:
    """Leave a block by an error while a task that flushes in it waits for its connection."""
    with suppress(ZeroDivisionError):
        async with block() as session:
            session.add(Note(id=1, body="first", author_id=1))
            late = asyncio.create_task(flush_and_commit(session, ending))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            raise ZeroDivisionError
    return late


async def flush_and_commit(session: AsyncSession, ending: str) -> None:
    await (session.flush() if ending == "flush" else session.commit())
    await session.commit()


async def leave_in_the_middle(
    block: Callable[[], AbstractAsyncContextManager[AsyncSession]], rounds: int
) -> tuple[ZeroDivisionError, asyncio.Task[object]]:
    """Leave a block by an error, a task's first statement having had so many rounds of the loop."""
    error = ZeroDivisionError()
    with suppress(ZeroDivisionError):
        async with block() as session:
            left = asyncio.create_task(session.execute(text("SELECT 1")))
            for _ in range(rounds):
                await asyncio.sleep(0)
            raise error
    return error, left


Read = Callable[[Database], Awaitable[object]]


async def relationship_inside(db: Database) -> object:
    async with db.begin() as session:
        author = await session.get_one(Author, 1)
        return author.notes


async def relationship_of_read(db: Database) -> object:
    async with db.read() as session:
        author = await session.get_one(Author, 1)
        return author.notes


async def many_to_one(db: Database) -> object:
    async with db.session() as session:
        note = await session.get_one(Note, 1)
        await session.commit()  # gives the connection back
        session.expire_all()
        return note.body


async def expired(db: Database) -> object:
    async with db.begin() as session:
        note = await session.get_one(Note, 1)
        session.expire(note)
        return note.body


@pytest.mark.parametrize(
    ("read", "attribute"),
    [
        (relationship_inside, "Author.notes"),
        (relationship_of_read, "Author.notes"),
        (many_to_one, "Note.body"),
        (expired, "Note.body"),
    ],
)
async def test_a_lazy_load(library, read, attribute):
    """The attribute is named with the line that read it, and how to load it."""
    with pytest.raises(MissingGreenlet) as caught:
        await read(library)

    said = str(caught.value)
    line = read.__code__.co_filename
    assert said.startswith(f"{attribute} was read at {line}:")
    assert "is not loaded" in said
    assert f"selectinload({attribute})" in said
    assert f"session.refresh(instance, ['{attribute.partition('.')[2]}'])" in said


@pytest.mark.parametrize("block", ["begin", "read"])
async def test_a_lazy_load_after_the_block(library, block):
    """It is SQLAlchemy's own error; what the block loaded, as the guide says, can be read."""
    async with getattr(library, block)() as session:
        author = await session.get_one(Author, 1)
        loaded = await session.get_one(Note, 1)
        await session.refresh(loaded, ["author"])

    assert loaded.author is author
    with pytest.raises(DetachedInstanceError):
        assert author.notes


async def test_a_statement_outside_of_everything(library):
    """Without an attribute, the line is said, and what it most likely is."""
    async with library.begin() as session:
        await session.execute(text("SELECT 1"))
        with pytest.raises(MissingGreenlet, match=r"at .*test_errors\.py:\d+ a statement was"):
            session.sync_session.execute(text("SELECT 1"))


async def test_another_loop(library):
    """The database is named as the thing that belongs to one loop, and what to make instead."""
    async with library.begin() as session:
        await session.execute(text("SELECT 1"))

    def elsewhere() -> None:
        asyncio.run(library.run(lambda other: other.execute(text("SELECT 1"))))

    with pytest.raises(WrongLoopError) as caught:
        await asyncio.to_thread(elsewhere)

    assert "belong to another event loop" in str(caught.value)
    assert "an asyncio connection works in one loop only" in str(caught.value)
    assert "Make a Database in each loop" in str(caught.value)


# Each fails, and somebody says the value with which it did.
SAYING = {
    "parameters": ("SELECT 1 / 0, :value", SECRET),
    "a duplicate": ("INSERT INTO words VALUES (:value)", "first"),
    "a whole row": ("INSERT INTO words VALUES (:value)", f"{SECRET}-is-too-long"),
    "no number": ("SELECT CAST(CAST(:value AS text) AS int)", f'{SECRET}" and "{SECRET}'),
    "no JSON": ("SELECT CAST(CAST(:value AS text) AS json)", SECRET),
    "no date": ("SELECT CAST(CAST(:value AS text) AS date)", f"{SECRET}\nHINT: {SECRET}"),
    "not for the driver": ("SELECT CAST(:value AS int)", SECRET),
}


async def said_of(url: str, sql: str, value: str, **policy: object) -> str:
    """Give all that a traceback of the error would print."""
    async with Database(url, policy=DatabasePolicy(**policy)) as db:
        async with db.engine.begin() as connection:
            await connection.execute(
                text("CREATE TABLE IF NOT EXISTS words (w text UNIQUE CHECK (length(w) < 15))")
            )
            await connection.execute(text("TRUNCATE words"))
            await connection.execute(text("INSERT INTO words VALUES ('first')"))
        values = [{"value": value}] * (2 if sql.startswith("INSERT") else 1)
        with pytest.raises(DBAPIError) as caught:
            await db.run(lambda session: session.execute(text(sql), values))
    return "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(("sql", "value"), SAYING.values(), ids=SAYING)
async def test_values_are_in_no_text(postgres_url, sql, value):
    """What was bound is in no message of the chain, unless it is asked for."""
    hidden = await said_of(postgres_url, sql, value)
    shown = await said_of(postgres_url, sql, value, show_bound_values_in_errors=True)

    secret = SECRET if SECRET in value else "(first)"
    assert secret not in hidden
    assert "show_bound_values_in_errors" in hidden or "SQL parameters hidden" in hidden
    assert value.partition("\n")[0].partition('"')[0] in shown


async def test_names_stay_where_programs_look(postgres_url):
    """The constraint is told, so that a duplicate can be told from another one."""
    async with Database(postgres_url) as db:
        async with db.engine.begin() as connection:
            await connection.execute(text("CREATE TABLE words (w text CONSTRAINT once UNIQUE)"))
        twice = text("INSERT INTO words VALUES ('a'), ('a')")
        with pytest.raises(IntegrityError, match='constraint "once"') as caught:
            await db.run(lambda session: session.execute(twice))

    origin = caught.value.orig
    driver = getattr(origin, "diag", origin.__cause__)
    assert driver.constraint_name == "once"


async def test_a_lost_connection_that_was_swallowed(library):
    """What happened, and what to do, instead of a session in a half-state."""

    async def work(session: AsyncSession) -> None:
        with pytest.raises(DBAPIError):
            await session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with pytest.raises(TransactionAbortedError) as caught:
        await library.run(work)

    assert "the connection was lost inside the block and the code went on" in str(caught.value)
    assert "let the error out of the block" in str(caught.value)
