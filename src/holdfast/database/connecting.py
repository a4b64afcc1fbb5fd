"""Say in one sentence why a connection could not be made."""

from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import Engine

from holdfast.errors import UnavailableError
from holdfast.urls import DatabaseUrl

# Of asyncpg's dialect: they tell the driver of types.
_SET_UPS = ("setup_asyncpg_json_codec", "setup_asyncpg_jsonb_codec")


def explain_connecting(engine: Engine, url: DatabaseUrl, *, within: float) -> None:
    """Have each connection that cannot be made end in `UnavailableError`.

    Args:
        engine: whose connections.
        url: named in the message, without its password.
        within: the limit that the driver was given, in seconds.
    """
    dialect: Any = engine.dialect
    refused = dialect.loaded_dbapi.Error
    dialect.connect = _explaining(dialect.connect, refused, url, within)
    # What SQLAlchemy asks on a new connection, where a server that stops is met as well; it passes
    # the drivers' own errors on.
    dialect.initialize = _explaining(dialect.initialize, refused, url, within)
    for name in _SET_UPS:
        if set_up := getattr(dialect, name, None):
            setattr(dialect, name, _explaining_loss(set_up, url, within))


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


def _explaining_loss(
    set_up: Callable[[Any], Awaitable[None]], url: DatabaseUrl, within: float
) -> Callable[[Any], Awaitable[None]]:
    async def explaining(adapted: Any) -> None:
        try:
            await set_up(adapted)
        except Exception as error:
            if not adapted.driver_connection.is_closed():
                raise
            raise unavailable(error, url, within) from error

    return explaining
