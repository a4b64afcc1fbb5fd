"""Nobody inside a block ends the block's transaction."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import IntegrityError, InvalidRequestError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from holdfast.database import Database, DatabasePolicy
from holdfast.errors import SessionSharedError, TransactionAbortedError, TransactionOwnedError
from holdfast.pool import PoolPolicy

INSERT = text("INSERT INTO notes VALUES (1, 'first')")
BODIES = "SELECT body FROM notes"
METHODS = ["commit", "rollback", "close", "reset", "invalidate", "begin"]
ENDINGS = [
    "COMMIT",
    "rollback",
    " /* done */ End;",
    "/* all /* is */ said */ COMMIT",
    "ABORT",
    "ROLLBACK AND CHAIN",
    "ROLLBACK WORK",
    "SELECT 1; END",
    "SELECT 1 AS a$$; COMMIT; SELECT 1 AS b$$",
    "SELECT 1 -- said\r; COMMIT",
    "CREATE TEMP TABLE other (id int); END",
]

Act = Callable[[AsyncSession], Awaitable[object]]


async def insert(session: AsyncSession) -> None:
    await session.execute(INSERT)


async def block(db: Database, *acts: Act) -> None:
    async with db.begin() as session:
        await session.execute(INSERT)
        await in_turn(session, *acts)


async def in_turn(session: AsyncSession, *acts: Act) -> None:
    for act in acts:
        await act(session)


async def swallowed(session: AsyncSession, act: Act) -> None:
    with pytest.raises(TransactionOwnedError):
        await act(session)


def call(method: str) -> Act:
    return lambda session: getattr(session, method)()


def call_below(method: str) -> Act:
    return lambda session: session.run_sync(lambda sync: getattr(sync, method)())


def execute(sql: str) -> Act:
    return lambda session: session.execute(text(sql))


def execute_on_connection(sql: str) -> Act:
    async def act(session: AsyncSession) -> None:
        await (await session.connection()).exec_driver_sql(sql)

    return act


def call_on_connection(method: str) -> Act:
    async def act(session: AsyncSession) -> None:
        await getattr(await session.connection(), method)()

    return act


def call_on_driver(method: str, *args: str) -> Act:
    async def act(session: AsyncSession) -> None:
        raw = await (await session.connection()).get_raw_connection()
        await getattr(raw.driver_connection, method)(*args)

    return act


def call_below_connection(method: str) -> Act:
    def act(session: Session) -> None:
        getattr(session.connection().connection, method)()

    return lambda session: session.run_sync(act)


def call_on_transaction(method: str) -> Act:
    return lambda session: getattr(session.get_transaction(), method)()


async def test_a_session_of_begin_refuses_every_way_to_end_it(any_db, look):
    """The error names the call, and what the block wrote before is not stored."""
    for method in METHODS:
        with pytest.raises(TransactionOwnedError, match=rf"session\.{method}\(\) inside begin\(\)"):
            await block(any_db, call(method))

    assert await look(BODIES) == []


async def test_the_sync_session_below_refuses_too(any_db, look):
    """So does the session that run_sync() hands out."""
    for method in METHODS:
        with pytest.raises(TransactionOwnedError, match=rf"session\.{method}\(\)"):
            await block(any_db, call_below(method))

    assert await look(BODIES) == []


async def test_run_and_read_refuse_too(any_db):
    """Every block owns its transaction."""
    for method in METHODS:
        with pytest.raises(TransactionOwnedError, match=r"inside begin\(\)"):
            await any_db.run(call(method))
        with pytest.raises(TransactionOwnedError, match=r"inside read\(\)"):
            async with any_db.read() as session:
                await call(method)(session)


async def test_going_on_after_the_refusal_loses_nothing(any_db, look):
    """The refused call did nothing, so the block can still commit."""
    await block(any_db, lambda session: swallowed(session, call("commit")))

    assert await look(BODIES) == ["first"]


async def test_leaving_the_session_inside_is_refused(any_db, look):
    """`async with session:` would close it at its end."""

    async def leave(session):
        async with session:
            pass

    with pytest.raises(TransactionOwnedError, match="close"):
        await block(any_db, leave)

    assert await look(BODIES) == []


@pytest.mark.parametrize("act", [call_on_connection("commit"), call_on_transaction("commit")])
async def test_a_commit_behind_the_session_stores_nothing(any_db, look, act):
    """It is refused before it is sent: what it stored could not be taken back."""
    with pytest.raises(TransactionOwnedError, match="a commit of the connection or transaction"):
        await block(any_db, act)
    with pytest.raises((TransactionOwnedError, TransactionAbortedError)):
        await block(any_db, lambda session: swallowed(session, act))

    assert await look(BODIES) == []


@pytest.mark.filterwarnings("ignore:transaction already deassociated")
@pytest.mark.parametrize("act", [call_on_connection("rollback"), call_on_transaction("rollback")])
async def test_a_rollback_behind_the_session_is_found(any_db, look, act):
    """The block reports neither what is gone nor what came after it as stored."""
    with pytest.raises(TransactionOwnedError, match="was ended inside it"):
        await block(any_db, act)
    with pytest.raises(TransactionOwnedError, match="was ended inside it"):
        await block(any_db, act, execute("INSERT INTO notes VALUES (2, 'second')"))

    assert await look(BODIES) == []


@pytest.mark.filterwarnings("ignore:transaction already deassociated")
@pytest.mark.parametrize("method", ["rollback", "commit"])
async def test_a_transaction_ended_below_the_connection_is_found(any_db, method):
    """The DBAPI's own methods cannot be refused, but the block does not report success."""
    ends = call_below_connection(method)
    second = execute("INSERT INTO notes VALUES (2, 'second')")

    for acts in ([ends], [ends, second]):
        with pytest.raises((TransactionOwnedError, TransactionAbortedError)):
            await block(any_db, *acts)
        async with any_db.begin() as session:
            await session.execute(text("DELETE FROM notes"))


