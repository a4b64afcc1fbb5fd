"""Read the URL of an SQLite database."""

from typing import TYPE_CHECKING

from holdfast.errors import ConfigurationError
from holdfast.urls.keys import refuse_unknown
from holdfast.urls.url import DatabaseUrl

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

KEYS = ("cache", "mode", "uri")


def read_sqlite(url: "URL") -> DatabaseUrl:
    """Give the database of a URL whose scheme is one of SQLite's.

    Raises:
        ConfigurationError: it has a host, or keys that SQLite would ignore.
    """
    refuse_unknown(url.query, "aiosqlite", KEYS)
    if url.host or url.username:
        raise ConfigurationError(
            "database URL: SQLite has no host or user; write sqlite:///file.db for a relative "
            "path, sqlite:////folder/file.db for an absolute one"
        )
    _refuse_ignored(url)
    return DatabaseUrl(engine=url.set(drivername="sqlite+aiosqlite"), backend="sqlite")


def _refuse_ignored(url: "URL") -> None:
    """SQLite reads `mode` and `cache` only in a name that begins with `file:`, with `uri=true`."""
    named = (url.database or "").startswith("file:")
    asked = url.query.get("uri") == "true"
    if (named or asked or set(url.query) - {"uri"}) and not (named and asked):
        raise ConfigurationError(
            "database URL: SQLite takes a name that begins with file: and a query with uri=true "
            "only together; write sqlite:///file:shop.db?mode=ro&uri=true"
        )
