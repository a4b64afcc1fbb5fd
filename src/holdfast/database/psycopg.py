"""Make psycopg begin when SQLAlchemy does, and refuse a COMMIT that would be a ROLLBACK."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Any

from psycopg import (
    AsyncConnection,
    AsyncPipeline,
    IsolationLevel,
    OperationalError,
    ProgrammingError,
)
from psycopg.generators import fetch_many
from psycopg.pq import ConnStatus, PGconn, TransactionStatus
from psycopg.types.json import Json, Jsonb
from psycopg.waiting import wait_async
from sqlalchemy import Connection, Engine
from sqlalchemy.util import await_only
from sqlalchemy.util.concurrency import in_greenlet

from holdfast.database import documents
from holdfast.database.dialling import AS_NEW, PEER
from holdfast.database.policy import DatabasePolicy
from holdfast.errors import TransactionAbortedError
from holdfast.pool import PoolPolicy
from holdfast.urls import DatabaseUrl

_CANCEL_TIMEOUT = 2.0  # seconds
_NOTHING = b"nowhere=1"  # what libpq does not connect with
_WAKE_UP = (
    0.1  # seconds: as psycopg does while it waits; its function's own default is all the time
)


class CountingConnection(AsyncConnection[Any]):
    """Counts the transactions that were ended, so that one that was ended inside is noticed."""

    ended = 0
    begins_with = ""  # what each BEGIN is followed by
    is_cut = False  # whether a cancelled task did not wait for its statement

    async def begin(self) -> None:
        """Send the BEGIN that would precede the first statement."""
        async with self.lock:
            await self.wait(self._start_query())
        if self.begins_with:
            await self.execute(self.begins_with.removeprefix(";").encode())

    async def wait(
        self,
        gen: Any,
        interval: float = _WAKE_UP,
        timeout: float | None = None,  # noqa: ASYNC109  -- psycopg's signature
    ) -> Any:
        """Await an answer. A task that is cancelled leaves at once; `_leave` ends the statement.

        psycopg would wait for that here: ten seconds on a server that is frozen.
        """
        try:
            return await wait_async(gen, self.pgconn.socket, interval=interval, timeout=timeout)
        except asyncio.CancelledError:
            self.is_cut = True
            raise

    @asynccontextmanager
    async def pipeline(self) -> AsyncIterator[AsyncPipeline]:
        """Send several statements at once."""
        with _staying_cancelled():
            async with super().pipeline() as pipeline:
                yield pipeline

    @asynccontextmanager
    async def _pipeline_nolock(self) -> AsyncIterator[AsyncPipeline]:
        """Do the same for psycopg's own `executemany()`."""
        with _staying_cancelled():
            async with super()._pipeline_nolock() as pipeline:
                yield pipeline

    def pass_on(self) -> "CountingConnection":
        """Give the server's session to a new object, in the middle of a cancelled statement.

        Whoever has kept this one, or what it has made, finds it closed.
        """
        heir = type(self)(self.pgconn)
        heir.begins_with, heir.is_cut = self.begins_with, self.is_cut
        heir.prepare_threshold = self.prepare_threshold
        heir._adapters = self._adapters  # noqa: SLF001  -- how SQLAlchemy has JSON written
        self.pgconn = PGconn.connect_start(_NOTHING)
        return heir

    async def end_statement(self) -> None:
        """Have the server end what a cancelled task did not wait for, and hear that it has.

        Nothing is sent of what the task would have sent next.
        """
        if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
            return
        if not self.is_cut or self.pgconn.flush():
            raise ProgrammingError("another task waits for it, or it has not been sent as a whole")
        await self.cancel_safe(timeout=_CANCEL_TIMEOUT)
        await self.wait(fetch_many(self.pgconn))

    # SQLAlchemy forgets a connection when a task is cancelled while one of these is set. Nothing is
    # sent for it; psycopg lets the loop turn all the same, now and then.

    async def set_autocommit(self, value: bool) -> None:  # noqa: FBT001  -- psycopg's signature
        """Set it without a turn of the loop."""
        _at_once(self._set_autocommit_gen(value))

    async def set_isolation_level(self, value: IsolationLevel | None) -> None:
        """Set it without a turn of the loop."""
        _at_once(self._set_isolation_level_gen(value))

    async def set_read_only(self, value: bool | None) -> None:  # noqa: FBT001  -- psycopg's signature
        """Set it without a turn of the loop."""
        _at_once(self._set_read_only_gen(value))

    async def set_deferrable(self, value: bool | None) -> None:  # noqa: FBT001  -- psycopg's signature
        """Set it without a turn of the loop."""
        _at_once(self._set_deferrable_gen(value))

    async def commit(self) -> None:
        """Commit, and count it."""
        self.ended += 1
        await super().commit()

    async def rollback(self) -> None:
        """Roll back, and count it."""
        self.ended += 1
        await super().rollback()


def options(url: DatabaseUrl, policy: DatabasePolicy) -> dict[str, Any]:
    """Give what the engine's connections must be told."""
    return url.driver_args(
        settings=policy.server_settings(), connect_timeout=policy.connect_timeout
    )


