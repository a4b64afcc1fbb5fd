"""What the pool does when a connection is taken from it and given back."""

import time
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry

_IDLE_SINCE = "holdfast.idle_since"
_POOL = "holdfast.pool"


def ping_after_idling(engine: Engine, *, seconds: float) -> None:
    """Replace connections that died while they were idle, and the whole pool with the first.

    SQLAlchemy's own `pool_pre_ping` costs up to three round trips at every checkout.
    """

    def note(_connection: object, entry: ConnectionPoolEntry) -> None:
        entry.info[_IDLE_SINCE] = time.monotonic()

    def check(connection: Any, entry: ConnectionPoolEntry, _proxy: object) -> None:
        since = entry.info.pop(_IDLE_SINCE, None)
        if since is None:
            return
        idle = time.monotonic() - since
        if _is_closed(connection) or (idle >= seconds and not _answers(engine, connection)):
            raise InvalidatePoolError("the connection was lost while it was idle")

    event.listen(engine, "checkin", note)
    event.listen(engine, "checkout", check)


def close_after_dispose(engine: Engine) -> None:
    """Close what was in use when the engine was disposed of as soon as it is given back.

    SQLAlchemy would keep it open in the old pool, where nobody finds it.
    """

    def note(_connection: object, entry: ConnectionPoolEntry) -> None:
        entry.info[_POOL] = engine.pool

    def close_if_old(_connection: object, entry: ConnectionPoolEntry) -> None:
        if entry.info.get(_POOL) is not engine.pool:
            entry.close()

    event.listen(engine, "connect", note)
    event.listen(engine, "checkin", close_if_old)


def _is_closed(connection: Any) -> bool:
    # asyncpg reads in the background, so it knows that the server has hung up.
    is_closed = getattr(connection.driver_connection, "is_closed", None)
    return is_closed is not None and bool(is_closed())


def _answers(engine: Engine, connection: Any) -> bool:
    try:
        return engine.dialect.do_ping(connection)
    except engine.dialect.loaded_dbapi.Error:
        return False
