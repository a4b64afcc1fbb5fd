"""Faults: each on both drivers, at its statement, with a look at the server from outside."""

import asyncio
import gc
import os
import signal
import socket
import struct
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import psycopg
import pytest
from psycopg.pq import TransactionStatus
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError

from holdfast.database import Database, DatabasePolicy
from holdfast.errors import CommitUnknownError, ConfigurationError, UnavailableError
from holdfast.pool import PoolPolicy
from holdfast.testing.faults import Faults
from holdfast.testing.wire import SYNC, Line, Message, make_execute, make_query

INSERT = "INSERT INTO notes VALUES (1, 'first')"
MANY = DatabasePolicy(pool=PoolPolicy(max_size=50))
EDGES = [0, 1, 16_383, 16_384, 16_385, 65_535, 65_536, 81_920, 5_000_000]
LOST = (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError)


@pytest.fixture
async def look(database_url):
    """Ask the server from outside; gives the first column. There is a table of notes."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("CREATE TABLE notes (id integer PRIMARY KEY, body text)")

    async def ask(sql: str) -> list[object]:
        return [row[0] for row in await connection.fetch(sql)]

    yield ask
    await connection.close()


@pytest.fixture
def faults(database_url, look) -> Iterator[Faults]:
    """Stand in front of the database."""
    with Faults(database_url) as faults:
        yield faults


@pytest.fixture(params=["asyncpg", "psycopg"])
def url(request, faults) -> str:
    """Give the way through the faults, once for each driver."""
    return faults.url.replace("postgresql", f"postgresql+{request.param}", 1)


@pytest.fixture
async def db(faults, url) -> AsyncIterator[Database]:
    """Give a database behind the faults; nothing was seen so far."""
    async with Database(url) as db:
        faults.clear()
        yield db
        faults.heal()


@pytest.fixture
async def direct(faults) -> "AsyncIterator[asyncpg.Connection]":
    """Give a connection of asyncpg's own."""
    connection = await asyncpg.connect(faults.url)
    yield connection
    faults.heal()
    await connection.close()


@pytest.fixture
async def libpq(faults) -> "AsyncIterator[psycopg.AsyncConnection]":
    """Give a connection of psycopg's own."""
    async with await psycopg.AsyncConnection.connect(faults.url) as connection:
        yield connection


ASLEEP = (
    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
)
IDLE_IN_TRANSACTION = (
    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
)


async def insert(db: Database) -> None:
    async with db.begin() as session:
        await session.execute(text(INSERT))


async def error_of(awaited) -> DBAPIError:
    """Give the error that something ends in."""
    with pytest.raises(DBAPIError) as caught:
        await awaited
    return caught.value


async def is_lost(connection) -> None:
    """Prove that a statement ends in a lost connection."""
    with pytest.raises(LOST):
        await connection.execute("SELECT 1")


async def send(libpq: "psycopg.AsyncConnection", *statements: str) -> None:
    """Send all before any is answered."""
    async with libpq.pipeline():
        for sql in statements:
            await libpq.execute(sql)


# fail_next


async def test_a_statement_fails(faults, db, look):
    """SQLAlchemy sees the SQLSTATE; the server never saw the statement, and the next one works."""
    faults.fail_next("40001")

    error = await error_of(insert(db))

    assert error.orig.sqlstate == "40001"
    assert not error.connection_invalidated
    assert await look("SELECT id FROM notes") == []
    await insert(db)
    assert await look("SELECT id FROM notes") == [1]
    assert faults.transactions == ["BEGIN", "ROLLBACK", "BEGIN", "COMMIT"]
    assert faults.connections == 0


async def test_a_statement_outside_of_a_transaction_fails(faults, db):
    """It is by itself, so that nothing has to be rolled back."""
    faults.fail_next("57014")

    async with db.read() as session:
        error = await error_of(session.scalar(text("SELECT 1")))
        assert await session.scalar(text("SELECT 2")) == 2

    assert error.orig.sqlstate == "57014"