def pool_policy(_url: DatabaseUrl, policy: PoolPolicy) -> PoolPolicy:
    """Give the pool that fits: any."""
    return policy


async def connect(*args: Any, **options: Any) -> CountingConnection:
    """Make a connection."""
    return await CountingConnection.connect(*args, **PEER | options)


async def close(driver: CountingConnection) -> None:
    """Close one."""
    await driver.close()


def parameter(driver: CountingConnection, name: str) -> str | None:
    """Give a parameter that the server has told of itself."""
    told = driver.pgconn.parameter_status(name.encode())
    return told.decode() if told is not None else None


async def ask(driver: CountingConnection, sql: str) -> str:
    """Run a query outside of any transaction and give its one value."""
    await driver.set_autocommit(True)
    try:
        row = await (await driver.execute(sql.encode())).fetchone()
    finally:
        await driver.set_autocommit(False)
    return str(row[0]) if row else ""


def limit(driver: CountingConnection, settings: str) -> None:
    """Have these settings in each transaction."""
    driver.begins_with = settings


def behave(engine: Engine) -> None:
    """Begin each transaction at once, as on asyncpg, and look at it before it is committed."""
    engine.dialect.do_begin = _begin  # type: ignore[assignment, method-assign]
    engine.dialect.do_commit = _commit  # type: ignore[assignment, method-assign]
    engine.dialect.do_terminate = _terminate  # type: ignore[assignment, method-assign]
    # What the garbage collector finds is closed, too.
    engine.dialect.has_terminate = True
    # SQLAlchemy leaves it to psycopg to write JSON, in the middle of sending: too late to refuse.
    engine.dialect._psycopg_Json = partial(_written, Json)  # type: ignore[attr-defined]  # noqa: SLF001
    engine.dialect._psycopg_Jsonb = partial(_written, Jsonb)  # type: ignore[attr-defined]  # noqa: SLF001


def transaction(connection: Connection) -> object:
    """Give what tells this transaction from the next, None outside of one."""
    adapted: Any = connection.connection.dbapi_connection
    driver = adapted.driver_connection
    return None if driver.info.transaction_status == TransactionStatus.IDLE else driver.ended


def renew(record: Any) -> Callable[[], Awaitable[None]]:
    """Give what ends what a cancelled task has left, and undoes what its session has set."""
    return partial(_renew, record)


def is_lost(driver: CountingConnection) -> bool:
    """Tell whether the server has hung up, by what has arrived since the last answer."""
    try:
        for _ in range(2):  # its farewell comes first, then the end of the stream
            driver.pgconn.consume_input()
    except OperationalError:
        return True
    return driver.pgconn.status != ConnStatus.OK


def is_busy(adapted: Any) -> bool:
    """Tell whether a statement is under way, which psycopg would have others wait for."""
    return bool(adapted.driver_connection.lock.locked())


def _written(kind: type[Json] | type[Jsonb], value: object) -> Json | Jsonb:
    return kind(documents.dumps_compactly(value), dumps=str)


def _begin(connection: Any) -> None:
    await_only(connection.dbapi_connection.driver_connection.begin())


def _commit(connection: Any) -> None:
    status = connection.dbapi_connection.driver_connection.pgconn.transaction_status
    if status == TransactionStatus.INERROR:
        # SQLAlchemy takes a COMMIT that raised for an end: the pool would get it as it is.
        connection.rollback()
        raise TransactionAbortedError
    connection.commit()


async def _renew(record: Any) -> None:
    # Not before: what the task did in `finally` has found a statement under way.
    adapted = record.dbapi_connection
    driver: CountingConnection = adapted.driver_connection.pass_on()
    record.dbapi_connection = type(adapted)(adapted.dbapi, driver)
    await driver.end_statement()
    await driver.rollback()
    await driver.set_autocommit(True)
    await driver.execute(AS_NEW.encode())
    await driver.set_autocommit(False)


@contextmanager
def _staying_cancelled() -> Iterator[None]:
    """Have a task that is cancelled leave a pipeline as such, which cannot be left: it is busy."""
    try:
        yield
    except OperationalError as error:
        if isinstance(error.__context__, asyncio.CancelledError):
            raise error.__context__ from None
        raise


def _at_once(setting: Iterator[Any]) -> None:
    for _ in setting:
        raise ProgrammingError("in a pipeline this cannot be set")


def _terminate(connection: Any) -> None:
    if in_greenlet():
        await_only(_leave(connection.driver_connection))
    else:  # the garbage collector found it, and its loop has ended
        connection.driver_connection.pgconn.finish()


async def _leave(driver: CountingConnection) -> None:
    """End the statement that runs, if one does, then the connection."""
    try:
        if driver.pgconn.transaction_status == TransactionStatus.ACTIVE:
            with suppress(OperationalError):  # a server that restarts has ended it
                await driver.cancel_safe(timeout=_CANCEL_TIMEOUT)
    finally:
        await driver.close()