@pytest.mark.parametrize("any_url", ["asyncpg", "sqlite"], indirect=True)
async def test_sql_given_to_the_driver_that_ends_the_transaction_is_found(any_db):
    """Nothing sees such a statement before it is sent; the block fails at its end."""
    with pytest.raises(TransactionOwnedError, match="was ended inside it"):
        await block(any_db, call_on_driver("execute", "ROLLBACK"))


async def test_what_the_driver_does_first_is_part_of_the_block(any_db, look):
    """A driver's own call (COPY, a bulk load) before any statement is rolled back with it."""
    insert = "INSERT INTO notes VALUES (1, 'by the driver')"
    load = call_on_driver("execute", insert)

    with pytest.raises(IntegrityError):
        await any_db.run(lambda session: in_turn(session, load, execute(insert)))
    assert await look(BODIES) == []
    async with any_db.session() as session:
        await load(session)
    assert await look(BODIES) == []

    await any_db.run(load)
    assert await look(BODIES) == ["by the driver"]


async def test_a_transaction_of_the_drivers_is_inside_the_block(postgres_url, look):
    """What would be the outermost transaction, if the block had not begun, is a savepoint."""

    async def nested(session: AsyncSession) -> None:
        driver = (await (await session.connection()).get_raw_connection()).driver_connection
        async with driver.transaction():
            await driver.execute("INSERT INTO notes VALUES (1, 'by the driver')")

    async with Database(postgres_url) as db:
        await db.run(execute("CREATE TABLE notes (id int PRIMARY KEY, body text)"))
        with pytest.raises(ProgrammingError):
            await db.run(lambda session: in_turn(session, nested, execute("SELECT oops")))

    assert await look(BODIES) == []


@pytest.mark.parametrize("moment", ["connect", "checkout", "begin"])
async def test_listeners_may_use_the_connection_first(postgres_url, look, moment):
    """A listener that runs a statement before the block does works as on a plain engine."""
    async with Database(postgres_url) as db:

        def listen(connection, *_rest):
            cursor = getattr(connection, "connection", connection).cursor()
            cursor.execute("SELECT 1")
            cursor.close()

        event.listen(db.engine.sync_engine, moment, listen)
        await db.run(execute("CREATE TABLE notes (id int PRIMARY KEY, body text)"))
        await block(db)

    assert await look(BODIES) == ["first"]


async def test_a_statement_for_another_engine_is_refused(any_db):
    """It would be in a transaction that nobody owns."""
    elsewhere = {"bind": any_db.engine.sync_engine}

    with pytest.raises(TransactionOwnedError, match="for another engine"):
        await any_db.run(lambda session: session.execute(INSERT, bind_arguments=elsewhere))


async def test_sql_that_ends_the_transaction_is_refused(any_db, look):
    """Text that commits or rolls back would leave the rest outside of any transaction."""
    for sql in ENDINGS:
        for act in (execute(sql), execute_on_connection(sql)):
            with pytest.raises(TransactionOwnedError, match="the statement"):
                await block(any_db, act)

    assert await look(BODIES) == []


async def test_sql_that_ends_nothing_passes(db, look):
    """Savepoints, texts, comments and bodies of functions may hold the same words."""
    await block(
        db,
        execute_on_connection("SAVEPOINT a"),
        execute_on_connection("ROLLBACK TO SAVEPOINT a"),
        execute_on_connection("rollback work to a"),
        execute_on_connection("SELECT 'commit', \"body\", $$; ROLLBACK;$$ FROM notes -- ; commit"),
        execute_on_connection(r"SELECT E'\'; commit'"),
        execute_on_connection("DO $$ BEGIN PERFORM 1; END $$"),
        execute_on_connection("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END"),
        execute_on_connection("/* /* rollback */ ; COMMIT */ SELECT 1"),
    )

    assert await look(BODIES) == ["first"]


