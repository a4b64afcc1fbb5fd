"""Pages of a list, each beginning where the one before has ended: rows are neither lost nor twice.

A page costs the same wherever it is, since the next one is found by what the last row was sorted
by, not by counting rows.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from mantimon.services.inputs import require_limit

T = TypeVar("T")
Place = TypeVar("Place")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T, Place]):
    """Some rows of a list; `next` is what to ask for the ones after them with, None at the end."""

    items: list[T]
    next: Place | None


async def read_page(
    session: AsyncSession,
    statement: Select[T],
    by: InstrumentedAttribute[Place],
    *,
    after: Place | None,
    limit: int,
) -> Page[T, Place]:
    """Read the rows that follow a place, sorted by a column in which no two of them are equal.

    Raises:
        InvalidInputError: the limit is not between 1 and 10,000.
    """
    require_limit(limit)
    if after is not None:
        statement = statement.where(by > after)
    # One more than asked for tells whether there is a next page.
    rows = (await session.scalars(statement.order_by(by).limit(limit + 1))).all()
    items = list(rows[:limit])
    return Page(items=items, next=getattr(items[-1], by.key) if len(rows) > limit else None)
