"""Write a database's address as a URL that is read as the same."""

import math
from collections.abc import Iterator
from urllib.parse import quote

from holdfast.urls.options import write_options
from holdfast.urls.providers import Recognised, recognise
from holdfast.urls.url import DatabaseUrl

_NAME = "application_name"


def render(url: DatabaseUrl) -> str:
    """Give the text that `parse` reads as the same, for another program; it has the secrets.

    `url.engine` is for SQLAlchemy and has none of the keys: no `sslmode`, no `options`. What was
    given as `direct` is a URL of its own.

        render(parse("postgres://db/shop?ssl=true"))  # "postgresql+asyncpg://db/shop?sslmode=require"
    """
    engine = url.engine.set(query={})
    # SQLAlchemy leaves blanks as they are, and one at the end would be taken for the console's.
    address = engine.render_as_string(hide_password=False).replace(" ", "%20")
    pairs = [*_hosts(url), *(_postgresql(url) if url.backend == "postgresql" else ())]
    query = "&".join(f"{key}={quote(value, safe='/,')}" for key, value in pairs)
    return f"{address}?{query}" if query else address


def _hosts(url: DatabaseUrl) -> Iterator[tuple[str, str]]:
    """Give what SQLAlchemy has in the query: hosts that are several or a socket; SQLite's keys."""
    for key, values in url.engine.query.items():
        yield key, values if isinstance(values, str) else ",".join(values)


def _postgresql(url: DatabaseUrl) -> Iterator[tuple[str, str]]:
    name = url.settings.get(_NAME)
    settings = {key: value for key, value in url.settings.items() if not name or key != _NAME}
    said = {
        # Of a password without a user SQLAlchemy writes nothing.
        "password": None if url.engine.username else url.engine.password,
        **url.tls.keys(),
        "connect_timeout": _connect_timeout(url),
        "target_session_attrs": url.target,
        "load_balance_hosts": "random" if url.balanced else None,
        _NAME: name or None,  # an empty one is nothing to a key, and something to the server
        "options": write_options(settings, url.route) or None,
        "pooler": _pooler(url),
        **url.extra,
    }
    yield from ((key, value) for key, value in said.items() if value is not None)


def _connect_timeout(url: DatabaseUrl) -> str | None:
    """Give it in whole seconds; 0 is none, where the provider would have one."""
    if url.connect_timeout:
        return str(math.ceil(url.connect_timeout))
    provider = _first(url).provider
    return "0" if provider and provider.sleeps else None


def _pooler(url: DatabaseUrl) -> str | None:
    """Give the mode, where the first host does not tell it."""
    rule = _first(url).rule
    told = rule.pooler if rule else None
    return None if url.pooler == told else url.pooler or "none"


def _first(url: DatabaseUrl) -> Recognised:
    return recognise(url.hosts[0]) if url.hosts else Recognised()
