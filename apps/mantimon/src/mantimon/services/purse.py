"""What a player has to spend: mantibucks and booster packs, and neither ever below zero."""

import uuid

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from mantimon.campaign.rewards import PACK_PRICE
from mantimon.db.models import CampaignProgress
from mantimon.errors import InvalidInputError, NoPackError, NotEnoughMantibucksError
from mantimon.services.campaign import lock_campaign
from mantimon.services.inputs import LARGEST_STORED, require_count


async def grant_mantibucks(
    session: AsyncSession, user_id: uuid.UUID, amount: int
) -> CampaignProgress:
    """Give a player mantibucks.

    Args:
        session: the caller commits.
        user_id: the player.
        amount: 1 to 10,000.

    Raises:
        InvalidInputError: the amount is none, or the player would have more than the table can
            hold. Nothing is written.
        NotFoundError: the player has no campaign. Nothing is written.
    """
    require_count("amount of mantibucks", amount)
    purse = await lock_campaign(session, user_id)
    purse.mantibucks = _sum("mantibucks", purse.mantibucks, amount)
    await session.flush()
    return purse


async def grant_packs(session: AsyncSession, user_id: uuid.UUID, count: int) -> CampaignProgress:
    """Give a player booster packs, 1 to 10,000 of them.

    Raises:
        InvalidInputError, NotFoundError: as for `grant_mantibucks`.
    """
    require_count("number of packs", count)
    purse = await lock_campaign(session, user_id)
    purse.booster_packs = _sum("booster packs", purse.booster_packs, count)
    await session.flush()
    return purse


async def buy_packs(session: AsyncSession, user_id: uuid.UUID, count: int) -> CampaignProgress:
    """Sell a player 1 to 10,000 booster packs for mantibucks.

    Purchases of one player wait for each other, so nobody spends the same mantibucks twice.

    Raises:
        NotEnoughMantibucksError: the player has less than the price. Nothing is written.
        InvalidInputError, NotFoundError: as for `grant_mantibucks`.
    """
    require_count("number of packs", count)
    purse = await lock_campaign(session, user_id)
    price = count * PACK_PRICE
    if purse.mantibucks < price:
        packs = "1 pack costs" if count == 1 else f"{count} packs cost"
        raise NotEnoughMantibucksError(
            f"{packs} {price} mantibucks; player {user_id} has {purse.mantibucks}"
        )
    purse.booster_packs = _sum("booster packs", purse.booster_packs, count)
    purse.mantibucks -= price
    await session.flush()
    return purse


async def take_pack(session: AsyncSession, user_id: uuid.UUID) -> None:
    """Take one of a player's packs, in one atomic statement.

    Raises:
        NoPackError: there is none left, or no campaign. Nothing is written.
    """
    statement = (
        update(CampaignProgress)
        .where(CampaignProgress.user_id == user_id, CampaignProgress.booster_packs >= 1)
        .values(booster_packs=CampaignProgress.booster_packs - 1)
        .returning(CampaignProgress)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
    if (await session.scalars(statement)).one_or_none() is None:
        raise NoPackError(await _why_no_pack(session, user_id))


async def _why_no_pack(session: AsyncSession, user_id: uuid.UUID) -> str:
    campaign = select(CampaignProgress.id).where(CampaignProgress.user_id == user_id)
    if await session.scalar(campaign) is None:
        return f"player {user_id} has no booster pack: there is no campaign; a starter begins one"
    return (
        f"player {user_id} has no booster pack left; buy one for {PACK_PRICE} mantibucks, "
        "or win a medal"
    )


def _sum(what: str, held: int, more: int) -> int:
    if held > LARGEST_STORED - more:
        raise InvalidInputError(
            f"a player cannot have more than {LARGEST_STORED} {what}; this one has {held}, "
            f"and {more} were to come"
        )
    return held + more
