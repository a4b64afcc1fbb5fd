"""Make asyncpg begin when SQLAlchemy does, and believe the server's answer to COMMIT."""

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


def options(_url: DatabaseUrl, policy: DatabasePolicy) -> dict[str, Any]:
    """Give what the engine must be told."""
    connect_args = {
        "timeout": policy.connect_timeout,
        "server_settings": policy.server_settings(),
        "connection_class": CheckedConnection,
    }
    return {"connect_args": connect_args}


def behave(engine: Engine) -> None:
    """Begin each transaction of the engine on the server at once."""
    # SQLAlchemy sends BEGIN before the first statement that goes through it, so that what the
    # driver's own methods (COPY) did before would be stored whatever happens. Not an event: an
    # error in one would not be seen as a lost connection.
    engine.dialect.do_begin = _begin  # type: ignore[assignment,method-assign]
    # Its own close() waits for ever for a server that has fallen silent; this one for 2 s.
    engine.dialect.do_close = engine.dialect.do_terminate  # type: ignore[method-assign]


def transaction(connection: Connection) -> object:
    """Give what tells this transaction from the next, None outside of one."""
    adapted: Any = connection.connection.dbapi_connection
    return adapted._transaction if adapted.driver_connection.is_in_transaction() else None  # noqa: SLF001


def is_lost(driver: CheckedConnection) -> bool:
    """Tell whether the server has hung up; asyncpg reads in the background, so it knows."""
    return bool(driver.is_closed())


def _begin(connection: Any) -> None:
    adapted = connection.dbapi_connection
    if adapted._transaction is None:  # noqa: SLF001  -- or a listener has used a cursor already
        await_only(adapted._start_transaction())  # noqa: SLF001
