"""Each fault, really caused, on each driver: what its error looks like, and what `run()` does.

Code that catches `OperationalError` catches next to nothing of this on asyncpg: what tells is the
SQLSTATE, and whether the connection was lost.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.database import Database
from holdfast.errors import PoolExhaustedError
from holdfast.events import Events
from holdfast.retry import Kind, classify

INSERT = text("INSERT INTO notes VALUES (3, 'third')")
PID = text("SELECT pg_backend_pid()")
RUNNING = (
    "FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'"
    " AND query = 'SELECT pg_sleep(30)'"
)

Do = Callable[[str], Awaitable[list[object]]]
Cause = Callable[[AsyncSession, Do, Database], Awaitable[object]]


def statements(*sql: str) -> Cause:
    """Give a fault that one session can make by itself."""

    async def cause(session: AsyncSession, _outside: Do, _db: Database) -> None:
        for each in sql:
            await session.execute(text(each))

    return cause


async def lose_idle(session: AsyncSession, outside: Do, _db: Database) -> None:
    """End the connection between two statements."""
    pid = await session.scalar(PID)
    await outside(f"SELECT pg_terminate_backend({pid}, 5000)")
    await session.execute(text("SELECT 1"))


async def idle_for_too_long(session: AsyncSession, outside: Do, _db: Database) -> None:
    """Have the server end a transaction in which nothing happens."""
    await session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 10"))
    pid = await session.scalar(PID)
    while await outside(f"SELECT pid FROM pg_stat_activity WHERE pid = {pid}"):
        pass
    driver = (await (await session.connection()).get_raw_connection()).driver_connection
    # asyncpg is told by the loop, and has no event.
    while hasattr(driver, "is_closed") and not driver.is_closed():  # noqa: ASYNC110
        await asyncio.sleep(0)
    await session.execute(text("SELECT 1"))


async def wait_for_a_lock(session: AsyncSession, _outside: Do, db: Database) -> None:
    """Wait for a row that another transaction has changed."""
    await beside_a_change(session, db, "UPDATE notes SET body = 'mine' WHERE id = 1")


async def take_a_lock(session: AsyncSession, _outside: Do, db: Database) -> None:
    """Ask for a row that another transaction has changed, and do not wait."""
    await beside_a_change(session, db, "SELECT * FROM notes WHERE id = 1 FOR UPDATE NOWAIT")


async def beside_a_change(session: AsyncSession, db: Database, sql: str) -> None:
    async with db.session() as other:
        await other.execute(text("UPDATE notes SET body = 'other' WHERE id = 1"))
        await session.execute(text("SET LOCAL lock_timeout = 10"))
        await session.execute(text(sql))


async def deadlock(session: AsyncSession, outside: Do, db: Database) -> None:
    """Wait for a row of a transaction that waits for ours: who waited first is ended."""
    async with db.session() as other:
        await session.execute(text("UPDATE notes SET body = 'mine' WHERE id = 1"))
        await other.execute(text("UPDATE notes SET body = 'other' WHERE id = 2"))
        pid = await session.scalar(PID)
        mine = session.execute(text("UPDATE notes SET body = 'mine too' WHERE id = 2"))
        waiting = asyncio.create_task(mine)
        while not await outside(f"SELECT pid FROM pg_locks WHERE pid = {pid} AND NOT granted"):
            pass
        theirs = other.execute(text("UPDATE notes SET body = 'other too' WHERE id = 1"))
        meanwhile = asyncio.create_task(theirs)
        try:
            await waiting
        finally:
            # Its row is free when the connection of this session is given back or closed.
            meanwhile.cancel()
            with suppress(asyncio.CancelledError):
                await meanwhile


async def write_what_was_overtaken(session: AsyncSession, outside: Do, _db: Database) -> None:
    """Change a row that has changed since the transaction's snapshot."""
    await session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
    await session.execute(text("SELECT * FROM notes"))
    await outside("UPDATE notes SET body = 'newer' WHERE id = 1")
    await session.execute(text("UPDATE notes SET body = 'mine' WHERE id = 1"))


