"""Make asyncpg begin when SQLAlchemy does, and believe the server's answer to COMMIT."""

import select
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any

import asyncpg
from sqlalchemy import Connection, Engine
from sqlalchemy.util import await_only

from holdfast.database.dialling import AS_NEW, watch_peer
from holdfast.database.policy import DatabasePolicy
from holdfast.errors import TransactionAbortedError
from holdfast.pool import PoolPolicy
from holdfast.urls import DatabaseUrl

_CLOSE_TIMEOUT = 2.0  # seconds
_HUNG_UP = getattr(select, "POLLRDHUP", select.POLLHUP)  # macOS has the latter for both


class CheckedConnection(asyncpg.Connection):  # type: ignore[misc]  # it has no types
    """Raises when the server answers COMMIT with ROLLBACK, which asyncpg takes for success.

    It is the answer for a transaction with a failed statement, whoever caught the error.
    """

    begins_with = ""  # what each BEGIN is followed by

    def pass_on(self) -> "CheckedConnection":
        """Give the server's session to a new object, in the middle of a cancelled statement.

        Whoever has kept this one, or what it has made, finds it closed.
        """
        heir = type(self)(
            self._protocol, self._transport, self._loop, self._addr, self._config, self._params
        )
        heir.begins_with = self.begins_with
        self._protocol.set_connection(heir)
        self._call_termination_listeners()
        self._aborted = True
        return heir

    async def end_statement(self, begun_by: "CheckedConnection") -> None:
        """Wait until what a cancelled task has begun has ended, and roll back.

        asyncpg has asked the server by itself to end the statement, with what `begun_by` has.
        """
        self._check_open()
        await self._protocol._wait_for_cancellation(None)  # noqa: SLF001  -- as asyncpg's own pool
        begun_by._protocol = None  # noqa: SLF001  -- as if it had been terminated
        if self.is_in_transaction():
            await self.execute("ROLLBACK")

    def fileno(self) -> int:
        """Give the number of its socket."""
        return int(self._transport.get_extra_info("socket").fileno())

    # Not a coroutine of its own: two of them would be run for each transaction.
    def execute(
        self, query: str, *args: Any, timeout: float | None = None
    ) -> Coroutine[Any, Any, str]:
        """Run a statement and give its status; a commit that did not happen raises.

        Raises:
            TransactionAbortedError: nothing of the transaction is stored.
        """
        if self.begins_with and not args and query.startswith("BEGIN"):
            query += self.begins_with
        status: Coroutine[Any, Any, str] = super().execute(query, *args, timeout=timeout)
        return _committed(status) if query.lstrip()[:6].upper() == "COMMIT" else status


async def _committed(status: Awaitable[str]) -> str:
    said = await status
    if said == "ROLLBACK":
        raise TransactionAbortedError
    return said


def options(url: DatabaseUrl, policy: DatabasePolicy) -> dict[str, Any]:
    """Give what the engine's connections must be told."""
    told = url.driver_args(
        settings=policy.server_settings(), connect_timeout=policy.connect_timeout
    )
    return told | {"connection_class": CheckedConnection}


def pool_policy(_url: DatabaseUrl, policy: PoolPolicy) -> PoolPolicy:
    """Give the pool that fits: any."""
    return policy


async def connect(*args: Any, **options: Any) -> CheckedConnection:
    """Make a connection."""
    driver: CheckedConnection = await asyncpg.connect(*args, **options)
    watch_peer(driver._transport.get_extra_info("socket"))  # noqa: SLF001  -- there is no other way to it
    return driver


async def close(driver: CheckedConnection) -> None:
    """Close one, without waiting for long."""
    await driver.close(timeout=_CLOSE_TIMEOUT)


def parameter(driver: CheckedConnection, name: str) -> str | None:
    """Give a parameter that the server has told of itself."""
    told: str | None = getattr(driver.get_settings(), name, None)
    return told


async def ask(driver: CheckedConnection, sql: str) -> str:
    """Run a query outside of any transaction and give its one value."""
    return str(await driver.fetchval(sql))


def limit(driver: CheckedConnection, settings: str) -> None:
    """Have these settings in each transaction, in the round trip of its BEGIN."""
    driver.begins_with = settings