async def test_a_commit_fails(faults, db, look):
    """Nothing is stored, and the connection is good for the next transaction."""
    faults.fail_next("40001", at="COMMIT")

    assert (await error_of(insert(db))).orig.sqlstate == "40001"
    assert await look("SELECT id FROM notes") == []
    assert await look(IDLE_IN_TRANSACTION) == []
    await insert(db)
    assert faults.connections == 0


async def test_a_server_that_says_good_bye(faults, db):
    """With such an SQLSTATE the connection ends, and the next one works."""
    faults.fail_next("57P01")

    assert (await error_of(insert(db))).connection_invalidated
    await insert(db)
    assert faults.connections == 1


async def test_the_words_of_a_good_bye_arrive(faults, direct):
    """The client reads them before it finds the connection closed, which asyncpg makes one."""
    faults.fail_next("57P01", message="that is all")

    with pytest.raises(asyncpg.PostgresConnectionError, match="that is all"):
        await direct.execute("SELECT 1")


async def test_a_transaction_is_failed(faults, direct, look):
    """The server's own is, until a savepoint or the whole is rolled back."""
    await direct.execute("BEGIN; SAVEPOINT before")
    faults.fail_next("23505")

    with pytest.raises(asyncpg.UniqueViolationError):
        await direct.execute(INSERT)
    with pytest.raises(asyncpg.InFailedSQLTransactionError):
        await direct.execute(INSERT)
    await direct.execute("ROLLBACK TO before")
    await direct.execute(INSERT)
    await direct.execute("COMMIT")

    assert await look("SELECT id FROM notes") == [1]


async def test_what_was_prepared_fails_at_its_next_use(faults, direct):
    """Only Bind and Execute are sent then; the statement is good for the use after."""
    prepared = await direct.prepare("SELECT $1::integer")
    assert await prepared.fetchval(1) == 1
    faults.fail_next("40P01", at="SELECT $1")

    with pytest.raises(asyncpg.DeadlockDetectedError):
        await prepared.fetchval(2)

    assert await prepared.fetchval(3) == 3
    assert faults.statements == ["SELECT $1::integer"] * 3


@pytest.mark.parametrize("prepare", [False, True])
async def test_psycopg_with_values_fails(faults, libpq, prepare):
    """Its Parse, Bind and Execute come at once."""
    for number in range(3):
        faults.fail_next("40001")
        with pytest.raises(psycopg.errors.SerializationFailure):
            await libpq.execute("SELECT %s", [number], prepare=prepare)
        assert libpq.info.transaction_status == TransactionStatus.INERROR
        await libpq.rollback()
        found = await (await libpq.execute("SELECT %s", [number], prepare=prepare)).fetchone()
        assert found == (number,)


async def test_a_pipeline_fails_from_there_on(faults, libpq, look):
    """What follows is skipped, as the server does it."""
    faults.fail_next("40001", after=1)

    with pytest.raises(psycopg.errors.SerializationFailure):
        await send(libpq, *(f"INSERT INTO notes VALUES ({number})" for number in range(3)))

    assert libpq.info.transaction_status == TransactionStatus.INERROR
    await libpq.rollback()
    assert await look("SELECT id FROM notes") == []


async def test_a_commit_in_a_pipeline_fails(faults, libpq, look):
    """The transaction is over, for the client and on the server, whatever was sent behind."""
    faults.fail_next("40001", at="commit")

    with pytest.raises(psycopg.errors.SerializationFailure):
        await send(libpq, INSERT, "COMMIT")

    assert libpq.info.transaction_status == TransactionStatus.IDLE
    assert await look("SELECT id FROM notes") == []


async def test_a_prepared_commit_fails(faults, direct, look):
    """In the extended protocol a COMMIT that fails ends the transaction, too."""
    await direct.execute("BEGIN")
    await direct.execute(INSERT)
    faults.fail_next("40001", at="COMMIT")

    with pytest.raises(asyncpg.SerializationError):
        await direct.fetch("COMMIT")

    assert not direct.is_in_transaction()
    assert await direct.fetchval("SELECT count(*) FROM notes") == 0


