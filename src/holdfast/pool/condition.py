"""Whether a connection is good, as far as can be known without asking its server."""

import math
import random
import select
import time
from typing import Any

from sqlalchemy.pool import ConnectionPoolEntry

_JITTER = 0.1  # of a lifetime
_EXPIRES = "holdfast.expires"


def is_good(record: Any, max_lifetime: float) -> bool:
    """Tell whether nothing speaks against a connection."""
    if record._is_hard_or_soft_invalidated():  # noqa: SLF001  -- what its own checkout asks
        return False
    # asyncpg reads in the background, so it knows that the server has hung up.
    is_closed = getattr(record.driver_connection, "is_closed", None)
    return not (is_closed and is_closed()) and expiry(record, max_lifetime) > time.monotonic()


def expiry(record: ConnectionPoolEntry, max_lifetime: float) -> float:
    """Say when a connection is too old, by the monotonic clock; some go sooner, not all at once."""
    if not max_lifetime:
        return math.inf
    expires: float | None = record.info.get(_EXPIRES)
    if expires is None:
        lifetime = max_lifetime * (1 - _JITTER * random.random())  # noqa: S311  -- no secret
        expires = record.info[_EXPIRES] = time.monotonic() + lifetime
    return expires


def keep_age(one: ConnectionPoolEntry, other: ConnectionPoolEntry) -> None:
    """Have one place in the pool expire when the other would have."""
    if _EXPIRES in one.info:
        other.info[_EXPIRES] = one.info[_EXPIRES]


def is_quiet(record: ConnectionPoolEntry) -> bool:
    """Tell that nothing has arrived on an idle connection, whose end would be among that.

    A driver may not have read it yet, or, as psycopg, not before its next statement.
    """
    fileno = getattr(record.driver_connection, "fileno", None)
    if fileno is None:
        return True  # a file
    try:
        arrived = select.poll()
        arrived.register(fileno(), select.POLLIN)
        return not arrived.poll(0)
    except Exception:  # noqa: BLE001  -- the driver's own, or a number below 0: it is closed
        return False