def behave(engine: Engine) -> None:
    """Begin each transaction of the engine on the server at once."""
    # SQLAlchemy sends BEGIN before the first statement that goes through it, so that what the
    # driver's own methods (COPY) did before would be stored whatever happens. Not an event: an
    # error in one would not be seen as a lost connection.
    engine.dialect.do_begin = _begin  # type: ignore[assignment,method-assign]
    engine.dialect.do_ping = _ping  # type: ignore[assignment,method-assign]
    engine.dialect.do_terminate = partial(_terminate, engine.dialect.do_terminate)  # type: ignore[method-assign]


def transaction(connection: Connection) -> object:
    """Give what tells this transaction from the next, None outside of one."""
    adapted: Any = connection.connection.dbapi_connection
    return adapted._transaction if adapted.driver_connection.is_in_transaction() else None  # noqa: SLF001


def renew(record: Any) -> Callable[[], Awaitable[None]]:
    """Give what ends what a cancelled task has left, and undoes what its session has set.

    At once, before the task goes on, the connection is another object: what it did in `finally`
    would be in the transaction of whoever comes next.
    """
    left = record.dbapi_connection
    if not left.driver_connection.is_closed():
        record.dbapi_connection = _pass_on(left)
    return partial(_renew, left.driver_connection, record.dbapi_connection.driver_connection)


def is_lost(driver: CheckedConnection) -> bool:
    """Tell whether the server has hung up; nothing is sent on the connection any more if so.

    asyncpg hears of it when the loop turns; until then only its socket knows.
    """
    # What hung up may still pass on what it gets: a proxy that closes one direction only.
    if not driver.is_closed() and _has_hung_up(driver):
        driver.terminate()
    return bool(driver.is_closed())


def is_busy(adapted: Any) -> bool:
    """Tell whether a statement is under way, which SQLAlchemy would have others wait for."""
    return bool(adapted._execute_mutex.locked())  # noqa: SLF001


def _pass_on(adapted: Any) -> Any:
    cache = adapted._prepared_statement_cache  # noqa: SLF001  -- as the other was made
    return type(adapted)(
        adapted.dbapi,
        adapted.driver_connection.pass_on(),
        prepared_statement_cache_size=0 if cache is None else cache.capacity,
        prepared_statement_name_func=adapted._prepared_statement_name_func,  # noqa: SLF001
    )


async def _renew(left: CheckedConnection, driver: CheckedConnection) -> None:
    await driver.end_statement(begun_by=left)
    await driver.execute(AS_NEW)


def _terminate(terminate: Callable[[Any], None], connection: Any) -> None:
    if connection.driver_connection._loop.is_closed():  # noqa: SLF001
        _hang_up(connection.driver_connection)
    else:
        terminate(connection)


def _hang_up(driver: CheckedConnection) -> None:
    """Close the socket of a connection whose loop has ended, which would have had to do it."""
    transport = driver._transport  # noqa: SLF001
    with suppress(RuntimeError):
        driver.terminate()
    while hasattr(transport, "_ssl_protocol"):
        transport = transport._ssl_protocol._transport  # noqa: SLF001
    if (sock := getattr(transport, "_sock", None)) is not None:
        sock.close()
        transport._sock = None  # noqa: SLF001


def _has_hung_up(driver: CheckedConnection) -> bool:
    with suppress(Exception):  # of a transport that is being closed; in doubt COMMIT may get there
        asked = select.poll()
        asked.register(driver.fileno(), _HUNG_UP)
        return bool(asked.poll(0))
    return False


def _ping(adapted: Any) -> bool:
    """Ask for nothing, in one round trip; SQLAlchemy's statement and transaction are three."""
    try:
        await_only(adapted.driver_connection.execute("SELECT"))
    except Exception as error:  # noqa: BLE001  -- it raises the dialect's own
        adapted._handle_exception(error)  # noqa: SLF001
    return True


def _begin(connection: Any) -> None:
    adapted = connection.dbapi_connection
    if adapted._transaction is None:  # noqa: SLF001  -- or a listener has used a cursor already
        await_only(adapted._start_transaction())  # noqa: SLF001