async def test_a_commit_that_was_skipped_ends_nothing(faults, libpq):
    """The server did not come to it, so its transaction is still there, failed."""
    faults.fail_next("40001", at="COMMIT")

    with pytest.raises(psycopg.errors.DivisionByZero):
        await send(libpq, "SELECT 1 / 0", "COMMIT")

    assert libpq.info.transaction_status == TransactionStatus.INERROR
    await libpq.rollback()
    await libpq.execute("SELECT 1")


async def test_faults_wait_for_their_statements(faults, direct):
    """Each for its words or its number, and of two for the same one the first comes first."""
    faults.fail_next("40001", after=2)
    faults.fail_next("23505", at="INSERT INTO notes")
    faults.fail_next("23503", at="insert", message="no such parent")
    await direct.execute("SELECT 1")

    with pytest.raises(asyncpg.UniqueViolationError):
        await direct.execute("-- of the shop\n /* and */ insert  into notes VALUES (1)")
    with pytest.raises(asyncpg.SerializationError):
        await direct.execute("SELECT 1")
    await direct.execute("SELECT 'insert'")
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="no such parent"):
        await direct.execute("INSERT INTO others VALUES (1)")


async def test_a_fault_as_often_as_asked_for(faults, direct):
    """Two attempts fail and the third works."""
    faults.fail_next("40001", times=2)

    for _ in range(2):
        with pytest.raises(asyncpg.SerializationError):
            await direct.execute("SELECT 1")
    await direct.execute("SELECT 1")


async def test_transactions_and_empty_statements_are_not_counted(faults, direct):
    """A ping, a BEGIN, a SAVEPOINT are nobody's next statement."""
    faults.fail_next("40001")

    for sql in (";", "", "BEGIN", "SAVEPOINT a", "ROLLBACK TO a", "RELEASE a", "END"):
        await direct.fetch(sql)
    with pytest.raises(asyncpg.SerializationError):
        await direct.execute("SELECT 1")

    words = ["BEGIN", "SAVEPOINT", "ROLLBACK", "RELEASE", "END"]
    assert (faults.statements, faults.transactions) == (["SELECT 1"], words)


async def test_an_error_of_the_server_s_own_stays(faults, direct):
    """Only what was asked for is put in its place."""
    faults.fail_next("40001", at="DELETE")

    with pytest.raises(asyncpg.UndefinedTableError, match="nothing"):
        await direct.execute("SELECT * FROM nothing")
    with pytest.raises(asyncpg.SerializationError):
        await direct.execute("DELETE FROM notes")


# drop_connection, cut_commit, drop_all


async def test_a_statement_that_does_not_arrive(faults, db, look):
    """When the client sees its connection gone, the server has rolled back."""
    faults.drop_connection(after=1)

    async def work() -> None:
        async with db.begin() as session:
            await session.execute(text(INSERT))
            await session.execute(text("SELECT 1"))

    assert (await error_of(work())).connection_invalidated
    assert await look("SELECT id FROM notes") == []
    assert await look(IDLE_IN_TRANSACTION) == []
    await insert(db)


async def test_the_client_hears_of_it_when_the_server_is_done(faults, direct, look):
    """A server that takes its time to roll back is waited for."""
    pid = await direct.fetchval("SELECT pg_backend_pid()")
    await direct.execute("BEGIN")
    await direct.execute(INSERT)
    faults.drop_connection()
    os.kill(pid, signal.SIGSTOP)
    try:
        asked = asyncio.create_task(direct.execute("SELECT 1"))
        assert await asyncio.wait([asked], timeout=0.2) == (set(), {asked})
    finally:
        os.kill(pid, signal.SIGCONT)

    with pytest.raises(LOST):
        await asked
    assert await look(f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid}") == []


async def test_a_statement_whose_answer_is_lost(faults, db, look):
    """The server has done it."""
    faults.drop_connection(at="INSERT", reached=True)

    async with db.engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        error = await error_of(connection.execute(text(INSERT)))

    assert error.connection_invalidated
    assert await look("SELECT id FROM notes") == [1]


