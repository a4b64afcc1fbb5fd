"""Instants: stored and read in UTC, by the clock of the server."""

from datetime import UTC, datetime

from sqlalchemy import DateTime
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

from holdfast.errors import InvalidValueError


class UTCDateTime(TypeDecorator[datetime]):
    """An instant: aware values go in, aware values in UTC come back, microseconds kept.

    `TIMESTAMP WITH TIME ZONE` on PostgreSQL. SQLite has no such type and drops offsets, so the
    value is stored there in UTC.

    Raises:
        InvalidValueError: on binding a naive datetime, which PostgreSQL would have taken for the
            local time of the process.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a naive value and turn an aware one into UTC."""
        if value is None or (type(value) is datetime and value.tzinfo is UTC):
            return value
        if not isinstance(value, datetime):
            raise InvalidValueError(f"is of type {type(value).__name__}, and has to be a datetime")
        if value.utcoffset() is None:
            raise InvalidValueError("has no time zone; use datetime.now(UTC)")
        try:
            return value.astimezone(UTC)
        except OverflowError:
            raise InvalidValueError("is not within the years 1 to 9999 in UTC") from None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the value back in UTC; SQLite's has lost its zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class clock_timestamp(FunctionElement[datetime]):  # noqa: N801  -- reads as the SQL function
    """The server's clock at this moment, not at the start of the transaction.

    Two updates in one transaction get two times, also in a test that runs in one transaction.
    """

    type = UTCDateTime()
    inherit_cache = True


@compiles(clock_timestamp)
def _clock_timestamp(_element: clock_timestamp, _compiler: SQLCompiler, **_kw: object) -> str:
    return "clock_timestamp()"


@compiles(clock_timestamp, "sqlite")
def _clock_timestamp_sqlite(
    _element: clock_timestamp, _compiler: SQLCompiler, **_kw: object
) -> str:
    # SQLite's clock has milliseconds; the text is padded to what SQLAlchemy writes itself.
    return "(strftime('%Y-%m-%d %H:%M:%f000', 'now'))"


class Timestamps:
    """`created_at` and `updated_at`, both by the server's clock, also for bare Core statements."""

    # With their type, for bases that do not have our annotation map.
    created_at: Mapped[datetime] = mapped_column(
        UTCDateTime(), server_default=clock_timestamp(), sort_order=1
    )
    updated_at: Mapped[datetime] = mapped_column(
        UTCDateTime(), server_default=clock_timestamp(), onupdate=clock_timestamp(), sort_order=1
    )
