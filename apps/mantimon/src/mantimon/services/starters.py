"""What a new player begins with: cards of one element, a deck of them, packs and mantibucks."""

import uuid
from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from mantimon.campaign.rewards import NEW_PLAYER_MANTIBUCKS, NEW_PLAYER_PACKS
from mantimon.cards.definition import ENERGY_TYPES, CardDefinition, CardType, Element, Stage
from mantimon.db.models import CampaignProgress, CardSource
from mantimon.errors import InvalidInputError
from mantimon.services.card_service import CardService
from mantimon.services.collections import add_copies
from mantimon.services.deck_rules import DECK_SIZE, DeckList
from mantimon.services.decks import build_deck

STARTER_CARDS = 40
_CREATURES = 28
_COPIES = {Stage.BASIC: 4, Stage.STAGE_1: 3, Stage.STAGE_2: 2}
_COPIES_OF_OTHERS = 2


async def give_starter(
    session: AsyncSession, user_id: uuid.UUID, element: str, set_code: str, *, cards: CardService
) -> bool:
    """Begin a player's campaign with a starter collection and its deck; once for each player.

    Some booster packs and mantibucks come with it.

    Returns:
        False when the player has begun before; nothing is changed then, also by two requests at
        once.

    Raises:
        InvalidInputError: there is no starter of this element, or the set has too few cards for
            one. Nothing is written.
        CardQueryError: there is no such set. Nothing is written.
        sqlalchemy.exc.IntegrityError: there is no such player.
    """
    starter = choose_starter(element, cards.get_cards_by_set(set_code))
    begun = (
        insert(CampaignProgress)
        .values(user_id=user_id, booster_packs=NEW_PLAYER_PACKS, mantibucks=NEW_PLAYER_MANTIBUCKS)
        .on_conflict_do_nothing(index_elements=["user_id"])
        .returning(CampaignProgress.id)
    )
    if await session.scalar(begun) is None:
        return False
    await add_copies(session, user_id, starter.cards, CardSource.STARTER)
    deck = await build_deck(session, user_id, f"{element.title()} starter", starter, cards=cards)
    deck.is_starter, deck.starter_type = True, element
    return True


def choose_starter(element: str, in_set: Sequence[CardDefinition]) -> DeckList:
    """Choose the starter of an element, the same every time: families of creatures, then others.

    Raises:
        InvalidInputError: there is no such energy, or the set has too few cards for a starter.
    """
    if element not in set(ENERGY_TYPES):
        raise InvalidInputError(
            f"there is no starter of {str(element)!r}; there are {', '.join(ENERGY_TYPES)}"
        )
    first_printings = list({card.name: card for card in reversed(in_set)}.values())[::-1]
    chosen = _take(_creatures(Element(element), first_printings), _CREATURES)
    others = [card for card in first_printings if card.type is not CardType.CREATURE]
    chosen += _take(((card, _COPIES_OF_OTHERS) for card in others), STARTER_CARDS - _CREATURES)
    copies = {card.id: count for card, count in chosen}
    if sum(copies.values()) != STARTER_CARDS:
        named = ", ".join(dict.fromkeys(card.set for card in in_set))
        raise InvalidInputError(
            f"{named or 'an empty set'} has too few cards for a starter of {element}; "
            "choose another set"
        )
    return DeckList(cards=copies, energy_cards={element: DECK_SIZE - STARTER_CARDS})


def _creatures(
    element: Element, cards: Sequence[CardDefinition]
) -> Iterator[tuple[CardDefinition, int]]:
    """Give each basic creature of an element, followed by what it evolves into."""
    for card in cards:
        if card.element is element and card.stage is Stage.BASIC:
            yield from _family(card, cards)


def _family(
    card: CardDefinition, cards: Sequence[CardDefinition]
) -> Iterator[tuple[CardDefinition, int]]:
    yield card, _COPIES[card.stage or Stage.BASIC]
    for each in cards:
        if each.evolves_from == card.name:
            yield from _family(each, cards)


def _take(
    offered: Iterable[tuple[CardDefinition, int]], limit: int
) -> list[tuple[CardDefinition, int]]:
    taken: list[tuple[CardDefinition, int]] = []
    for card, copies in offered:
        if limit > 0:
            taken.append((card, min(copies, limit)))
            limit -= copies
    return taken
