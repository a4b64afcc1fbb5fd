"""Pages of what is stored, in the order in which it was made."""

from typing import TypeVar

from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.paging import Page, make_page, read_place
from mantimon.db.models import Base
from mantimon.services.inputs import require_limit

T = TypeVar("T", bound=Base)


async def read_page(
    session: AsyncSession, model: type[T], wanted: Select[T], *, after: str | None, limit: int
) -> Page[T]:
    """Read the rows that follow a page, the oldest first.

    Raises:
        InvalidInputError: the limit is not between 1 and 10,000.
        ConfigurationError: no page ended at `after`.
    """
    require_limit(limit)
    if after is not None:
        # Ids rise with time, and have the index.
        wanted = wanted.where(model.id > read_place(after)[1])
    rows = (await session.scalars(wanted.order_by(model.id).limit(limit + 1))).all()
    return make_page(rows, limit, lambda row: (row.created_at, row.id))
