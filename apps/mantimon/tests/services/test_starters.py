"""What a new player begins with, once."""

import asyncio

import pytest
from sqlalchemy import func, select

from mantimon.cards.definition import ENERGY_TYPES, CardType, Element
from mantimon.db.models import CampaignProgress, CardSource, Collection, Deck
from mantimon.db.session import get_session
from mantimon.errors import InvalidInputError
from mantimon.services.card_service import CardQueryError
from mantimon.services.collections import get_owned
from mantimon.services.decks import find_problems
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
    assert (await session.scalars(select(CampaignProgress))).one().user_id == player.id


@pytest.mark.holdfast(isolation="database")
async def test_a_player_gets_one_starter(session, player, cards):
    """Ten requests at once, for several elements, give one starter."""
    given = await asyncio.gather(*(give(player, element, cards) for element in ENERGY_TYPES))

    assert sorted(given) == [False] * 8 + [True]
    assert sum((await get_owned(session, player.id)).values()) == 40
    assert await session.scalar(select(func.count()).select_from(Deck)) == 1


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
    """A set with too few cards for a starter says so."""
    with pytest.raises(InvalidInputError, match="too few cards for a starter of tide"):
        choose_starter("tide", cards.get_cards_by_set("M1a"))