async def test_a_commit_that_is_done_and_not_answered(faults, db, look):
    """The client loses its connection, and the row is there."""
    faults.cut_commit()

    with pytest.raises(CommitUnknownError):
        await insert(db)
    assert await look("SELECT id FROM notes") == [1]


async def test_a_commit_that_does_not_arrive(faults, db, look):
    """The client sees the same, and there is no row."""
    faults.cut_commit(reached=False)

    with pytest.raises(CommitUnknownError):
        await insert(db)
    assert await look("SELECT id FROM notes") == []


async def test_the_second_commit_is_cut(faults, db, look):
    """The first one passes."""
    faults.cut_commit(after=1)
    await insert(db)

    async def work() -> None:
        async with db.begin() as session:
            await session.execute(text("INSERT INTO notes VALUES (2)"))

    with pytest.raises(CommitUnknownError):
        await work()
    assert await look("SELECT id FROM notes ORDER BY id") == [1, 2]


async def test_an_end_is_a_commit(faults, direct, look):
    """And in the extended protocol it is done, too, before the connection is cut."""
    faults.cut_commit()
    await direct.execute("BEGIN")
    await direct.execute(INSERT)

    with pytest.raises(LOST):
        await direct.fetch("END")

    assert await look("SELECT id FROM notes") == [1]


async def test_a_cut_in_a_pipeline(faults, libpq, look):
    """What came before in the same pipeline is done with it."""
    faults.cut_commit()

    with pytest.raises(psycopg.OperationalError):
        await send(libpq, INSERT, "COMMIT")

    assert await look("SELECT id FROM notes") == [1]


async def test_an_answer_that_is_waited_for_without_sync(faults, libpq, look):
    """A client that asks for it in the middle of a pipeline loses it, and the server is done."""
    await libpq.set_autocommit(True)
    faults.drop_connection(reached=True)

    async def ask() -> None:
        async with libpq.pipeline():
            await (await libpq.execute("INSERT INTO notes VALUES (1) RETURNING id")).fetchone()

    with pytest.raises(psycopg.OperationalError):
        await ask()

    assert await look("SELECT id FROM notes") == [1]


async def test_all_connections_are_cut(faults, url, look):
    """Idle ones, one in a transaction, one at work; what they held is free."""
    async with Database(url, policy=MANY) as db, db.session() as session:
        await session.execute(text(INSERT))
        async with db.session() as other:
            asked = asyncio.create_task(other.execute(text("SELECT pg_sleep(600)")))
            while not await look(ASLEEP):
                pass
            faults.drop_all()

            assert (await error_of(asked)).connection_invalidated
        assert (await error_of(session.execute(text("SELECT 1")))).connection_invalidated
        assert await look("SELECT mode FROM pg_locks WHERE relation = 'notes'::regclass") == []
        await look(ASLEEP.replace("1", "pg_terminate_backend(pid)", 1))


# pause_server, refuse


async def test_a_paused_server(faults, db):
    """Nothing is answered, on open and on new connections, until it goes on."""
    with faults.pause_server():
        asked = [asyncio.create_task(insert(db)), asyncio.create_task(db.ping())]
        done, _ = await asyncio.wait(asked, timeout=0.1)
        assert done == set()

    await asyncio.gather(*asked)


async def test_a_pause_without_a_block(faults, direct):
    """It ends with heal()."""
    faults.pause_server()
    asked = asyncio.create_task(direct.fetchval("SELECT 1"))
    assert await asyncio.wait([asked], timeout=0.1) == (set(), {asked})

    faults.heal()

    assert await asked == 1


async def test_a_server_that_refuses(faults, url, direct):
    """Nothing listens for new connections, the open ones go on, and then all is well again."""
    faults.refuse()

    with pytest.raises(UnavailableError, match="refused"):
        await Database(url).open()
    assert await direct.fetchval("SELECT 1") == 1
    faults.heal()
    async with Database(url) as db:
        await db.ping()


