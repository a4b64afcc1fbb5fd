"""What a new player begins with, once."""

import asyncio
import random

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from mantimon.campaign.clubs import CLUBS
from mantimon.campaign.rewards import PACK_PRICE
from mantimon.cards.definition import ENERGY_TYPES, CardType, Element
from mantimon.db.models import CampaignProgress, CardSource, Collection, Deck
from mantimon.db.session import get_session
from mantimon.errors import InvalidInputError
from mantimon.services.boosters import open_booster
from mantimon.services.card_service import CardQueryError
from mantimon.services.collections import get_owned
from mantimon.services.deck_rules import find_problems
from mantimon.services.starters import choose_starter, give_starter


async def give(player, element, cards):
    async with get_session() as session:
        return await give_starter(session, player.id, element, "M1", cards=cards)


@pytest.mark.parametrize("element", ENERGY_TYPES)
def test_each_element_has_a_starter(first_set, cards, element):
    """Each starter is a playable deck of creatures of its element."""
    starter = choose_starter(element, first_set)

    assert find_problems(starter, owned=starter.cards, cards=cards) == []
    known = cards.get_cards(list(starter.cards))
    creatures = {card.element for card in known.values() if card.type is CardType.CREATURE}
    assert creatures == {Element(element)}
    assert starter.energy_cards == {element: 20}
    names = {card.name for card in known.values()}
    assert all(card.evolves_from in {None, *names} for card in known.values())


def test_a_starter_is_always_the_same(first_set):
    """There is no chance in a starter."""
    assert choose_starter("sky", first_set) == choose_starter("sky", first_set)


async def test_a_player_gets_a_starter(session, player, cards):
    """A new player has the cards, a campaign and a deck that can be played."""
    assert await give(player, "tide", cards) is True

    starter = choose_starter("tide", cards.get_cards_by_set("M1"))
    deck = (await session.scalars(select(Deck))).one()
    assert await get_owned(session, player.id) == starter.cards
    assert set(await session.scalars(select(Collection.source))) == {CardSource.STARTER}
    assert (deck.name, deck.is_valid, deck.is_starter, deck.starter_type) == (
        "Tide starter", True, True, "tide",
    )  # fmt: skip
    campaign = (await session.scalars(select(CampaignProgress))).one()
    assert (campaign.user_id, campaign.booster_packs, campaign.mantibucks) == (player.id, 3, 100)
    assert campaign.current_club == CLUBS[0].id


@pytest.mark.holdfast(isolation="database")
async def test_a_player_gets_one_starter(session, player, cards):
    """Ten requests at once, for several elements, give one starter."""
    given = await asyncio.gather(*(give(player, element, cards) for element in ENERGY_TYPES))

    assert sorted(given) == [False] * 8 + [True]
    assert sum((await get_owned(session, player.id)).values()) == 40
    assert await session.scalar(select(func.count()).select_from(Deck)) == 1
    assert list(await session.scalars(select(CampaignProgress.booster_packs))) == [3]


async def test_a_second_starter_changes_nothing(session, player, cards):
    """Whoever has begun keeps what is left, and gets no packs again."""
    await give(player, "tide", cards)
    async with get_session() as own:
        await open_booster(own, player.id, "M1", cards=cards, rng=random.Random(1))

    assert await give(player, "storm", cards) is False
    assert list(await session.scalars(select(CampaignProgress.booster_packs))) == [2]
    assert sum((await get_owned(session, player.id)).values()) == 50


@pytest.mark.holdfast(isolation="database")
@pytest.mark.parametrize("after", [0, 1, 2])
async def test_a_crash_while_a_starter_is_given(session, faults, player, cards, after):
    """Campaign, cards and deck come together or not at all; then the starter can be given."""
    faults.drop_connection(at="INSERT", after=after, reached=True)
    with pytest.raises(DBAPIError):
        await give(player, "tide", cards)

    for model in (CampaignProgress, Collection, Deck):
        assert await session.scalar(select(func.count()).select_from(model)) == 0
    assert await give(player, "tide", cards) is True


async def test_new_players_can_buy_a_pack(session, player, cards):
    """The mantibucks of a new player are worth a pack."""
    await give(player, "tide", cards)

    assert (await session.scalars(select(CampaignProgress.mantibucks))).one() >= PACK_PRICE


@pytest.mark.parametrize("element", ["neutral", "gold", ""])
async def test_an_unknown_element_is_refused(session, player, cards, element):
    """There is no starter without energy of its own; nothing is written."""
    with pytest.raises(InvalidInputError, match=f"there is no starter of '{element}'; there are"):
        await give(player, element, cards)

    assert await session.scalar(select(func.count()).select_from(CampaignProgress)) == 0


async def test_an_unknown_set_is_refused(session, player, cards):
    """A set that does not exist is one line; nothing is written."""
    with pytest.raises(CardQueryError, match="There is no card set 'M9'"):
        await give_starter(session, player.id, "tide", "M9", cards=cards)


def test_a_set_that_is_too_small(cards):
    """A set with too few cards for a starter is named."""
    with pytest.raises(InvalidInputError, match=r"^M1a has too few cards for a starter of tide"):
        choose_starter("tide", cards.get_cards_by_set("M1a"))
