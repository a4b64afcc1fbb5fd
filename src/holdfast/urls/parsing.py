"""Read a URL in any of the forms that people and providers have."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from holdfast.errors import ConfigurationError
from holdfast.urls.address import Spec
from holdfast.urls.pasted import LOOKS, Pasted, bare, scheme_of, take_apart
from holdfast.urls.postgresql import read_postgresql
from holdfast.urls.sqlite import read_sqlite
from holdfast.urls.url import Backend, DatabaseUrl

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

DRIVERS: Mapping[str, tuple[Backend, str]] = {
    "postgres": ("postgresql", "asyncpg"),
    "postgresql": ("postgresql", "asyncpg"),
    "postgresql+asyncpg": ("postgresql", "asyncpg"),
    "postgresql+psycopg": ("postgresql", "psycopg"),
    "sqlite": ("sqlite", "aiosqlite"),
    "sqlite+aiosqlite": ("sqlite", "aiosqlite"),
}
# What to write where another driver is named, which would block the loop.
_INSTEAD: Mapping[str, str] = {
    "postgres": "postgresql:// (asyncpg) or postgresql+psycopg://",
    "postgresql": "postgresql:// (asyncpg) or postgresql+psycopg://",
    "sqlite": "sqlite:// (aiosqlite)",
}


def parse(
    url: "str | URL | DatabaseUrl", *, direct: "str | URL | DatabaseUrl | None" = None
) -> DatabaseUrl:
    """Read a database URL in any of the forms that people have.

    `postgres://`, `postgresql://`, `postgresql+asyncpg://`, `postgresql+psycopg://`, libpq's
    `host=db dbname=shop`, `sqlite://` and `sqlite+aiosqlite://`. Without a driver, asyncpg or
    aiosqlite is chosen. What becomes of each key is in the guide.

        parse("postgres://ann:secret@db/shop").engine.drivername   # "postgresql+asyncpg"

    Args:
        url: as it was pasted.
        direct: the URL past the pooler, for migrations; where it is None, it is derived if the
            provider is known.

    Raises:
        ConfigurationError: it is not a URL, scheme, key or value are unknown, or the driver
            cannot do what is asked. The message repeats nothing that may be secret.
    """
    made = url if isinstance(url, DatabaseUrl) else _parse(url)
    return made if direct is None else replace(made, direct=parse(direct))


def _parse(url: "str | URL | None") -> DatabaseUrl:
    # None is what an unset environment variable gives.
    if url is None or isinstance(url, str):
        text = bare(url or "")
        backend, driver = _driver(scheme_of(text))
        if backend == "sqlite":
            return read_sqlite(_make(text))
        return read_postgresql(take_apart(text), driver)
    _require_url(url)
    backend, driver = _driver(url.drivername)
    return read_sqlite(url) if backend == "sqlite" else read_postgresql(_pieces(url), driver)


def _driver(scheme: str) -> tuple[Backend, str]:
    if scheme in DRIVERS:
        return DRIVERS[scheme]
    said = f"database URL: the scheme {scheme!r} is not known"
    if instead := _INSTEAD.get(scheme.partition("+")[0]):
        raise ConfigurationError(f"{said}; the driver must be an async one: write {instead}")
    known = ", ".join(f"{name}://" for name in DRIVERS)
    raise ConfigurationError(f"{said}; use one of {known}")


def _require_url(url: object) -> None:
    from sqlalchemy.engine import URL  # noqa: PLC0415  -- 270 ms, which a text does not need

    if not isinstance(url, URL):
        raise ConfigurationError(
            f"database URL: it is of type {type(url).__name__}; give a str, a URL of SQLAlchemy or "
            "a DatabaseUrl"
        )


def _make(text: str) -> "URL":
    from sqlalchemy.engine import make_url  # noqa: PLC0415  -- 270 ms, and redact needs none
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

    try:
        return make_url(text)
    except (ArgumentError, ValueError):
        # The text is not repeated, nor SQLAlchemy's error chained: both may hold the password.
        raise ConfigurationError(f"database URL: it cannot be read; {LOOKS}") from None


def _pieces(url: "URL") -> Pasted:
    """Take SQLAlchemy's own URL apart."""
    port = str(url.port or "")
    named = {"user": url.username, "password": url.password, "dbname": url.database}
    query = [
        (key, value)
        for key, values in url.query.items()
        for value in ((values,) if isinstance(values, str) else values)
    ]
    return Pasted(
        scheme=url.drivername,
        specs=(Spec(host=url.host or "", port=port),) if url.host or port else (),
        pairs=(*((key, str(value)) for key, value in named.items() if value), *query),
    )
