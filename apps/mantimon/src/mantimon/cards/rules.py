"""What a card's fields must have to do with each other, beyond the type of each."""

from collections.abc import Iterable
from operator import attrgetter
from typing import Final

from mantimon.cards.definition import CardDefinition, CardSet, CardType, Stage

NEEDED_BY_CREATURES: Final[tuple[str, ...]] = ("element", "stage")
MAY_BE_LEFT_OUT: Final[tuple[str, ...]] = ("hp", "retreat_cost")  # by sets that are not complete
ONLY_OF_CREATURES: Final[tuple[str, ...]] = (
    *NEEDED_BY_CREATURES,
    *MAY_BE_LEFT_OUT,
    "evolves_from",
    "weakness",
    "resistance",
    "ability",
    "attacks",
)

_creature_values: Final = attrgetter(*ONLY_OF_CREATURES)
_NO_CREATURE: Final = (*(None for _ in ONLY_OF_CREATURES[:-1]), ())


def breaks_a_rule(cards: Iterable[CardDefinition], card_set: CardSet) -> bool:
    """Tell whether `rule_problems` has anything to say about one of the cards of a set.

    Nearly every card is a whole creature, and one comprehension passes all of those.
    """
    code, creature, basic = card_set.code, CardType.CREATURE, Stage.BASIC
    doubtful = [
        card
        for card in cards
        if card.type is not creature
        or card.set != code
        or card.element is None
        or card.stage is None
        or card.hp is None
        or card.retreat_cost is None
        or not card.attacks
        or (card.stage is basic) is not (card.evolves_from is None)
    ]
    return any(rule_problems(card, card_set) for card in doubtful)


def rule_problems(card: CardDefinition, card_set: CardSet) -> list[tuple[str, str]]:
    """List the fields of a card that do not fit its set or its other fields, and why."""
    problems = _creature_problems(card) if card.type is CardType.CREATURE else _other_problems(card)
    if card_set.complete:
        problems += _omissions(card)
    if card.set != card_set.code:
        problems.append(("set", f"is {card.set!r} in the file of set {card_set.code!r}"))
    return problems


def _creature_problems(card: CardDefinition) -> list[tuple[str, str]]:
    missing = [field for field in NEEDED_BY_CREATURES if getattr(card, field) is None]
    problems = [(field, "is missing from a creature") for field in missing]
    if card.stage is Stage.BASIC and card.evolves_from is not None:
        problems.append(("evolves_from", "is given, but a basic creature evolves from nothing"))
    if card.stage not in {None, Stage.BASIC} and card.evolves_from is None:
        problems.append(("evolves_from", f"is missing from a {card.stage} creature"))
    return problems


def _other_problems(card: CardDefinition) -> list[tuple[str, str]]:
    values = _creature_values(card)
    if values == _NO_CREATURE:
        return []
    return [
        (field, f"is given, but belongs to creatures and this is of type {card.type}")
        for field, value in zip(ONLY_OF_CREATURES, values, strict=True)
        if value not in {None, ()}
    ]


def _omissions(card: CardDefinition) -> list[tuple[str, str]]:
    """List what only a set that is not complete may leave out."""
    if card.type is not CardType.CREATURE:
        return [] if card.text else [("text", f"is missing from a card of type {card.type}")]
    missing = [field for field in MAY_BE_LEFT_OUT if getattr(card, field) is None]
    if not card.attacks:
        missing.append("attacks")
    return [(field, "is missing from a creature") for field in missing]
