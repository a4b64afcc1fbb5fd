"""Say in one sentence why a connection could not be made."""

import re
import socket
import ssl
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine

from holdfast.errors import (
    CANNOT_CONNECT_NOW,
    INVALID_AUTHORIZATION,
    INVALID_CATALOG_NAME,
    INVALID_PASSWORD,
    TOO_MANY_CONNECTIONS,
    UnavailableError,
)
from holdfast.urls import DatabaseUrl, redact

_CAUSES = {
    INVALID_PASSWORD: "the password for {user!r} was refused",
    INVALID_AUTHORIZATION: "{user!r} may not log in: the role is missing or pg_hba.conf refuses it",
    INVALID_CATALOG_NAME: "the server has no database {database!r}: create it, or mend the URL",
    TOO_MANY_CONNECTIONS: "the server has no free connection: raise max_connections or lower pools",
    CANNOT_CONNECT_NOW: "the server is starting or stopping: try again in a moment",
}
# What libpq puts before and after the server's own words.
_LIBPQ = re.compile(
    r"^connection (?:failed|is bad): (?:connection to server .*? failed: )?(?:FATAL:\s+)?"
    r"|;? Multiple connection attempts failed\..*$"
)


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
    kind = "PostgreSQL" if url.backend == "postgresql" else "SQLite"
    made = UnavailableError(f"{kind} at {url.place}: {_cause(error, url, within)}")
    made.sqlstate = getattr(error, "sqlstate", None)
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


def _cause(error: Exception, url: DatabaseUrl, within: float) -> str:
    if isinstance(error, OSError | UnicodeError):
        return _unreachable(error, within)
    return _refused(error, url)


def _unreachable(error: Exception, within: float) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused; nothing listens there: is the server started?"
    if isinstance(error, FileNotFoundError):
        return "there is no socket there: is the server started?"
    if isinstance(error, socket.gaierror):
        return "the host name is unknown: is it spelled right, does DNS answer?"
    if isinstance(error, TimeoutError):
        return f"no answer within {within:g} s: a firewall, or a wrong address?"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error}"
    return _in_one_line(error) or type(error).__name__


def _refused(error: Exception, url: DatabaseUrl) -> str:
    cause = _CAUSES.get(getattr(error, "sqlstate", None) or "")
    if cause is None:
        return _LIBPQ.sub("", _in_one_line(error))
    return cause.format(user=url.engine.username, database=url.engine.database)


def _in_one_line(error: object) -> str:
    return redact("; ".join(filter(None, map(str.strip, str(error).splitlines()))))
