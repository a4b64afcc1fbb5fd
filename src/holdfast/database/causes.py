"""Find out why a connection could not be made, from what each driver knows of it."""

import os
import re
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.errors import (
    CANNOT_CONNECT_NOW,
    INVALID_AUTHORIZATION,
    INVALID_CATALOG_NAME,
    INVALID_PASSWORD,
    TOO_MANY_CONNECTIONS,
)
from holdfast.urls import DatabaseUrl, Host, redact

# By SQLSTATE; of no other statements than those that a driver prepares by itself.
POOLED = ("42P05", "26000")  # duplicate_prepared_statement, invalid_sql_statement_name
POOLER_MET = (
    "prepared statements of several clients meet there, as behind a pooler in transaction mode: "
    "write pooler=transaction in the URL"
)
_CAUSES = {
    INVALID_PASSWORD: "the password for {user} was refused: is it the one of this server?",
    INVALID_AUTHORIZATION: "{user} may not log in: the role is missing or pg_hba.conf refuses it",
    INVALID_CATALOG_NAME: "the server has no database {database}: create it, or mend the URL",
    TOO_MANY_CONNECTIONS: "the server has no free connection: raise max_connections or lower pools",
    CANNOT_CONNECT_NOW: "the server is starting or stopping: try again in a moment",
    # Whoever asks whether a server answers has prepared nothing that could be there, or be gone.
    **dict.fromkeys(POOLED, POOLER_MET),
}
# libpq keeps the SQLSTATE of a failed connection to itself, so the server's English words tell it.
_WORDS = {
    INVALID_PASSWORD: "password authentication failed|no password supplied",
    INVALID_AUTHORIZATION: r"no pg_hba\.conf entry|role \".*\" does not exist|permitted to log in",
    INVALID_CATALOG_NAME: r"database \".*\" does not exist",
    TOO_MANY_CONNECTIONS: "too many clients|too many connections|connection slots are reserved",
    CANNOT_CONNECT_NOW: "the database system is ",
}
# What libpq puts before and after the server's own words.
_LIBPQ = re.compile(
    r"^connection (?:failed|is bad): (?:connection to server .*? failed: )?(?:FATAL:\s+)?"
    r"|;? Multiple connection attempts failed\..*$"
)
_ANSWERED = re.compile(r"\bFATAL:")

