"""Have SQLite give times back with their zone: it stores them without, in UTC."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import TIMESTAMP, DateTime, Dialect, Engine
from sqlalchemy.dialects.sqlite import DATETIME


def keep_zones(engine: Engine) -> None:
    """Have columns with `DateTime(timezone=True)` give what they were given, in UTC."""
    dialect: Any = engine.dialect
    dialect.colspecs = {**dialect.colspecs, DateTime: _Instant, TIMESTAMP: _Instant}


class _Instant(DATETIME):
    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        """Give what makes a time of the text that is stored."""
        process: Any = super().result_processor(dialect, coltype)

        def aware(value: Any) -> datetime | None:
            made: datetime | None = process(value)
            return None if made is None else made.replace(tzinfo=UTC)

        return aware if self.timezone else process
