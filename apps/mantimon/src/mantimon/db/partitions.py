"""The partitions of the played games, one for each month: made ahead, so that none is missing."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Interval, func, literal, select
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.models import clock_timestamp
from mantimon.errors import InvalidInputError

MONTHS_AHEAD = 3  # what a server that nobody looks after lives on, until its next start
_MOST_MONTHS = 48
_HOUR = timedelta(hours=1)


async def make_partitions(session: AsyncSession, *, months: int = MONTHS_AHEAD) -> list[str]:
    """Make the partitions of this month and so many more that are not there; give their names.

    Any number of processes may do so at once. Whoever reads or writes games does not wait, whoever
    logs in for milliseconds: the new table refers to the players.

    Args:
        session: as any role that may use the tables; the caller commits.
        months: 0 to 48.

    Raises:
        InvalidInputError: `months` is not between 0 and 48.
        sqlalchemy.exc.DBAPIError: a table was locked for more than 5 s; nothing was made.
    """
    if not isinstance(months, int) or isinstance(months, bool) or not 0 <= months <= _MOST_MONTHS:
        raise InvalidInputError(f"months is {months!r}; it is between 0 and {_MOST_MONTHS}")
    now = datetime.now(UTC)
    years, month = divmod(now.month - 1 + months, 12)
    last = datetime(now.year + years, month + 1, 1, tzinfo=UTC)
    return await cover(session, now, max(now, last))


async def cover(session: AsyncSession, since: datetime, until: datetime) -> list[str]:
    """Make the partitions that games of a period need, its end included; give their names.

    Raises:
        sqlalchemy.exc.DBAPIError: as for `make_partitions`; or the period begins before 2000 or
            ends more than five years from now.
    """
    made = select(func.make_game_history_partitions(since, until))
    return list(await session.scalars(made))


def make_room() -> ColumnElement[int]:
    """Build what any statement can ask for on its way: room for games of the next hour.

    Where there is room already, as nearly always, it costs some microseconds. Its value is how
    many partitions were made.
    """
    now = clock_timestamp()
    made = func.make_game_history_partitions(now, now + literal(_HOUR, Interval())).table_valued(
        "name"
    )
    return select(func.count()).select_from(made).scalar_subquery()