async def test_a_server_that_lets_nobody_in(faults, url):
    """New connections are answered with the error of the server."""
    faults.refuse("53300")

    with pytest.raises(UnavailableError):
        await Database(url).open()
    with pytest.raises(asyncpg.TooManyConnectionsError):
        await asyncpg.connect(faults.url)
    faults.refuse("53300", message="sorry, too many clients already")
    with pytest.raises(asyncpg.TooManyConnectionsError, match="sorry, too many clients"):
        await asyncpg.connect(faults.url)
    faults.heal()
    async with Database(url) as db:
        await db.ping()


# What passes


async def test_a_cancelled_statement_ends_on_the_server(faults, direct):
    """The request for that comes on a connection of its own."""
    with pytest.raises(asyncio.TimeoutError):
        await direct.fetchval("SELECT pg_sleep(600)", timeout=0.1)

    assert await direct.fetchval("SELECT 1") == 1
    assert faults.cancels == 1


async def test_libpq_s_cancel_passes(faults, libpq, look):
    """Which waits until the server has hung up on it."""
    asked = asyncio.create_task(libpq.execute("SELECT pg_sleep(600)"))
    while not await look(ASLEEP):
        pass
    await libpq.cancel_safe()

    with pytest.raises(psycopg.errors.QueryCanceled):
        await asked


async def test_fifty_at_once(faults, url):
    """Each has its own answers."""
    async with Database(url, policy=MANY) as db:

        async def ask(number: int) -> int:
            async with db.read() as session:
                await session.execute(text("SELECT pg_sleep(0.2)"))
                return await session.scalar(
                    text("SELECT CAST(:number AS integer)"), {"number": number}
                )

        assert await asyncio.gather(*map(ask, range(50))) == [*range(50)]
    assert faults.connections == 50


@pytest.mark.parametrize("size", EDGES)
async def test_long_values(faults, direct, libpq, size):
    """In statements, in parameters and in answers, whatever pieces they come in."""
    value = "x" * size

    assert await direct.fetchval("SELECT $1::text || 'y'", value) == value + "y"
    found = await (await libpq.execute(f"SELECT '{value}'")).fetchone()
    assert found == (value,)
    faults.fail_next("40001", at="SELECT")
    with pytest.raises(psycopg.errors.SerializationFailure):
        await libpq.execute(f"SELECT '{value}'")
    await libpq.rollback()
    assert await direct.fetchval("SELECT 1") == 1


async def test_copy_with_asyncpg(faults, direct, look):
    """Rows go in and come out, and a fault stops them."""
    rows = [(number, "x" * 100) for number in range(10_000)]
    await direct.copy_records_to_table("notes", records=rows)
    seen: list[bytes] = []

    async def take(data: bytes) -> None:
        seen.append(data)

    await direct.copy_from_query("SELECT * FROM notes", output=take)

    assert b"".join(seen).count(b"\n") == 10_000
    faults.cut_commit(reached=False)
    await direct.execute("BEGIN; DELETE FROM notes")
    await direct.copy_records_to_table("notes", records=rows[:1])
    with pytest.raises(LOST):
        await direct.execute("COMMIT")
    assert await look("SELECT count(*) FROM notes") == [10_000]


async def test_copy_with_psycopg(faults, libpq, look):
    """Rows go in and come out, and a later cut is at its COMMIT."""
    async with libpq.cursor() as cursor:
        async with cursor.copy("COPY notes FROM STDIN") as copy:
            for number in range(1000):
                await copy.write_row((number, "x"))
        async with cursor.copy("COPY notes TO STDOUT") as copy:
            assert len([row async for row in copy.rows()]) == 1000
    faults.cut_commit()

    with pytest.raises(psycopg.OperationalError):
        await libpq.commit()

    assert await look("SELECT count(*) FROM notes") == [1000]


@pytest.mark.parametrize("reached", [True, False])
async def test_copy_is_cut(faults, direct, look, reached):
    """At its first word, or when all rows have arrived."""
    faults.drop_connection(at="COPY", reached=reached)

    with pytest.raises(LOST):
        await direct.copy_records_to_table("notes", records=[(1, "first")])

    assert await look("SELECT id FROM notes") == [1] * reached


