"""Say in one sentence why a connection could not be made."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine

from holdfast.errors import UnavailableError
from holdfast.urls import DatabaseUrl


def explain_connecting(engine: Engine, url: DatabaseUrl, *, within: float) -> None:
    """Have each connection that cannot be made end in `UnavailableError`.

    Args:
        engine: whose connections.
        url: named in the message, without its password.
        within: the limit that the driver was given, in seconds.
    """
    dialect: Any = engine.dialect
    dialect.connect = _explaining(dialect.connect, dialect.loaded_dbapi.Error, url, within)


def unavailable(error: Exception, url: DatabaseUrl, within: float) -> UnavailableError:
    """Give the error that says where, why, and what to do; never the password."""
    from holdfast.database.causes import find_cause  # noqa: PLC0415  -- only a failure needs it

    kind = "PostgreSQL" if url.backend == "postgresql" else "SQLite"
    cause = find_cause(error, url, within)
    made = UnavailableError(f"{kind} at {url.place}: {cause.text}")
    made.sqlstate, made.lasting = cause.sqlstate, cause.lasting
    return made


def _explaining(
    connect: Callable[..., Any], refused: type[Exception], url: DatabaseUrl, within: float
) -> Callable[..., Any]:
    def explaining(*args: Any, **options: Any) -> Any:
        try:
            return connect(*args, **options)
        except (OSError, UnicodeError, refused) as error:
            raise unavailable(error, url, within) from error

    return explaining
