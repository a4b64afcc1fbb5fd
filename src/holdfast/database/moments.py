"""What dates, times and spans of time must be like."""

import datetime as dt
from datetime import UTC
from typing import Any

from sqlalchemy import types

from holdfast.database.judging import Check, Refuse, Use, judging, no

_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001  -- from which SQLAlchemy counts spans on SQLite
_TAKES_NONE = "has a time zone, and its type has none; take it away, or declare timezone=True"


def datetime(kind: types.DateTime, _use: Use, refuse: Refuse) -> Check:
    """Give the check of times with a zone, or without: a driver would take its own for the other.

    Those with a zone are put into UTC, since SQLite drops the zone. A date is its midnight, where
    there are no zones.
    """
    if not kind.timezone:
        judge = judging(_wrong_naive, refuse)
        return lambda value: (
            value if type(value) is dt.datetime and value.tzinfo is None else judge(value)
        )
    judge = judging(_wrong_aware, refuse)

    def in_utc(value: Any) -> Any:
        if value is None or (type(value) is dt.datetime and value.tzinfo is UTC):
            return value
        return judge(value).astimezone(UTC)

    return in_utc


def date(_kind: object, _use: Use, refuse: Refuse) -> Check:
    """Give the check of dates; of a datetime the time would be lost."""

    def wrong(value: object) -> str | None:
        is_date = isinstance(value, dt.date) and not isinstance(value, dt.datetime)
        return None if is_date else no(value, "a date; of a datetime take its date()")

    return judging(wrong, refuse)


def time(kind: types.Time, _use: Use, refuse: Refuse) -> Check:
    """Give the check of times of day with an offset, or without: it would be lost."""

    def wrong(value: object) -> str | None:
        if not isinstance(value, dt.time):
            return no(value, "a time")
        if kind.timezone:
            return None if value.utcoffset() is not None else "has no offset from UTC; give it one"
        return None if value.tzinfo is None else _TAKES_NONE

    return judging(wrong, refuse)


def interval(_kind: object, _use: Use, refuse: Refuse) -> Check:
    """Give the check of spans, which SQLAlchemy stores on SQLite as a time counted from 1970."""

    def wrong(value: object) -> str | None:
        if not isinstance(value, dt.timedelta):
            return no(value, "a timedelta")
        try:
            _EPOCH + value
        except OverflowError:
            return "is beyond what SQLite has room for, the years 1 to 9999 from 1970"
        return None

    return judging(wrong, refuse)


def _wrong_aware(value: object) -> str | None:
    if not isinstance(value, dt.datetime):
        return no(value, "a datetime with a time zone")
    if value.utcoffset() is None:
        return "has no time zone; use datetime.now(UTC), or give it the one that is meant"
    try:
        value.astimezone(UTC)
    except OverflowError:
        return "is not within the years 1 to 9999 in UTC"
    return None


def _wrong_naive(value: object) -> str | None:
    if isinstance(value, dt.datetime):
        return None if value.utcoffset() is None else _TAKES_NONE
    return None if isinstance(value, dt.date) else no(value, "a datetime without a time zone")
