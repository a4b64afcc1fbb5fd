"""Build decks from the cards that a player owns, and say everything that is wrong with one."""

import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncSession

from mantimon.cards.definition import ENERGY_TYPES, CardDefinition, CardType, Stage
from mantimon.db.models import Deck
from mantimon.errors import InvalidInputError
from mantimon.services.card_service import CardService
from mantimon.services.collections import get_owned
from mantimon.services.inputs import fits, require_counts, show

DECK_SIZE = 60
MOST_OF_A_NAME = 4
LONGEST_NAME = 100
# A third of a deck is energy; a suggested deck is filled up with it.
_CARDS_SUGGESTED = 40
_ORDER = {Stage.BASIC: 0, Stage.STAGE_1: 1, Stage.STAGE_2: 2, None: 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeckList:
    """How many of each card, by card id, and of each energy, by element. Energy is not owned."""

    cards: Mapping[str, int]
    energy_cards: Mapping[str, int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """How many cards the deck has, energy included."""
        return sum(self.cards.values()) + sum(self.energy_cards.values())


async def build_deck(
    session: AsyncSession, user_id: uuid.UUID, name: str, deck: DeckList, *, cards: CardService
) -> Deck:
    """Store a deck. One that breaks a rule is stored too, as not valid, with all that is wrong.

    Raises:
        InvalidInputError: the name is empty, too long or not printable; a card id or an element
            has not 1 to 64 printable characters; or a count is not between 1 and 10,000. Nothing
            is written.
        sqlalchemy.exc.IntegrityError: there is no such player.
    """
    _require_name(name)
    for counts in (deck.cards, deck.energy_cards):
        require_counts("count", counts)
    problems = find_problems(deck, owned=await get_owned(session, user_id), cards=cards)
    stored = Deck(
        user_id=user_id,
        name=name,
        cards=dict(deck.cards),
        energy_cards=dict(deck.energy_cards),
        is_valid=not problems,
        validation_errors=problems or None,
    )
    session.add(stored)
    await session.flush()
    return stored


def find_problems(deck: DeckList, *, owned: Mapping[str, int], cards: CardService) -> list[str]:
    """List every rule that a deck breaks; none for a deck that can be played."""
    known = cards.get_cards(list(deck.cards))
    return [
        *_wrong_size(deck),
        *_unknown(deck, known),
        *_not_owned(deck, owned, known),
        *_too_many_of_a_name(deck, known),
        *_no_basic_creature(known),
    ]


def suggest_deck(owned: Mapping[str, int], *, cards: CardService) -> DeckList:
    """Choose a deck from owned cards: creatures with what they evolve from, then the rest.

    It is valid when a basic creature is owned. Energy of the element that most of the chosen
    creatures have fills it up.
    """
    known = cards.get_cards(list(owned))
    chosen: dict[str, int] = {}
    names: Counter[str] = Counter()
    for card in sorted(known.values(), key=_play_order):
        if card.evolves_from is not None and card.evolves_from not in names:
            continue
        room = min(MOST_OF_A_NAME - names[card.name], _CARDS_SUGGESTED - names.total())
        count = min(owned[card.id], room)
        if count > 0:
            chosen[card.id] = count
            names[card.name] += count
    energy = _main_element([known[card] for card in chosen])
    return DeckList(cards=chosen, energy_cards={energy: DECK_SIZE - names.total()})


def _wrong_size(deck: DeckList) -> Iterator[str]:
    if deck.size != DECK_SIZE:
        has = "1 card" if deck.size == 1 else f"{deck.size} cards"
        yield f"the deck has {has}; it needs {DECK_SIZE}"


def _unknown(deck: DeckList, known: Mapping[str, CardDefinition]) -> Iterator[str]:
    yield from (f"there is no card {card!r}" for card in sorted(deck.cards) if card not in known)
    elements = set(ENERGY_TYPES)
    yield from (
        f"there is no {element!r} energy"
        for element in sorted(deck.energy_cards)
        if element not in elements
    )


def _not_owned(
    deck: DeckList, owned: Mapping[str, int], known: Mapping[str, CardDefinition]
) -> Iterator[str]:
    for card, count in sorted(deck.cards.items()):
        if card in known and count > owned.get(card, 0):
            name = known[card].name
            yield f"{name} ({card}): {count} in the deck, {owned.get(card, 0)} owned"


def _too_many_of_a_name(deck: DeckList, known: Mapping[str, CardDefinition]) -> Iterator[str]:
    names: Counter[str] = Counter()
    for card, definition in known.items():
        names[definition.name] += deck.cards[card]
    for name, count in sorted(names.items()):
        if count > MOST_OF_A_NAME:
            yield f"{name}: {count} in the deck; {MOST_OF_A_NAME} of a name are allowed"


def _no_basic_creature(known: Mapping[str, CardDefinition]) -> Iterator[str]:
    if not any(card.stage is Stage.BASIC for card in known.values()):
        yield "the deck has no basic creature, so no game can begin with it"


def _play_order(card: CardDefinition) -> tuple[int, str]:
    return (4 if card.type is CardType.ITEM else _ORDER[card.stage]), card.id


def _main_element(chosen: list[CardDefinition]) -> str:
    elements = Counter(card.element for card in chosen if card.element in ENERGY_TYPES)
    return min(ENERGY_TYPES, key=lambda element: -elements[element])


def _require_name(name: str) -> None:
    if not fits(name, LONGEST_NAME) or not name.strip():
        raise InvalidInputError(
            f"the deck's name is {show(name)}; it has 1 to {LONGEST_NAME} printable characters"
        )