async def test_two_in_a_row(faults, url):
    """Behind one there may be another: it speaks TCP to its server as well."""
    with Faults(url) as second:
        async with Database(second.url) as db:
            second.fail_next("40001")
            async with db.read() as session:
                assert (await error_of(session.execute(text("SELECT 1")))).orig.sqlstate == "40001"
        assert faults.connections == second.connections > 0


async def test_a_server_that_is_away():
    """The client is told which one it was."""
    away = pytest.raises(asyncpg.PostgresConnectionError, match=r"the server behind: .*failed")
    with Faults("postgresql://ann@127.0.0.1:1/shop") as faults, away:
        await asyncpg.connect(faults.url)


def test_without_a_loop(faults):
    """It has its own, so that code may block; and it counts."""
    with psycopg.connect(faults.url) as connection:
        faults.clear()
        assert connection.execute("SELECT 1").fetchone() == (1,)
        faults.fail_next("40001")
        with pytest.raises(psycopg.errors.SerializationFailure):
            connection.execute("SELECT 2")

    assert (faults.statements, faults.transactions) == (
        ["SELECT 1", "SELECT 2"],
        ["BEGIN", "COMMIT"],  # to which the server says ROLLBACK
    )
    assert faults.round_trips == 4


# Messages that no driver sends in this order, but may


@pytest.fixture
async def raw(faults, database_url) -> AsyncIterator[Line]:
    """Give a connection that speaks the protocol itself."""
    url = make_url(faults.url)
    line = Line(*await asyncio.open_connection(url.host, url.port))
    who = f"user\0{url.username}\0database\0{url.database}\0\0".encode()
    await line.write(struct.pack("!II", len(who) + 8, 3 << 16) + who)
    await answers(line)
    yield line
    await line.close()


async def answers(line: Line, until: bytes = b"Z") -> list[bytes]:
    """Give the letters of what comes, up to one of them."""
    letters: list[bytes] = []
    async with asyncio.timeout(10):
        while letters[-1:] != [until]:
            letters.append((await line.read()).kind)
    return letters


def extended(sql: str) -> bytes:
    parse = Message(b"P", f"\0{sql}\0\0\0".encode())
    bind = Message(b"B", bytes(8))
    return b"".join(map(bytes, (parse, bind, make_execute(""), SYNC)))


async def test_a_sync_ahead_of_copy_s_rows(faults, raw, look):
    """The server ignores it, so it is not waited for either."""
    await raw.write(extended("COPY notes FROM STDIN"))
    await answers(raw, b"G")
    rows = Message(b"d", b"1\tfirst\n")
    await raw.write(b"".join(map(bytes, (rows, Message(b"c", b""), SYNC))))
    assert await answers(raw) == [b"C", b"Z"]
    faults.cut_commit()
    for sql in ("BEGIN", "INSERT INTO notes VALUES (2)"):
        await raw.write(bytes(make_query(sql)))
        await answers(raw)

    await raw.write(bytes(make_query("COMMIT")))
    with pytest.raises(asyncio.IncompleteReadError):
        await answers(raw)

    assert await look("SELECT id FROM notes ORDER BY id") == [1, 2]


@pytest.mark.parametrize("commit", [extended("COMMIT"), bytes(make_query("COMMIT"))])
async def test_what_is_sent_behind_a_commit_that_fails(faults, raw, look, commit):
    """It is done after the transaction has ended, by itself."""
    await raw.write(bytes(make_query("BEGIN")))
    await answers(raw)
    faults.fail_next("40001", at="COMMIT")

    await raw.write(bytes(make_query(INSERT)) + commit + bytes(make_query(INSERT)))

    assert (await answers(raw))[-2:] == [b"C", b"Z"]
    assert (await answers(raw))[-2:] == [b"E", b"Z"]
    assert (await answers(raw))[-2:] == [b"C", b"Z"]
    assert await look("SELECT id FROM notes") == [1]


# Its own life


def sockets() -> int:
    gc.collect()
    return sum("socket" in os.path.realpath(each) for each in Path("/proc/self/fd").iterdir())


