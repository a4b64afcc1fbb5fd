"""Premium is a matter of dates: granted, added to, over at an exact moment, and ended."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest

from mantimon.db.models import User
from mantimon.db.session import get_session
from mantimon.errors import InvalidInputError, NotFoundError
from mantimon.services.premium import (
    LONGEST_PERIOD,
    end_premium,
    grant_premium,
    has_premium,
    is_premium,
)

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)
MONTH = timedelta(days=30)


async def grant(player_id, period=MONTH, at=NOON):
    async with get_session() as session:
        return await grant_premium(session, player_id, period, at=at)


@pytest.mark.parametrize(
    ("flag", "until", "premium"),
    [
        (False, None, False),
        (True, None, True),
        (True, NOON + MOMENT, True),
        (True, NOON, False),
        (True, NOON - MOMENT, False),
        (False, NOON + MOMENT, True),
        (True, (NOON + MOMENT).astimezone(timezone(timedelta(hours=9))), True),
    ],
)
def test_the_rule(make, flag, until, premium):
    """The date decides where there is one, and is not part of the period; else the flag does."""
    assert has_premium(make.user(is_premium=flag, premium_until=until), at=NOON) is premium


async def test_a_grant(session, player):
    """Premium begins when it is granted, and is over a period later, to the microsecond."""
    player_id = player.id
    granted = await grant(player_id)

    assert (granted.is_premium, granted.premium_until) == (True, NOON + MONTH)
    assert await is_premium(session, player_id, at=NOON + MONTH - MOMENT) is True
    assert await is_premium(session, player_id, at=NOON + MONTH) is False


async def test_a_grant_is_added_to_what_is_left(player):
    """A second grant loses nothing of the first."""
    await grant(player.id)
    again = await grant(player.id, timedelta(days=1), at=NOON + timedelta(days=29))

    assert again.premium_until == NOON + timedelta(days=31)


async def test_a_grant_after_the_end(player):
    """Premium that is over is not added to: the new period begins when it is granted."""
    await grant(player.id)
    later = NOON + timedelta(days=300)

    assert (await grant(player.id, at=later)).premium_until == later + MONTH


async def test_premium_without_an_end(session, player):
    """It takes the place of a period, is never over, and a period adds nothing to it."""
    player_id = player.id
    await grant(player_id)
    for period in (None, MONTH):
        forever = await grant(player_id, period)
        assert (forever.is_premium, forever.premium_until) == (True, None)

    assert await is_premium(session, player_id, at=datetime(9999, 12, 31, tzinfo=UTC)) is True


@pytest.mark.parametrize("period", [MONTH, None])
async def test_an_end(session, player, period):
    """Ended premium is over at once, and can be granted anew."""
    player_id = player.id
    await grant(player_id, period)
    await end_premium(session, player_id)
    assert await is_premium(session, player_id, at=NOON) is False
    await session.commit()

    assert (await grant(player_id)).premium_until == NOON + MONTH


@pytest.mark.holdfast(isolation="database")
@pytest.mark.parametrize("days", [0, 100])
async def test_ten_grants_at_once(player, days):
    """Ten grants at once are ten periods, for a new premium player as for an old one."""
    if days:
        await grant(player.id, timedelta(days=days))
    granted = await asyncio.gather(*(grant(player.id) for _ in range(10)))

    assert max(each.premium_until for each in granted) == NOON + timedelta(days=days) + 10 * MONTH


@pytest.mark.holdfast(isolation="database")
async def test_a_grant_that_is_cancelled(player, until_blocked):
    """One that is cancelled while it waits for another adds nothing."""
    async with get_session() as own:
        await grant_premium(own, player.id, MONTH, at=NOON)
        second = asyncio.create_task(grant(player.id))
        await until_blocked()
        second.cancel()
        await asyncio.wait({second})

    assert (await grant(player.id, timedelta(days=1))).premium_until == NOON + timedelta(days=31)


@pytest.mark.parametrize(
    "at",
    [NOON.replace(tzinfo=None), "2030-06-01", None, 7],
    ids=["naive", "text", "none", "number"],
)
async def test_a_moment_without_a_time_zone(session, player, at):
    """A moment that could be any of a day's is refused in one line."""
    with pytest.raises(InvalidInputError, match="is no moment with a time zone"):
        await is_premium(session, player.id, at=at)
    with pytest.raises(InvalidInputError, match="is no moment with a time zone"):
        await grant_premium(session, player.id, MONTH, at=at)
    with pytest.raises(InvalidInputError, match="is no moment with a time zone"):
        has_premium(player, at=at)

    await session.refresh(player)
    assert player.is_premium is False


@pytest.mark.parametrize(
    "period", [timedelta(0), -MONTH, LONGEST_PERIOD + MOMENT, timedelta.max, 30, "30", True]
)
async def test_a_period_that_is_none(session, player, period):
    """A period that is nothing, negative or absurd is refused in one line."""
    with pytest.raises(InvalidInputError, match=r"^period is .*up to 3660 days$"):
        await grant_premium(session, player.id, period, at=NOON)

    await session.refresh(player)
    assert player.is_premium is False


async def test_premium_beyond_the_calendar(session, make, store):
    """A date that no calendar has is refused, and what was there stays."""
    until = datetime(9_000, 1, 2, tzinfo=UTC)
    player = make.user(is_premium=True, premium_until=until)
    await store(player)

    with pytest.raises(InvalidInputError, match=r"until 9000-01-02.* cannot be extended"):
        await grant_premium(session, player.id, MONTH, at=NOON)
    assert (await session.get_one(User, player.id)).premium_until == until


async def test_nobody(session):
    """One line names a player who does not exist."""
    nobody = uuid.uuid4()
    for asked in (
        is_premium(session, nobody, at=NOON),
        grant_premium(session, nobody, MONTH, at=NOON),
        end_premium(session, nobody),
    ):
        with pytest.raises(NotFoundError, match=f"^there is no player {nobody}$"):
            await asked
