"""Turn the URL that somebody pasted into one that an engine takes, and hide its secrets."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from holdfast.errors import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

Backend = Literal["postgresql", "sqlite"]

DRIVERS: Mapping[str, tuple[Backend, str]] = {
    "postgres": ("postgresql", "asyncpg"),
    "postgresql": ("postgresql", "asyncpg"),
    "postgresql+asyncpg": ("postgresql", "asyncpg"),
    "postgresql+psycopg": ("postgresql", "psycopg"),
    "sqlite": ("sqlite", "aiosqlite"),
    "sqlite+aiosqlite": ("sqlite", "aiosqlite"),
}
# A key that is not here would reach the driver and come back as a TypeError at connect.
QUERY_KEYS: Mapping[str, frozenset[str]] = {
    "asyncpg": frozenset({"host", "port", "ssl"}),
    "psycopg": frozenset({"host", "port", "sslmode"}),
    "aiosqlite": frozenset({"cache", "mode", "uri"}),
}
_LAST_PORT = 65535
# From the scheme to the last @ of the line: a password may hold anything, spaces and @ included.
_PASSWORD = re.compile(r"(?P<before>[a-z][a-z0-9+.-]*://[^\s:/?#@]*:).*(?P<after>@)", re.IGNORECASE)
_QUERY_SECRET = re.compile(r"(?P<before>[?&](?:password|sslpassword|token)=)[^&\s]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseUrl:
    """One database's address, ready for an engine; its text forms never show the password.

    Attributes:
        engine: the URL for `create_async_engine`, password included.
        backend: the database behind it.
    """

    engine: "URL"
    backend: Backend

    @property
    def place(self) -> str:
        """Where it is, for messages: `localhost:5432/shop`, a socket folder or a file."""
        if self.backend == "sqlite":
            return self.engine.database or ":memory:"
        name = self.engine.database or self.engine.username or ""
        return f"{','.join(self._hosts())}/{name}"

    def _hosts(self) -> list[str]:
        url = self.engine
        hosts = _values(url.host) or _values(url.query.get("host")) or ["localhost"]
        ports = _values(str(url.port or "")) or _values(url.query.get("port")) or ["5432"]
        each = ports if len(ports) == len(hosts) else ports[:1] * len(hosts)
        return [_join(host, port) for host, port in zip(hosts, each, strict=True)]

    def __str__(self) -> str:
        return self.engine.render_as_string(hide_password=True)

    def __repr__(self) -> str:
        return f"DatabaseUrl({str(self)!r})"


def parse(url: "str | URL") -> DatabaseUrl:
    """Read a database URL in any of the forms that people have.

    `postgres://`, `postgresql://`, `postgresql+asyncpg://`, `postgresql+psycopg://`,
    `sqlite://` and `sqlite+aiosqlite://`. Without a driver, asyncpg or aiosqlite is chosen.

        parse("postgres://ann:secret@db/shop").engine.drivername   # "postgresql+asyncpg"

    Raises:
        ConfigurationError: it is not a URL, the scheme or a query key is unknown, or a host,
            port or @ is where it cannot be. The message repeats nothing that may be secret.
    """
    made = _make(url)
    if made.drivername not in DRIVERS:
        known = ", ".join(f"{name}://" for name in DRIVERS)
        raise ConfigurationError(
            f"database URL: the scheme {made.drivername!r} is not known; use one of {known}"
        )
    backend, driver = DRIVERS[made.drivername]
    _refuse_unknown_keys(made, driver)
    if backend == "postgresql":
        _refuse_wrong_address(made)
    elif made.host or made.username:
        raise ConfigurationError(
            "database URL: SQLite has no host or user; write sqlite:///file.db for a relative "
            "path, sqlite:////folder/file.db for an absolute one"
        )
    else:
        _refuse_ignored_keys(made)
    return DatabaseUrl(engine=made.set(drivername=f"{backend}+{driver}"), backend=backend)


def redact(text: str) -> str:
    """Replace the password of every URL in the text by `***`."""
    hidden = _PASSWORD.sub(r"\g<before>***\g<after>", text)
    return _QUERY_SECRET.sub(r"\g<before>***", hidden)


def _make(url: "str | URL") -> "URL":
    from sqlalchemy.engine import URL, make_url  # noqa: PLC0415  -- 270 ms, and redact needs none
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

    if isinstance(url, URL):
        return url
    # None is what an unset environment variable gives.
    if not url or not url.strip():
        raise ConfigurationError(
            "database URL: it is empty; it looks like postgresql://USER@HOST/NAME"
        )
    _refuse_raw_at(url)
    try:
        return make_url(url.strip())
    except (ArgumentError, ValueError):
        # The text is not repeated, nor SQLAlchemy's error chained: both may hold the password.
        raise ConfigurationError(
            "database URL: it cannot be read; it looks like "
            "postgresql://USER@HOST:5432/NAME or sqlite:///FILE.db"
        ) from None


def _refuse_raw_at(url: str) -> None:
    # SQLAlchemy ends a password at the first @, and shows the rest of it as the host.
    if url.count("@") > 1 and not url.lstrip().startswith("sqlite"):
        raise ConfigurationError(
            "database URL: it has more than one @; inside a user, password or name write %40"
        )


def _refuse_wrong_address(url: "URL") -> None:
    for key, given in (("host", url.host), ("port", url.port)):
        if given is not None and key in url.query:
            raise ConfigurationError(f"database URL: it has two places for the {key}; keep one")
    if url.port is not None and not 0 < url.port <= _LAST_PORT:
        raise ConfigurationError(f"database URL: the port {url.port} is not from 1 to {_LAST_PORT}")


def _refuse_ignored_keys(url: "URL") -> None:
    """SQLite reads `mode` and `cache` only in a name that begins with `file:`, with `uri=true`."""
    named = (url.database or "").startswith("file:")
    asked = url.query.get("uri") == "true"
    if (named or asked or set(url.query) - {"uri"}) and not (named and asked):
        raise ConfigurationError(
            "database URL: SQLite takes a name that begins with file: and a query with uri=true "
            "only together; write sqlite:///file:shop.db?mode=ro&uri=true"
        )


def _values(given: str | tuple[str, ...] | None) -> list[str]:
    return given.split(",") if isinstance(given, str) and given else list(given or ())


def _join(host: str, port: str) -> str:
    if "/" in host or re.fullmatch(r"[^:]+:\d+", host):
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _refuse_unknown_keys(url: "URL", driver: str) -> None:
    unknown = sorted(set(url.query) - QUERY_KEYS[driver])
    if unknown:
        known = ", ".join(sorted(QUERY_KEYS[driver]))
        raise ConfigurationError(
            f"database URL: {', '.join(unknown)} in the query is not known for {driver}; "
            f"known are {known}"
        )
