"""Times that tell in which order things were written."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.models import clock_timestamp
from moai.core.models import Record

TICK = timedelta(microseconds=1)


async def next_time(
    session: AsyncSession, model: type[Record], within: ColumnElement[bool]
) -> datetime:
    """Give the server's time, or one that is later than what was written before.

    SQLite's clock has milliseconds, in which more than one row may be written; and any clock may
    be set back. The caller holds what keeps others from writing there meanwhile.
    """
    last = select(func.max(model.created_at)).where(within).scalar_subquery()
    now, before = (await session.execute(select(clock_timestamp(), last))).one()
    return now if before is None else max(now, before + TICK)
