"""Make asyncpg begin when SQLAlchemy does, and believe the server's answer to COMMIT."""

import asyncio
from functools import partial
from typing import Any

import asyncpg
from sqlalchemy import Connection, Engine
from sqlalchemy.util import await_only

from holdfast.database.policy import DatabasePolicy
from holdfast.errors import TransactionAbortedError
from holdfast.urls import DatabaseUrl


class CheckedConnection(asyncpg.Connection):  # type: ignore[misc]  # it has no types
    """Raises when the server answers COMMIT with ROLLBACK, which asyncpg takes for success.

    It is the answer for a transaction with a failed statement, whoever caught the error.
    """

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:  # noqa: ASYNC109  -- asyncpg's signature
        """Run a statement and return its status; a commit that did not happen raises.

        Raises:
            TransactionAbortedError: nothing of the transaction is stored.
        """
        status: str = await super().execute(query, *args, timeout=timeout)
        if status == "ROLLBACK" and query.lstrip()[:6].upper() == "COMMIT":
            raise TransactionAbortedError
        return status


def options(url: DatabaseUrl, policy: DatabasePolicy, _leaving: object) -> dict[str, Any]:
    """Give what the engine must be told."""
    connect_args = url.driver_args(
        settings=policy.server_settings(), connect_timeout=policy.connect_timeout
    )
    own = {"connection_class": CheckedConnection, "async_creator_fn": partial(_connect, url)}
    return {"connect_args": connect_args | own}


def behave(engine: Engine) -> None:
    """Begin each transaction of the engine on the server at once."""
    # SQLAlchemy sends BEGIN before the first statement that goes through it, so that what the
    # driver's own methods (COPY) did before would be stored whatever happens. Not an event: an
    # error in one would not be seen as a lost connection.
    engine.dialect.do_begin = _begin  # type: ignore[assignment,method-assign]


def transaction(connection: Connection) -> object:
    """Give what tells this transaction from the next, None outside of one."""
    adapted: Any = connection.connection.dbapi_connection
    return adapted._transaction if adapted.driver_connection.is_in_transaction() else None  # noqa: SLF001


def _begin(connection: Any) -> None:
    adapted = connection.dbapi_connection
    if adapted._transaction is None:  # noqa: SLF001  -- or a listener has used a cursor already
        await_only(adapted._start_transaction())  # noqa: SLF001


async def _connect(url: DatabaseUrl, *args: Any, **options: Any) -> Any:
    # Files of certificates are read for each connection: they may have been renewed.
    tls = await asyncio.to_thread(url.tls_args) if url.tls.insists else url.tls_args()
    return await asyncpg.connect(*args, **options | tls)
