"""Pages of what is stored, in the order in which it was made."""

import uuid
from typing import TypeVar

from sqlalchemy import Select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.paging import Page, make_page, read_place
from moai.core.models import Record
from moai.services.inputs import require_limit

T = TypeVar("T", bound=Record)


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
        time, row = read_place(after)
        wanted = wanted.where(tuple_(model.created_at, model.id) > (time, str(row)))
    wanted = wanted.order_by(model.created_at, model.id).limit(limit + 1)
    rows = (await session.scalars(wanted)).all()
    return make_page(rows, limit, lambda row: (row.created_at, uuid.UUID(row.id)))