async def test_a_connection_invalidated_inside_is_an_error(db, look):
    """What it had written is gone, so the block fails instead of storing the rest."""
    with pytest.raises(TransactionAbortedError, match="connection was lost"):
        await block(db, call_on_connection("invalidate"))

    assert await look(BODIES) == []


async def test_blocks_of_other_tasks_are_not_affected(any_db, look):
    """While one block refuses, another commits."""

    async def write(number):
        async with any_db.begin() as session:
            await session.execute(text(f"INSERT INTO notes VALUES ({number}, '{number}')"))
            if number % 2:
                await session.commit()

    ended = await asyncio.gather(*map(write, range(10)), return_exceptions=True)

    assert [type(each) for each in ended] == [type(None), TransactionOwnedError] * 5
    assert sorted(await look(BODIES)) == ["0", "2", "4", "6", "8"]


async def test_a_plain_session_commits_by_hand(any_db, look):
    """`session()` refuses nothing; what was not committed is not stored."""
    async with any_db.session() as session:
        await session.execute(INSERT)
        await session.commit()
        await session.execute(text("INSERT INTO notes VALUES (2, 'second')"))

    assert await look(BODIES) == ["first"]


async def test_a_pooled_connection_does_not_remember_whose_it_was(any_url, look):
    """After a block, a plain session on the same connection commits through that."""
    policy = DatabasePolicy(pool=PoolPolicy(max_size=1))
    async with Database(any_url, policy=policy) as db:
        async with db.begin() as session:
            await session.execute(text("CREATE TABLE notes (id int, body text)"))
        async with db.session() as session:
            await session.execute(INSERT)
            await (await session.connection()).commit()

    assert await look(BODIES) == ["first"]


async def test_a_refused_commit_leaves_no_transaction_to_the_next(any_url, look):
    """What was written before a commit that is refused is not stored by a later block."""
    policy = DatabasePolicy(pool=PoolPolicy(max_size=1))
    async with Database(any_url, policy=policy) as db:
        async with db.begin() as session:
            await session.execute(text("CREATE TABLE notes (id int, body text)"))
        with pytest.raises(TransactionOwnedError, match="commit of the connection"):
            await block(db, call_on_connection("rollback"), insert, call_on_connection("commit"))
        async with db.begin() as session:
            await session.execute(text("SELECT 1"))

    assert await look(BODIES) == []


async def share(session: AsyncSession, others: set[asyncio.Task[object]]) -> None:
    await session.execute(text("SELECT 1"))
    sleep = text("SELECT pg_sleep(0.2)")
    others |= {asyncio.create_task(session.execute(sleep)) for _ in range(2)}
    await asyncio.gather(*others)


@pytest.mark.parametrize("snapshot", [False, True])
async def test_a_block_left_while_its_session_is_busy_spoils_no_connection(postgres_url, snapshot):
    """The next block on the pool's only connection works, whatever the other task was at."""
    policy = DatabasePolicy(pool=PoolPolicy(max_size=1))
    others: set[asyncio.Task[object]] = set()
    async with Database(postgres_url, policy=policy) as db:
        with pytest.raises(SessionSharedError):
            async with db.read(snapshot=True) if snapshot else db.begin() as session:
                await share(session, others)
        await asyncio.wait(others)
        async with db.begin() as session:
            assert await session.scalar(text("SELECT 1")) == 1


async def test_a_session_is_of_no_use_after_its_block(any_db):
    """A session kept beyond its block refuses to work: what it wrote would be lost."""
    async with any_db.begin() as session:
        await session.execute(text("SELECT 1"))
    async with any_db.read() as reading:
        await reading.execute(text("SELECT 1"))

    for kept in (session, reading):
        with pytest.raises(InvalidRequestError, match="closed"):
            await kept.execute(text("SELECT 1"))


async def test_autocommit_is_refused_in_a_block(db):
    """A connection that would store each statement by itself is not given in `begin()`."""
    with pytest.raises(TransactionOwnedError, match="AUTOCOMMIT"):
        async with db.begin() as session:
            await session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})


@pytest.mark.parametrize("options", ["autocommit", "other engine"])
async def test_a_refused_connection_is_not_used_either(any_db, look, options):
    """Who swallows the refusal and goes on is in the block's transaction, as if never asked."""

    async def act(session: AsyncSession) -> None:
        if options == "autocommit":
            await session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
        else:
            await session.connection(bind_arguments={"bind": any_db.engine.sync_engine})

    with suppress(ZeroDivisionError):
        async with any_db.begin() as session:
            await swallowed(session, act)
            await session.execute(INSERT)
            raise ZeroDivisionError

    assert await look(BODIES) == []
    assert any_db.holders() == []
