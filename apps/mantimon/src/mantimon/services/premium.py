"""Whether a player is premium at a moment: granted for a period or without an end, and ended.

Where `premium_until` has a date, the date decides: premium is until then, not at that moment.
Where it has none, `is_premium` decides. The flag alone is not enough: it stays when time is up.
"""

import uuid
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from mantimon.db.models import User
from mantimon.errors import InvalidInputError
from mantimon.services.inputs import show
from mantimon.services.players import get_player, lock_player

LONGEST_PERIOD = timedelta(days=3_660)  # ten years; keeps a slip of the pen out
_LATEST = datetime(9_000, 1, 1, tzinfo=UTC)  # Python's own calendar ends with the year 9999


async def is_premium(session: AsyncSession, user_id: uuid.UUID, *, at: datetime) -> bool:
    """Tell whether a player is premium at a moment; for now it is `datetime.now(UTC)`.

    Raises:
        InvalidInputError: the moment has no time zone.
        NotFoundError: there is no such player.
    """
    return has_premium(await get_player(session, user_id), at=at)


def has_premium(user: User, *, at: datetime) -> bool:
    """Tell the same of a player who has been read.

    Raises:
        InvalidInputError: the moment has no time zone.
    """
    _require_aware(at)
    return user.is_premium if user.premium_until is None else at < user.premium_until


async def grant_premium(
    session: AsyncSession, user_id: uuid.UUID, period: timedelta | None, *, at: datetime
) -> User:
    """Make a player premium for a period, in addition to what is left; None is without an end.

    Grants of one player wait for each other: ten at once are ten periods.

    Args:
        session: the caller commits.
        user_id: the player.
        period: up to ten years. Nothing is added to premium without an end.
        at: when it is granted, with a time zone: `datetime.now(UTC)`.

    Raises:
        InvalidInputError: the period or the moment is none. Nothing is written.
        NotFoundError: there is no such player.
    """
    _require_aware(at)
    _require_period(period)
    user = await lock_player(session, user_id)
    if period is None:
        user.premium_until = None
    elif user.premium_until is not None or not user.is_premium:
        user.premium_until = _add(max(at, user.premium_until or at), period)
    user.is_premium = True
    await session.flush()
    return user


async def end_premium(session: AsyncSession, user_id: uuid.UUID) -> User:
    """End a player's premium at once, whatever is left of it.

    Raises:
        NotFoundError: there is no such player.
    """
    user = await lock_player(session, user_id)
    user.is_premium, user.premium_until = False, None
    await session.flush()
    return user


def _add(start: datetime, period: timedelta) -> datetime:
    if start > _LATEST:
        raise InvalidInputError(f"premium until {start.isoformat()} cannot be extended further")
    return start + period


def _require_aware(at: datetime) -> None:
    if not isinstance(at, datetime) or at.utcoffset() is None:
        raise InvalidInputError(
            f"{show(at)} is no moment with a time zone; now is datetime.now(UTC)"
        )


def _require_period(period: timedelta | None) -> None:
    if period is None:
        return
    if not isinstance(period, timedelta) or not timedelta(0) < period <= LONGEST_PERIOD:
        raise InvalidInputError(
            f"period is {show(period)}; it is a timedelta of more than 0 and up to "
            f"{LONGEST_PERIOD.days} days"
        )
