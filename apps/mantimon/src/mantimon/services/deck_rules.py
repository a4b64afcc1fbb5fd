"""What a deck is, and every rule that one breaks."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from mantimon.cards.definition import ENERGY_TYPES, CardDefinition, Stage
from mantimon.errors import InvalidInputError
from mantimon.services.card_service import CardService
from mantimon.services.inputs import require_counts

DECK_SIZE = 60
MOST_OF_A_NAME = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class DeckList:
    """How many of each card, by card id, and of each energy, by element. Energy is not owned."""

    cards: Mapping[str, int]
    energy_cards: Mapping[str, int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """How many cards the deck has, energy included."""
        return sum(self.cards.values()) + sum(self.energy_cards.values())


def find_problems(deck: DeckList, *, owned: Mapping[str, int], cards: CardService) -> list[str]:
    """List every rule that a deck breaks; none for a deck that can be played.

    Where a count is none, it is that alone: there is nothing to add up.
    """
    if wrong := [*_wrong_counts(deck)]:
        return wrong
    known = cards.get_cards(list(deck.cards))
    return [
        *_wrong_size(deck),
        *_unknown(deck, known),
        *_not_owned(deck, owned, known),
        *_too_many_of_a_name(deck, known),
        *_no_basic_creature(known),
    ]


def _wrong_counts(deck: DeckList) -> Iterator[str]:
    try:
        require_counts("count", deck.cards, deck.energy_cards)
    except InvalidInputError as error:
        yield str(error)


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
