"""Make psycopg begin when SQLAlchemy does, and refuse a COMMIT that would be a ROLLBACK."""

import asyncio
from functools import partial
from typing import Any

from psycopg import AsyncConnection
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine
from sqlalchemy.util import await_only

from holdfast.database.connecting import Leaving, connect_whole
from holdfast.database.policy import DatabasePolicy
from holdfast.errors import TransactionAbortedError
from holdfast.urls import DatabaseUrl


class CountingConnection(AsyncConnection[Any]):
    """Counts the transactions that were ended, so that one that was ended inside is noticed."""

    ended = 0

    async def begin(self) -> None:
        """Send the BEGIN that would precede the first statement."""
        async with self.lock:
            await self.wait(self._start_query())

    async def commit(self) -> None:
        """Commit, and count it."""
        self.ended += 1
        await super().commit()

    async def rollback(self) -> None:
        """Roll back, and count it."""
        self.ended += 1
        await super().rollback()


def options(url: DatabaseUrl, policy: DatabasePolicy, leaving: Leaving) -> dict[str, Any]:
    """Give what the engine must be told; `leaving` holds tasks that go on by themselves."""
    connect_args = url.driver_args(
        settings=policy.server_settings(), connect_timeout=policy.connect_timeout
    )
    return {"connect_args": connect_args | {"async_creator_fn": partial(_connect, url, leaving)}}


def behave(engine: Engine) -> None:
    """Begin each transaction at once, as on asyncpg, and look at it before it is committed."""
    engine.dialect.do_begin = _begin  # type: ignore[assignment, method-assign]
    engine.dialect.do_commit = _commit  # type: ignore[assignment, method-assign]


def transaction(connection: Connection) -> object:
    """Give what tells this transaction from the next, None outside of one."""
    driver: Any = connection.connection.driver_connection
    return None if driver.info.transaction_status == TransactionStatus.IDLE else driver.ended


def _begin(connection: Any) -> None:
    await_only(connection.driver_connection.begin())


def _commit(connection: Any) -> None:
    status = connection.driver_connection.pgconn.transaction_status
    if status == TransactionStatus.INERROR:
        # SQLAlchemy takes a COMMIT that raised for an end: the pool would get it as it is.
        connection.rollback()
        raise TransactionAbortedError
    connection.commit()


async def _connect(
    url: DatabaseUrl, leaving: Leaving, *args: Any, **options: Any
) -> CountingConnection:
    # Files of certificates are looked for anew each time: they may have come or gone.
    tls = await asyncio.to_thread(url.tls_args) if url.tls.insists else url.tls_args()
    connecting = CountingConnection.connect(*args, **options | tls)
    return await connect_whole(connecting, CountingConnection.close, leaving)
