"""Make creatures out of the word lists: evolution lines that sound and fight like families."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec import structs

from mantimon.cards.definition import (
    Ability,
    Attack,
    CardDefinition,
    CardType,
    Element,
    ElementModifier,
    Rarity,
    Stage,
)
from mantimon.cards.wordlists import draw, grouped, pick, rows

_STAGES: Final = tuple(Stage)
_BASE_HP: Final = (40, 70, 110)  # by stage, before what the beast weighs
_DAMAGE: Final = {1: 10, 2: 30, 3: 60, 4: 90}  # by the number of energy that an attack needs
_VOWELS: Final = frozenset("aeiouy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Beast:
    """A kind of animal: how heavy it is (1 to 4), its name at each stage, and its moves."""

    name: str
    weight: int
    elements: frozenset[str]
    forms: Sequence[str]
    moves: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One evolution line: its beast, and the names of its one to three stages."""

    element: Element
    beast: Beast
    names: Sequence[str]


def beasts() -> list[Beast]:
    """Read all beasts, in the order of their list."""
    return [
        Beast(
            name=name,
            weight=int(weight),
            elements=frozenset(elements.split()),
            forms=forms.split(),
            moves=moves.split(", "),
        )
        for name, weight, elements, forms, moves in rows("beasts")
    ]


def lines(element: Element, lengths: Sequence[int], dealt: list[Beast]) -> Iterator[Line]:
    """Give one line of each length, in order, with the least used beasts that suit the element.

    `dealt` has every beast handed out before, and is added to.
    """
    own: list[Beast] = []
    for (words,), length in zip(grouped("roots")[element], lengths, strict=True):
        roots = words.split()
        suited = [
            beast
            for beast in beasts()
            if element in beast.elements
            and beast not in own
            and all(_joins(*parts) for parts in _parts(roots, beast, length))
        ]
        beast = min(
            suited, key=lambda beast: (dealt.count(beast), draw("beast", words, beast.name))
        )
        own.append(beast)
        dealt.append(beast)
        names = [(root + form).capitalize() for root, form in _parts(roots, beast, length)]
        yield Line(element=element, beast=beast, names=names)


def stages(line: Line) -> Iterator[CardDefinition]:
    """Give the cards of a line from basic on; set, number and flavour text are still open."""
    for tier, name in enumerate(line.names):
        gifted = tier == 2 and draw("gift", name) < 0.5
        yield CardDefinition(
            id="",
            set="",
            number=1,
            name=name,
            type=CardType.CREATURE,
            rarity=Rarity.COMMON,
            element=line.element,
            stage=_STAGES[tier],
            evolves_from=line.names[tier - 1] if tier else None,
            hp=_hp(line, tier),
            retreat_cost=_retreat_cost(line.beast, tier, name),
            weakness=_modifier(line.element, 0),
            resistance=_modifier(line.element, 1) if draw("tough", name) < 0.4 else None,
            ability=_ability(line.element, name) if gifted else None,
            attacks=_attacks(line, name, _attack_sizes(line, tier, name, gifted=gifted), 10 * tier),
        )


def ascended(line: Line, card: CardDefinition) -> CardDefinition:
    """Give the epic counterpart of a last stage: stronger, and evolved from the same."""
    name = f"Ascended {card.name}"
    return structs.replace(
        card,
        name=name,
        rarity=Rarity.EPIC,
        hp=(card.hp or 0) + 40,
        ability=None if card.ability else _ability(line.element, name),
        attacks=_attacks(line, name, (2, 4) if card.ability else (4,), 40),
    )


def _parts(roots: Sequence[str], beast: Beast, length: int) -> list[tuple[str, str]]:
    """Pair the first and last part of each name; a single creature has the grown form's name."""
    forms = beast.forms[1:2] if length == 1 else beast.forms[:length]
    return [(roots[tier % len(roots)], form) for tier, form in enumerate(forms)]


def _joins(root: str, form: str) -> bool:
    """Tell whether two parts can be spoken as one word: no letter twice, no two vowels."""
    return root[-1] != form[0] and not {root[-1], form[0]} <= _VOWELS