async def skew_writes(session: AsyncSession, _outside: Do, db: Database) -> None:
    """Have two serializable transactions read what the other one writes; COMMIT finds it."""
    serializable = text("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    count = text("SELECT count(*) FROM notes")
    async with db.session() as other:
        for each in (session, other):
            await each.execute(serializable)
            await each.execute(count)
        await other.execute(text("INSERT INTO notes VALUES (4, 'theirs')"))
        await session.execute(text("INSERT INTO notes VALUES (5, 'mine')"))
        await other.commit()


async def go_on_after_an_error(session: AsyncSession, _outside: Do, _db: Database) -> None:
    """Send another statement in a transaction that has failed."""
    with pytest.raises(DBAPIError):
        await session.execute(text("SELECT 1/0"))
    await session.execute(text("SELECT 1"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What causes it, and what its error is, the first of a pair on asyncpg.

    Attributes:
        cause: makes the statement fail, or COMMIT.
        error: the class that SQLAlchemy raises.
        state: the SQLSTATE.
        lost: whether the connection is gone.
        verdict: why it is done again; None where it is not.
    """

    cause: Cause
    error: str | tuple[str, str]
    state: str | tuple[str | None, str | None] | None
    lost: bool = False
    verdict: Kind | None = None

    def expected(self, driver: str) -> tuple[str, str | None, bool]:
        """Give class, SQLSTATE and whether the connection is gone."""
        place = ("asyncpg", "psycopg").index(driver)
        error, state = (
            each[place] if isinstance(each, tuple) else each for each in (self.error, self.state)
        )
        return error, state, self.lost


TERMINATE = "SELECT pg_terminate_backend(pg_backend_pid())"
SLEEP = "SELECT pg_sleep(10)"
FAULTS = {
    "terminated in a query": Fault(
        cause=statements(TERMINATE),
        error=("DBAPIError", "OperationalError"),
        state=("08003", "57P01"),
        lost=True,
        verdict=Kind.LOST,
    ),
    "terminated in a transaction": Fault(
        cause=lose_idle,
        error=("InterfaceError", "OperationalError"),
        state=(None, "57P01"),
        lost=True,
        verdict=Kind.LOST,
    ),
    "idle in a transaction for too long": Fault(
        cause=idle_for_too_long,
        error=("InterfaceError", "InternalError"),
        state=(None, "25P03"),
        lost=True,
        verdict=Kind.LOST,
    ),
    "deadlock": Fault(
        cause=deadlock,
        error=("DBAPIError", "OperationalError"),
        state="40P01",
        verdict=Kind.CONFLICT,
    ),
    "overtaken, in a statement": Fault(
        cause=write_what_was_overtaken,
        error=("DBAPIError", "OperationalError"),
        state="40001",
        verdict=Kind.CONFLICT,
    ),
    "overtaken, at COMMIT": Fault(
        cause=skew_writes,
        error=("DBAPIError", "OperationalError"),
        state="40001",
        verdict=Kind.CONFLICT,
    ),
    "statement_timeout": Fault(
        cause=statements("SET LOCAL statement_timeout = 10", SLEEP),
        error=("DBAPIError", "OperationalError"),
        state="57014",
    ),
    "cancelled by the administrator": Fault(
        cause=statements("SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(10)"),
        error=("DBAPIError", "OperationalError"),
        state="57014",
    ),
    "lock_timeout": Fault(
        cause=wait_for_a_lock, error=("DBAPIError", "OperationalError"), state="55P03"
    ),
    "NOWAIT": Fault(cause=take_a_lock, error=("DBAPIError", "OperationalError"), state="55P03"),
    "unique violation": Fault(
        cause=statements("INSERT INTO notes VALUES (1, 'again')"),
        error="IntegrityError",
        state="23505",
    ),
    "syntax": Fault(cause=statements("SELEC 1"), error="ProgrammingError", state="42601"),
    "failed transaction": Fault(
        cause=go_on_after_an_error, error=("DBAPIError", "InternalError"), state="25P02"
    ),
    "read-only transaction": Fault(
        cause=statements("SET TRANSACTION READ ONLY", "INSERT INTO notes VALUES (3, 'third')"),
        error=("DBAPIError", "InternalError"),
        state="25006",
    ),
}
every_fault = pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)


@every_fault
async def test_what_the_error_looks_like(fault, db, driver, outside):
    """Its class, SQLSTATE and loss are as written above, and the verdict follows from them."""
    with pytest.raises(DBAPIError) as caught:
        await block(db, fault, outside)

    error = caught.value
    seen = type(error).__name__, getattr(error.orig, "sqlstate", None), error.connection_invalidated
    assert seen == fault.expected(driver)
    verdict = classify(error)
    assert (verdict and verdict.kind) is fault.verdict


async def block(db: Database, fault: Fault, outside: Do) -> None:
    async with db.begin() as session:
        await fault.cause(session, outside, db)


@every_fault
async def test_what_run_does(fault, db, outside):
    """Work that meets it once is called again or not, as the verdict says."""
    calls = []

    async def work(session: AsyncSession) -> str:
        calls.append(session)
        if len(calls) == 1:
            await fault.cause(session, outside, db)
        else:
            await session.execute(INSERT)
        return "done"

    if fault.verdict:
        assert await db.run(work) == "done"
        assert len(calls) == 2
        assert await outside("SELECT id FROM notes WHERE id = 3") == [3]
        return
    with pytest.raises(DBAPIError):
        await db.run(work)
    assert len(calls) == 1
    assert await outside("SELECT id FROM notes WHERE id = 3") == []


async def test_ended_while_it_idled_in_the_pool(db, outside):
    """The work is called once more at most; asyncpg knows, and psycopg finds out with BEGIN."""
    calls = []

    async def work(session: AsyncSession) -> None:
        calls.append(session)
        await session.execute(INSERT)

    await outside(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await db.run(work)

    assert len(calls) <= 2
    assert await outside("SELECT id FROM notes WHERE id = 3") == [3]


async def test_no_connection_comes_free(db):
    """A full pool is no lost connection: the work is not called again."""
    calls = []

    async def work(session: AsyncSession) -> None:
        calls.append(session)
        await session.execute(INSERT)

    async with db.session() as one, db.session() as two, db.session() as three:
        for each in (one, two, three):
            await each.execute(text("SELECT 1"))
        with pytest.raises(PoolExhaustedError) as caught:
            await db.run(work)

    assert classify(caught.value) is None
    assert len(calls) == 1


async def test_the_drivers_own_limit(database_url, outside):
    """Asyncpg's is a bare TimeoutError, which the work may have raised: it is not called again."""
    calls = []

    def limit(_dialect: object, _entry: object, _args: object, options: dict[str, object]) -> None:
        options["command_timeout"] = 0.2

    async def work(session: AsyncSession) -> None:
        calls.append(session)
        await session.execute(text("SELECT pg_sleep(30)"))

    async with Database(database_url, events=Events(lambda _: None)) as db:
        await db.engine.dispose()
        event.listen(db.engine.sync_engine, "do_connect", limit)
        with pytest.raises(TimeoutError) as caught:
            await db.run(work)
        async with asyncio.timeout(2):
            while await outside(f"SELECT pid {RUNNING}"):
                pass

    assert type(caught.value) is TimeoutError
    assert classify(caught.value) is None
    assert len(calls) == 1
