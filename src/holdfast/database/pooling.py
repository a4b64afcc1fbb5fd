"""What the pool does when a connection is taken from it and given back."""

import time
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry

_RETURNED = "holdfast.returned"
_POOL = "holdfast.pool"


def ping_after_idling(engine: Engine, *, seconds: float) -> None:
    """Replace connections that died while they were idle, and the whole pool with the first.

    SQLAlchemy's own `pool_pre_ping` costs up to three round trips at every checkout.
    """

    def check(connection: Any, entry: ConnectionPoolEntry, _proxy: object) -> None:
        since = entry.info.get(_RETURNED)
        if since is None:
            return
        idle = time.monotonic() - since
        if _is_closed(connection) or (idle >= seconds and not _answers(engine, connection)):
            raise InvalidatePoolError("the connection was lost while it was idle")

    event.listen(engine, "checkout", check)


def take_back(engine: Engine) -> None:
    """Note when a connection is given back, and close it when the engine was disposed of.

    SQLAlchemy would keep it open in the old pool, where nobody finds it.
    """

    def join(_connection: object, entry: ConnectionPoolEntry, proxy: Any) -> None:
        # Not the engine's: whoever waited in the old pool gets a connection of that one.
        entry.info[_POOL] = proxy._pool  # noqa: SLF001

    def leave(_connection: object, entry: ConnectionPoolEntry) -> None:
        entry.info[_RETURNED] = time.monotonic()
        if entry.info.get(_POOL) is not engine.pool:
            entry.close()

    event.listen(engine, "checkout", join)
    event.listen(engine, "checkin", leave)


def _is_closed(connection: Any) -> bool:
    # asyncpg reads in the background, so it knows that the server has hung up.
    is_closed = getattr(connection.driver_connection, "is_closed", None)
    return is_closed is not None and bool(is_closed())


def _answers(engine: Engine, connection: Any) -> bool:
    try:
        return engine.dialect.do_ping(connection)
    except engine.dialect.loaded_dbapi.Error:
        return False