def _hp(line: Line, tier: int) -> int:
    """Give HP in tens: heavier and later creatures have more, and so have ends of short lines."""
    is_last = tier == len(line.names) - 1
    early_end = 10 * (3 - len(line.names)) if is_last else 0
    spread = pick((-10, 0, 0, 10), "hp", line.names[tier])
    return _BASE_HP[tier] + 10 * line.beast.weight + early_end + spread


def _retreat_cost(beast: Beast, tier: int, name: str) -> int:
    if beast.weight == 1:
        return pick((0, 1, 1), "retreat", name)
    return beast.weight - 1 if tier == 0 else beast.weight


def _modifier(element: Element, column: int) -> ElementModifier | None:
    """Give what an element is weak to (column 0) or resists (column 1)."""
    [columns] = grouped("elements")[element]
    if columns[column] == "-":
        return None
    return ElementModifier(element=Element(columns[column]))


def _ability(element: Element, name: str) -> Ability:
    title, text = pick(grouped("abilities")[element], "ability", name)
    return Ability(name=title, text=text)


def _attack_sizes(line: Line, tier: int, name: str, *, gifted: bool) -> tuple[int, ...]:
    """Give how much energy each attack of a creature needs, in rising order."""
    if len(line.names) == 1:
        return pick(((1, 3), (2,), (1, 2)), "sizes", name)
    if tier == 0:
        return pick(((1,), (1,), (2,), (1, 2)), "sizes", name)
    if tier == 1:
        return pick(((2,), (1, 3), (1, 2), (3,)), "sizes", name)
    return pick(((3,), (4,)) if gifted else ((1, 3), (2, 3), (2, 4)), "sizes", name)


def _attacks(line: Line, name: str, sizes: Sequence[int], bonus: int) -> tuple[Attack, ...]:
    """Give an attack of each size; all but the weakest do `bonus` more damage."""
    return tuple(_attack(line, name, sizes, size, bonus if size > 1 else 0) for size in sizes)


def _attack(line: Line, name: str, sizes: Sequence[int], size: int, bonus: int) -> Attack:
    damage = _DAMAGE[size] + pick((0, 0, 10), "damage", name, size) + bonus
    change, text = _effect(line.element, name, sizes, size)
    if damage + change < 10:
        change, text = 0, ""
    return Attack(
        name=_attack_name(line, name, weak=size == 1, is_second=size != sizes[0]),
        cost=_cost(line.element, size, name),
        damage=damage + change,
        text=text,
    )


def _attack_name(line: Line, name: str, *, weak: bool, is_second: bool) -> str:
    """Name a weak attack after one of the beast's first moves, a strong one by element too."""
    label = ("attack", name, is_second)
    if weak:
        return pick(line.beast.moves[:2], *label)
    [[modifiers]] = grouped("modifiers")[line.element]
    move = line.beast.moves[3 if is_second else 2]
    return f"{pick(modifiers.split(', '), *label)} {move.split()[-1]}"


def _effect(element: Element, name: str, sizes: Sequence[int], size: int) -> tuple[int, str]:
    """Give how an attack's effect changes its damage, and the effect's text; often there is none.

    Of two attacks the lesser may have an effect that any creature can have, the other one of its
    element.
    """
    if draw("effect", name, size) < 0.45:
        return 0, ""
    is_sole = len(sizes) == 1
    is_own = draw("own effect", name, size) < 0.7 if is_sole and size > 1 else size != sizes[0]
    effects = grouped("effects")[element if is_own else "any"]
    change, text = pick(effects, "which effect", name, size)
    return int(change), text


def _cost(element: Element, size: int, name: str) -> tuple[Element, ...]:
    """Give at least half of the energy as the creature's own, the rest as neutral."""
    own = (size + 1) // 2 + (1 if size > 1 and draw("cost", name, size) < 0.4 else 0)
    if size == 1 and draw("cost", name, size) < 0.4:
        own = 0
    own = min(own, size)
    return (element,) * own + (Element.NEUTRAL,) * (size - own)
