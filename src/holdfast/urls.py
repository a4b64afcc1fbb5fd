"""Turn the URL that somebody pasted into one that an engine takes, and hide its secrets."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from holdfast.errors import ConfigurationError

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
_PASSWORD = re.compile(
    r"(?P<before>[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s]*(?P<after>@)", re.IGNORECASE
)
_QUERY_SECRET = re.compile(r"(?P<before>[?&](?:password|sslpassword|token)=)[^&\s]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseUrl:
    """One database's address, ready for an engine; its text forms never show the password.

    Attributes:
        engine: the URL for `create_async_engine`, password included.
        backend: the database behind it.
    """

    engine: URL
    backend: Backend

    @property
    def place(self) -> str:
        """Where it is, for messages: `localhost:5432/shop`, a socket folder or a file."""
        if self.backend == "sqlite":
            return self.engine.database or ":memory:"
        host = self.engine.host or self.engine.query.get("host") or "localhost"
        port = self.engine.port or 5432
        where = host if isinstance(host, str) else ",".join(host)
        return f"{where}/{self._name}" if where.startswith("/") else f"{where}:{port}/{self._name}"

    @property
    def _name(self) -> str:
        return self.engine.database or self.engine.username or ""

    def __str__(self) -> str:
        return self.engine.render_as_string(hide_password=True)

    def __repr__(self) -> str:
        return f"DatabaseUrl({str(self)!r})"


def parse(url: str | URL) -> DatabaseUrl:
    """Read a database URL in any of the forms that people have.

    `postgres://`, `postgresql://`, `postgresql+asyncpg://`, `postgresql+psycopg://`,
    `sqlite://` and `sqlite+aiosqlite://`. Without a driver, asyncpg or aiosqlite is chosen.

        parse("postgres://ann:secret@db/shop").engine.drivername   # "postgresql+asyncpg"

    Raises:
        ConfigurationError: it is not a URL, or the scheme or a query key is unknown.
    """
    made = _make(url)
    if made.drivername not in DRIVERS:
        known = ", ".join(f"{name}://" for name in DRIVERS)
        raise ConfigurationError(
            f"database URL: the scheme {made.drivername!r} is not known; use one of {known}"
        )
    backend, driver = DRIVERS[made.drivername]
    _refuse_unknown_keys(made, driver)
    return DatabaseUrl(engine=made.set(drivername=f"{backend}+{driver}"), backend=backend)


def redact(text: str) -> str:
    """Replace the password of every URL in the text by `***`."""
    hidden = _PASSWORD.sub(r"\g<before>***\g<after>", text)
    return _QUERY_SECRET.sub(r"\g<before>***", hidden)


def _make(url: str | URL) -> URL:
    if isinstance(url, URL):
        return url
    if not url.strip():
        raise ConfigurationError(
            "database URL: it is empty; it looks like postgresql://user:password@host/name"
        )
    try:
        return make_url(url.strip())
    except (ArgumentError, ValueError):
        # The text is not repeated, nor SQLAlchemy's error chained: both may hold the password.
        raise ConfigurationError(
            "database URL: it cannot be read; it looks like "
            "postgresql://user:password@host:5432/name or sqlite:///file.db"
        ) from None


def _refuse_unknown_keys(url: URL, driver: str) -> None:
    unknown = sorted(set(url.query) - QUERY_KEYS[driver])
    if unknown:
        known = ", ".join(sorted(QUERY_KEYS[driver]))
        raise ConfigurationError(
            f"database URL: {', '.join(unknown)} in the query is not known for {driver}; "
            f"known are {known}"
        )
