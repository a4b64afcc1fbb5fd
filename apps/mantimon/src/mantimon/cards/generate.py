"""Make the card bundle from the word lists: `python -m mantimon.cards.generate` writes it.

The same word lists give the same bytes on every machine and in every version of Python.
"""

from collections.abc import Iterator
from itertools import chain, islice
from typing import Final

from mantimon.cards.bundle import SHIPPED_BUNDLE, encode_bundle, write_bundle
from mantimon.cards.creatures import Beast, lines
from mantimon.cards.definition import CardDefinition, CardType, Element, Rarity
from mantimon.cards.lore import Lore
from mantimon.cards.sets import SetPlan, set_cards
from mantimon.cards.wordlists import rows

SET_PLANS: Final = (
    SetPlan(
        code="M1",
        name="Hearth and Wild",
        lines=(3, 3, 3, 2, 2, 2, 1, 1),
        items=20,
        supporters=14,
        prints=dict(zip(Rarity, (96, 64, 44, 20, 28, 18, 10, 6), strict=True)),
    ),
    SetPlan(
        code="M1a",
        name="Lantern Roads",
        lines=(3, 2),
        items=5,
        supporters=4,
        prints=dict(zip(Rarity, (28, 18, 13, 8, 9, 5, 3, 2), strict=True)),
    ),
)


def generate() -> dict[str, bytes]:
    """Give the files of the bundle by name, exactly as they are to be on disk."""
    names = {plan.code: plan.name for plan in SET_PLANS}
    return encode_bundle(names, _cards())


def _cards() -> Iterator[CardDefinition]:
    lengths = [length for plan in SET_PLANS for length in plan.lines]
    dealt: list[Beast] = []
    families = [iter(list(lines(element, lengths, dealt))) for element in Element]
    items, supporters, lore = _items(), _supporters(), Lore()
    for plan in SET_PLANS:
        own = chain.from_iterable(islice(family, len(plan.lines)) for family in families)
        others = chain(islice(items, plan.items), islice(supporters, plan.supporters))
        yield from set_cards(plan, own, others, lore)


def _items() -> Iterator[CardDefinition]:
    for name, effect in rows("items"):
        yield _other(CardType.ITEM, name, effect)


def _supporters() -> Iterator[CardDefinition]:
    for (name,), (role, effect) in zip(rows("people"), rows("supporters"), strict=True):
        yield _other(CardType.SUPPORTER, f"{name}, {role}", effect)


def _other(card_type: CardType, name: str, effect: str) -> CardDefinition:
    return CardDefinition(
        id="", set="", number=1, name=name, type=card_type, rarity=Rarity.COMMON, text=effect
    )


if __name__ == "__main__":
    write_bundle(SHIPPED_BUNDLE, generate(), replace=True)