_NO_TLS = (
    "the server offers no TLS, and the URL asks for it: switch TLS on there, or use "
    "sslmode=disable where the way to the server is safe without"
)
_TLS_ONLY = (
    "pg_hba.conf has no line for this role and place without TLS: add sslmode=require to the URL, "
    "or a line there"
)
_OTHER_HOST = (
    "TLS failed, as its certificate is for another host: use the name that the certificate has, "
    "or have one made for this one ({said})"
)
_UNKNOWN_AUTHORITY = (
    "TLS failed, as nobody who is trusted here vouches for its certificate: give "
    "sslrootcert=/path/to/ca.pem with the authority that signed it ({said})"
)
_POOLER = (
    "a pooler is there, which refuses limits in a connection's first message: add "
    "pooler=transaction to the URL, and take options out of it ({said})"
)
_UNKNOWN_HOST = "the host name is unknown: is it spelled right, does DNS answer?"
_REFUSED = "the connection was refused; nothing listens there: is the server started?"
_HUNG_UP = (
    "the connection was lost before the server let anybody in: it is starting or stopping, is no "
    "PostgreSQL, or something between lets nothing through: look at their logs"
)
_NO_POSTGRESQL = "what answers there does not speak PostgreSQL: is the port right?"
_NO_SOCKET = "there is no socket there: is the server started?"
_NO_CERTIFICATE = (
    "there is no file {file}, which the variable {name} names, so TLS could not be tried: put the "
    "certificate there, or unset {name}"
)
_NO_FOLDER = (
    "there is no folder {folder}, and SQLite makes none: make it (mkdir -p), or mend the path in "
    "the URL, which has four slashes where it is absolute"
)
_NOT_OPENED = (
    "{said}: it may be a folder, or this user may not write it and the folder that it is in: mend "
    "the path in the URL, or the rights"
)
_READ_ONLY_FILE = (
    "{said}: this user may not write it, or not the folder that it is in, which SQLite needs even "
    "to read a database in WAL mode: give the rights, or read a copy"
)
# Variables that asyncpg reads by itself, where TLS is tried and not insisted on.
_FILES = ("PGSSLCERT", "PGSSLKEY")
_SILENT = "no answer within {within:g} s: a firewall, or a wrong address?"
_BY_KIND = (
    (ConnectionRefusedError, _REFUSED),
    ((ConnectionResetError, ConnectionAbortedError, BrokenPipeError), _HUNG_UP),
    (FileNotFoundError, _NO_SOCKET),
    (socket.gaierror, _UNKNOWN_HOST),
    (TimeoutError, _SILENT),
    (ssl.SSLError, "TLS failed: {said}"),
)
# What psycopg and libpq say where other drivers have the system's own errors.
_UNREACHED = {
    "failed to resolve host|could not translate host name": _UNKNOWN_HOST,
    "timeout expired": _SILENT,
    "failed: Connection refused": _REFUSED,
    "failed: No such file or directory": _NO_SOCKET,
    "server closed the connection unexpectedly": _HUNG_UP,
    "closed in the middle of operation": _HUNG_UP,
    # asyncpg's, where the server's farewell came unasked for, or was all that came.
    "cannot switch to state|connection is closed": _HUNG_UP,
}
# What has no SQLSTATE that tells, in the order in which it is looked for.
_SAID = (
    ("invalid response to SSL negotiation|expected authentication request", _NO_POSTGRESQL),
    ("unsupported startup parameter", _POOLER),
    ("rejected SSL upgrade|server does not support SSL", _NO_TLS),
    ("pg_hba.conf entry .*(?:no encryption|SSL off)", _TLS_ONLY),
    ("does not match host name|[Hh]ostname mismatch|IP address mismatch", _OTHER_HOST),
    ("certificate verify failed", _UNKNOWN_AUTHORITY),
    ("root certificate file|SSL error|SSL SYSCALL", "TLS failed: {said}"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why there is no connection, and what to do; `lasting` if it will be the same in a moment."""

    text: str
    sqlstate: str | None = None
    lasting: bool = False


class NoHostError(ConnectionError):
    """None of several hosts could be used; each is said with its reason.

    Attributes:
        lasting: if it will be the same with each in a moment.
    """

    def __init__(self, causes: Sequence[tuple[Host, Cause]]) -> None:
        said = "; ".join(f"{host}: {cause.text}" for host, cause in causes)
        super().__init__(f"no host of {len(causes)} can be used: {said}")
        self.lasting = all(cause.lasting for _, cause in causes)


def find_cause(error: Exception, url: DatabaseUrl, within: float) -> Cause:
    """Find the cause.

    Args:
        error: the driver's own, or the system's.
        url: what was to be reached.
        within: the limit that the driver was given, in seconds.
    """
    if isinstance(error, NoHostError):
        return Cause(text=str(error), lasting=error.lasting)
    said = _LIBPQ.sub("", _in_one_line(error))
    state = getattr(error, "sqlstate", None)
    for pattern, text in _SAID:
        if re.search(pattern, str(error)):
            if text is _NO_TLS and not url.tls.insists:
                text = _NO_POSTGRESQL  # noqa: PLW2901  -- what has no TLS says so, and goes on
            return Cause(text=text.format(said=said), sqlstate=state, lasting=True)
    if isinstance(error, OSError | UnicodeError):
        lasting = isinstance(error, ssl.SSLError | UnicodeError)
        missing = _missing_certificate(url) if isinstance(error, FileNotFoundError) else None
        return Cause(text=missing or _unreachable(error, within), lasting=lasting)
    answered = bool(_ANSWERED.search(str(error)))
    for pattern, text in _UNREACHED.items():
        # Of a name with several addresses libpq tells each: the one that answered is meant.
        if not answered and re.search(pattern, str(error)):
            return Cause(text=text.format(within=within))
    if re.search("unable to open database file|readonly database", said):
        return _unopened(url, said)
    state = state or _state_by_words(str(error))
    if state in _CAUSES:
        user, database = url.engine.username, url.engine.database
        said = _CAUSES[state].format(
            user=repr(user) if user else "the system's user (the URL names none)",
            database=repr(database) if database else "named like the user (the URL names none)",
        )
    # A server that answered in words that are not known here would answer the same.
    lasting = state is None and answered
    return Cause(text=said or type(error).__name__, sqlstate=state, lasting=lasting)


def _state_by_words(said: str) -> str | None:
    found = (state for state, words in _WORDS.items() if re.search(words, said))
    return next(found, None)


def _unreachable(error: Exception, within: float) -> str:
    said = _in_one_line(error) or type(error).__name__
    if "connection_lost() call" in said:  # asyncpg's
        return _HUNG_UP
    text = next((text for kind, text in _BY_KIND if isinstance(error, kind)), "{said}")
    return text.format(said=said, within=within)


def _missing_certificate(url: DatabaseUrl) -> str | None:
    """Name a file of certificates that is gone, for which asyncpg's error is a socket's, too.

    Those of the URL are looked for before.
    """
    if all(each.is_socket for each in url.hosts):
        return None
    for name in _FILES:
        if (file := os.environ.get(name)) and not Path(file).exists():
            return _NO_CERTIFICATE.format(file=file, name=name)
    return None


def _unopened(url: DatabaseUrl, said: str) -> Cause:
    if "readonly" in said:
        return Cause(text=_READ_ONLY_FILE.format(said=said))
    path = Path(url.engine.database or "").absolute()
    if path.parent.is_dir() or url.place.startswith("file:"):
        return Cause(text=_NOT_OPENED.format(said=said))
    return Cause(text=_NO_FOLDER.format(folder=path.parent), lasting=True)


def _in_one_line(error: object) -> str:
    return redact("; ".join(filter(None, map(str.strip, str(error).splitlines()))))
