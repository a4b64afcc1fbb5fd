"""What a card is: its fields, and the closed lists of values that some of them take."""

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta, Struct


class CardType(StrEnum):
    """What a card is played as."""

    CREATURE = "creature"
    ITEM = "item"
    SUPPORTER = "supporter"


class Element(StrEnum):
    """What a creature is made of, and what an attack is paid with."""

    FLAME = "flame"
    TIDE = "tide"
    GROVE = "grove"
    STORM = "storm"
    STONE = "stone"
    DREAM = "dream"
    SHADE = "shade"
    IRON = "iron"
    SKY = "sky"
    NEUTRAL = "neutral"


class Stage(StrEnum):
    """How far a creature has evolved."""

    BASIC = "basic"
    STAGE_1 = "stage_1"
    STAGE_2 = "stage_2"


class Rarity(StrEnum):
    """How seldom a booster has the card: from the most frequent to the least."""

    COMMON = "common"
    UNCOMMON = "uncommon"
    RARE = "rare"
    EPIC = "epic"
    GILDED = "gilded"
    RADIANT = "radiant"
    MYTHIC = "mythic"
    CROWN = "crown"


INDEX_FILE: Final = "_index.json"

ENERGY_TYPES: Final = tuple(element for element in Element if element is not Element.NEUTRAL)
"""The energy a deck can hold; a neutral cost is paid with any of them, so it has none."""

Text = Annotated[str, Meta(min_length=1)]
Count = Annotated[int, Meta(ge=0)]
Ordinal = Annotated[int, Meta(ge=1)]


class ElementModifier(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False
):
    """Damage from one element that is raised (a weakness) or lowered (a resistance) by `value`."""

    element: Element
    value: Ordinal = 20


class Ability(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """What a creature can do without attacking."""

    name: Text
    text: Text


class Attack(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False
):
    """One attack: the energy it needs, the damage it does and what else happens."""

    name: Text
    cost: tuple[Element, ...]
    damage: Count = 0
    text: str = ""


class CardDefinition(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False
):
    """One card as it is printed; players own copies of it by `id`.

    `text` is the flavour of a creature and the rule of an item or supporter. The fields after
    it belong to creatures. `evolves_from` is a name, not an id: any printing of that card will
    do. Two cards of one name are printings of the same creature, and a deck counts them as one.
    """

    id: Text
    set: Text
    number: Ordinal
    name: Text
    type: CardType
    rarity: Rarity
    text: str = ""
    element: Element | None = None
    stage: Stage | None = None
    evolves_from: Text | None = None
    hp: Ordinal | None = None
    retreat_cost: Count | None = None
    weakness: ElementModifier | None = None
    resistance: ElementModifier | None = None
    ability: Ability | None = None
    attacks: tuple[Attack, ...] = ()


class CardSet(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False
):
    """One set of cards as the index lists it: its file and the number of cards in it.

    A set that is not `complete` came from a list that left things out: its creatures may lack
    HP, retreat cost and attacks, its other cards their text, and `evolves_from` may name a card
    that is in no set.
    """

    code: Text
    name: Text
    file: Text
    cards: Ordinal
    complete: bool = True


class CardIndex(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """The content of the index file: which sets a bundle has, in the order they came out."""

    sets: Annotated[tuple[CardSet, ...], Meta(min_length=1)]
