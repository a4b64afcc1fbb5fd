"""Reach the database once, and say in one sentence why that did not work."""

import asyncio
import re
import socket
import ssl
import time
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool

from holdfast.database.connecting import Leaving
from holdfast.errors import (
    CANNOT_CONNECT_NOW,
    INVALID_AUTHORIZATION,
    INVALID_CATALOG_NAME,
    INVALID_PASSWORD,
    TOO_MANY_CONNECTIONS,
    UnavailableError,
)
from holdfast.events import Event
from holdfast.urls import DatabaseUrl, redact

_EXHAUSTED = "all connections of the pool are in use: raise PoolPolicy.size, or look who holds them"
_CAUSES = {
    INVALID_PASSWORD: "the password for {user!r} was refused",
    INVALID_AUTHORIZATION: "{user!r} may not log in: the role is missing or pg_hba.conf refuses it",
    INVALID_CATALOG_NAME: "the server has no database {database!r}: create it, or mend the URL",
    TOO_MANY_CONNECTIONS: "the server has no free connection: raise max_connections or lower pools",
    CANNOT_CONNECT_NOW: "the server is starting or stopping: try again in a moment",
}
# What TLS and poolers say has no SQLSTATE that tells; the first that fits counts.
_SAID = {
    "mismatch, certificate is not valid|does not match host name": (
        "its certificate is for another host; connect by the name in it"
    ),
    "certificate verify failed": (
        "its certificate was not accepted, most often for an authority that is not trusted; name "
        "its file: sslrootcert=FILE"
    ),
    "rejected SSL upgrade|does not support SSL": (
        "the server has no TLS, on which sslmode={mode} insists"
    ),
    "unsupported startup parameter": (
        "a pooler is there, which refuses limits in the first message; add pooler=transaction to "
        "the URL, and take options out of it"
    ),
}
# What libpq puts before and after the server's own words.
_LIBPQ = re.compile(
    r"^connection (?:failed|is bad): (?:connection to server .*? failed: )?(?:FATAL:\s+)?"
    r"|;? Multiple connection attempts failed\..*$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened(Event):
    """A database was reached; `seconds` is what that took."""

    place: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed(Event):
    """A database's connections are closed."""

    place: str


async def reach(engine: AsyncEngine, url: DatabaseUrl, *, within: float, leaving: Leaving) -> float:
    """Run `SELECT 1` on a pooled or new connection and return the seconds it took.

    The time limit holds for a server that freezes, too, of which a driver takes its leave for
    up to ten seconds: that goes on in the background, in a task that `leaving` keeps.

    Raises:
        UnavailableError: it names place and likely cause, never the password.
    """
    begun = time.perf_counter()
    check = asyncio.create_task(_select(engine))
    leaving.add(check)
    check.add_done_callback(lambda ended: _let_go(ended, leaving))
    try:
        await asyncio.wait({check}, timeout=within)
        if not check.done():
            raise TimeoutError
        check.result()
    except (OSError, DBAPIError, PoolTimeoutError, UnicodeError) as error:
        full = isinstance(error, TimeoutError) and _is_full(engine)
        cause = _EXHAUSTED if full else _explained(_cause(error, url, within), url)
        raise UnavailableError(f"{_name(url)}: {cause}") from error
    finally:
        check.cancel()
    return time.perf_counter() - begun


def _let_go(check: "asyncio.Task[None]", leaving: Leaving) -> None:
    leaving.discard(check)
    if not check.cancelled():
        check.exception()  # asked for, so that nobody reports it as overlooked


async def _select(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))


def _is_full(engine: AsyncEngine) -> bool:
    pool = engine.pool
    return isinstance(pool, QueuePool) and pool.checkedout() >= pool.size()


def _name(url: DatabaseUrl) -> str:
    kind = "PostgreSQL" if url.backend == "postgresql" else "SQLite"
    return f"{kind} at {url.place}"


def _cause(error: Exception, url: DatabaseUrl, within: float) -> str:
    if isinstance(error, PoolTimeoutError):
        return _EXHAUSTED
    if isinstance(error, DBAPIError):
        return _refused(error, url)
    return _unreachable(error, within)


def _explained(words: str, url: DatabaseUrl) -> str:
    """Put what words mean before them."""
    for pattern, meaning in _SAID.items():
        if re.search(pattern, words):
            return f"{meaning.format(mode=url.tls.mode)} ({words})"
    return words


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


def _refused(error: DBAPIError, url: DatabaseUrl) -> str:
    cause = _CAUSES.get(getattr(error.orig, "sqlstate", None) or "")
    if cause is None:
        return _LIBPQ.sub("", _in_one_line(error.orig))
    return cause.format(user=url.engine.username, database=url.engine.database)


def _in_one_line(error: object) -> str:
    return redact("; ".join(filter(None, map(str.strip, str(error).splitlines()))))