async def test_nothing_is_left_of_it(database_url):
    """Neither a thread nor a socket, whatever was going on; and it can be closed twice."""
    threads, before = threading.active_count(), sockets()
    faults = Faults(database_url)
    faults.open()
    connections = [await asyncpg.connect(faults.url) for _ in range(3)]
    asked = asyncio.create_task(connections[0].execute("SELECT pg_sleep(600)"))
    await asyncio.sleep(0)
    faults.pause_server()
    waiting = asyncio.create_task(asyncpg.connect(faults.url))
    await asyncio.sleep(0)
    faults.refuse()

    faults.close()
    faults.close()

    for each in (asked, waiting):
        with pytest.raises(LOST):
            await each
    for connection in connections:
        await is_lost(connection)
    assert (threading.active_count(), sockets()) == (threads, before)


async def test_it_can_be_opened_again(database_url):
    """Anew, on another port, having seen nothing."""
    async with Faults(database_url) as faults:
        await (await asyncpg.connect(faults.url)).close()
    async with faults:
        assert faults.connections == 0
        await (await asyncpg.connect(faults.url)).close()


def test_a_fault_that_nobody_met(database_url):
    """The block ends in an error that names it, unless it already ends in one."""
    faults = Faults(database_url)

    def arm(*errors: Exception) -> None:
        with faults:
            faults.fail_next("40001", at="COMMIT")
            for each in errors:
                raise each

    with pytest.raises(AssertionError, match=r"never happened: fail_next\('40001', at='COMMIT'\);"):
        arm()
    with pytest.raises(KeyError):
        arm(KeyError())


BAD = [
    (lambda faults: faults.fail_next("4000"), "'4000' is not the SQLSTATE"),
    (lambda faults: faults.fail_next("40p01"), "capital letters"),
    (lambda faults: faults.fail_next("00000"), "does not begin with 00"),
    (lambda faults: faults.fail_next("40001", times=0), "`times` is 0"),
    (lambda faults: faults.fail_next("40001", at=" "), "`at` is empty"),
    (lambda faults: faults.cut_commit(after=-1), "`after` is -1"),
    (lambda faults: faults.refuse("5330"), "'5330' is not the SQLSTATE"),
    (lambda faults: faults.refuse(message="full"), "`message` is that of an SQLSTATE"),
]


@pytest.mark.parametrize(("call", "problem"), BAD)
def test_what_cannot_be_armed(database_url, call, problem):
    """It is refused at once, and nothing is armed."""
    with Faults(database_url) as faults:
        with pytest.raises(ConfigurationError, match=problem):
            call(faults)
        assert faults.unused == []


@pytest.mark.parametrize(
    ("url", "problem"),
    [("sqlite:///shop.db", "no server"),
     ("postgresql://a:1,b:2/shop", "several|cannot be read"),
     ("postgresql:///shop?host=a&host=b", "several"),
     ("postgresql://a/shop?ssl=require", "without TLS"),
     ("postgresql+psycopg://a/shop?sslmode=verify-full", "without TLS"),
     ("mysql://a/shop", "scheme")],
)  # fmt: skip
def test_a_url_that_has_no_front(url, problem):
    """It is refused before anything listens."""
    with pytest.raises(ConfigurationError, match=problem):
        Faults(url)


def test_it_must_be_open(database_url):
    """Whatever is asked of it before is an error that says so."""
    faults = Faults(database_url)

    for ask in (faults.heal, faults.cut_commit, lambda: faults.url):
        with pytest.raises(ConfigurationError, match="not open"):
            ask()
    assert faults.unused == []


def test_its_url_is_the_given_one_but_for_the_way():
    """Driver, role, password and database stay."""
    with Faults("postgresql+psycopg://ann:s%40cret@db:5432/shop?sslmode=prefer") as faults:
        port = faults.url.rpartition(":")[2].partition("/")[0]
        assert faults.url == f"postgresql+psycopg://ann:s%40cret@127.0.0.1:{port}/shop"


async def test_an_answer_of_several_messages_is_not_held_back(faults, direct):
    """TCP would keep the next one for 40 ms, in each round trip."""
    [conversation] = faults._running._conversations
    sock = conversation._client._writer.get_extra_info("socket")

    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
