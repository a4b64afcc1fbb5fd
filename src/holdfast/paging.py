"""Pages of a list, each beginning where the one before has ended: rows are neither lost nor twice.

A page costs the same wherever it is, since the next one is found by what the last row was sorted
by, not by counting rows.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar

from holdfast.errors import ConfigurationError

T = TypeVar("T")

Place = tuple[datetime, uuid.UUID]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LONGEST = 80  # characters; a place has about 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """Some rows of a list; `next` is what to ask for the ones after them with, None at the end."""

    items: list[T]
    next: str | None


def make_page(rows: Sequence[T], limit: int, place: Callable[[T], Place]) -> Page[T]:
    """Make a page of rows of which one more was fetched than it has.

    Args:
        rows: at most `limit` + 1, in the order of the list.
        limit: how many rows the page has.
        place: gives the time and the id that a row is sorted by.
    """
    items = list(rows[:limit])
    return Page(items=items, next=write_place(*place(items[-1])) if len(rows) > limit else None)


def write_place(time: datetime, id: uuid.UUID) -> str:  # noqa: A002  -- a row's column
    """Write what a row is sorted by as one word without a meaning to the caller."""
    return f"{(time - _EPOCH) // _MICROSECOND}-{id.hex}"


def read_place(written: str) -> Place:
    """Read it back.

    Raises:
        ConfigurationError: no page ended there.
    """
    time, _, row = written.rpartition("-") if isinstance(written, str) else ("", "", "")
    try:
        return _EPOCH + int(time) * _MICROSECOND, uuid.UUID(row)
    except (ValueError, OverflowError):
        said = repr(written[:_LONGEST]) if isinstance(written, str) else type(written).__name__
        raise ConfigurationError(
            f"after is {said}; it is what the page before has given as `next`"
        ) from None
