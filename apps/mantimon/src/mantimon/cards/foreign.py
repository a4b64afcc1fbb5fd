"""Read a foreign list: one JSON array of all cards, as collectors of another game keep it.

Such lists are uneven: values in any case, fields that are missing or null. What this game can
make something of is taken, and each change is counted; what it cannot is a problem, and then
nothing is taken at all.
"""

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

from msgspec import Meta, Struct, structs

from mantimon.cards.bundle import encode_bundle
from mantimon.cards.definition import (
    CardDefinition,
    CardSet,
    CardType,
    Element,
    ElementModifier,
    Rarity,
    Stage,
)
from mantimon.cards.names import folded
from mantimon.cards.problems import ForeignListError, Problem
from mantimon.cards.rules import rule_problems
from mantimon.cards.shapes import best_effort, decoded, field_problems, kind_of

# What the values of a list are here. Keys are in lower case; a list may write them in any.
TYPES: Final = {
    "pokemon": CardType.CREATURE,
    "item": CardType.ITEM,
    "tool": CardType.ITEM,
    "fossil": CardType.ITEM,
    "supporter": CardType.SUPPORTER,
}
ELEMENTS: Final = {
    "fire": Element.FLAME,
    "water": Element.TIDE,
    "grass": Element.GROVE,
    "lightning": Element.STORM,
    "fighting": Element.STONE,
    "psychic": Element.DREAM,
    "darkness": Element.SHADE,
    "dark": Element.SHADE,
    "metal": Element.IRON,
    "dragon": Element.SKY,
    "colorless": Element.NEUTRAL,
}
WEAKNESSES: Final[dict[str, Element | None]] = {**ELEMENTS, "none": None}
STAGES: Final = {"basic": Stage.BASIC, "1": Stage.STAGE_1, "2": Stage.STAGE_2}
RARITIES: Final = {
    "c": Rarity.COMMON,
    "u": Rarity.UNCOMMON,
    "r": Rarity.RARE,
    "rr": Rarity.EPIC,
    "ar": Rarity.GILDED,
    "s": Rarity.GILDED,
    "sr": Rarity.RADIANT,
    "sar": Rarity.RADIANT,
    "ssr": Rarity.RADIANT,
    "im": Rarity.MYTHIC,
    "ur": Rarity.CROWN,
}
LEFT_OUT: Final = "left out"
NOTHING: Final = "nothing"

# A code is the name of a file and the beginning of ids. No part but the first begins with a digit,
# so that the number of a card is where the first part does.
_CODE: Final = re.compile(r"[A-Za-z0-9]+(-[A-Za-z][A-Za-z0-9]*)*")
_CODE_LENGTH, _SLUG_LENGTH = 16, 40  # with a number, an id has at most 64 characters
_NO_CODE: Final = "{} cannot name a file: 1 to 16 letters and digits, such as A1a or PROMO-A"
_SHOWN: Final = 40  # characters of a value in a problem
_FOREIGN_NAMES: Final = {"evolves_from": "evolvesFrom"}

Amount = Annotated[int, Meta(ge=1, le=999_999)]
Cost = Annotated[int, Meta(ge=0, le=999_999)]
Line = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"\S")]


class ListedCard(Struct, frozen=True, kw_only=True, rename="camel"):
    """The fields of a card in a foreign list that have a meaning here, with their kinds."""

    set: str
    number: Amount
    name: Line
    type: str
    rarity: str
    element: str | None = None
    stage: str | int | None = None
    evolves_from: Line | None = None
    health: Amount | None = None
    retreat_cost: Cost | None = None
    weakness: str | None = None


_FIELDS: Final = tuple(field.encode_name for field in structs.fields(ListedCard))
_OF_CREATURES: Final = _FIELDS[_FIELDS.index("element") :]
_OFTEN_MISSING: Final = ("health", "retreatCost", "weakness")


class Change(NamedTuple):
    """What a field of a list had, and what became of it."""

    field: str
    found: str
    became: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignList:
    """The cards of a list as this game has them, and what was changed on how many of them.

    `changes` has what each value is called here, and what was missing or left out.
    """

    cards: tuple[CardDefinition, ...]
    changes: Mapping[Change, int]

    @property
    def sets(self) -> dict[str, int]:
        """How many cards each set has, in the order of the list."""
        return dict(Counter(card.set for card in self.cards))

    def encoded(self) -> dict[str, bytes]:
        """Give the files of a bundle; its sets are not complete, and have their code as name."""
        return encode_bundle({code: code for code in self.sets}, self.cards, complete=False)


def read_foreign_list(
    file: Path, *, watch: Callable[[Sequence[object]], Iterable[object]] = iter
) -> ForeignList:
    """Read a list of cards; `watch` is given all of them, and gives each when its turn comes.

    Raises:
        ForeignListError: with every problem of every card.
    """
    problems: list[Problem] = []
    changes: Counter[Change] = Counter()
    cards: list[CardDefinition] = []
    taken: dict[Hashable, str] = {}
    for position, value in enumerate(watch(_listed(file)), start=1):
        card = _Card(value)
        label = f"card {position}{card.identity}"
        found = [*card.problems, *_clashes(card.listed, label, taken)]
        problems += [Problem(file=file.name, card=label, field=at, what=what) for at, what in found]
        changes.update(card.changes)
        cards.append(card.made)
    if problems:
        raise ForeignListError(problems)
    return ForeignList(cards=tuple(cards), changes=dict(sorted(changes.items(), key=_by_field)))


def _listed(file: Path) -> list[object]:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise _refused(file, f"cannot be read: {error.strerror}") from None
    if not content.strip():
        raise _refused(file, "is empty")
    value, unreadable = decoded(content)
    if unreadable:
        raise _refused(file, unreadable)
    if not isinstance(value, list):
        raise _refused(file, f"is {kind_of(value)}, not an array of cards")
    if not value:
        raise _refused(file, "has no cards")
    return value


def _refused(file: Path, what: str) -> ForeignListError:
    return ForeignListError([Problem(file=file.name, what=what)])


class _Card:
    """One value of a list: the card it makes, what was changed on the way and what was wrong.

    Where there is a problem, the card may be none.
    """

    def __init__(self, value: object) -> None:
        self._raw = value if isinstance(value, dict) else {}
        self.listed = best_effort(self._raw, ListedCard)
        self.changes: list[Change] = []
        self.problems = [
            (field, what)
            for field, what in field_problems(value, ListedCard)
            if field in _FIELDS or not field
        ]
        self.made = self._translated()
        if self.made.type is not None:
            self._add_broken_rules()

    @property
    def identity(self) -> str:
        """Which card it is, as far as it says so."""
        parts = (self.listed.set, self.listed.number, self.listed.name)
        text = " ".join(str(part) for part in parts if part is not None)
        return f", {text[:_SHOWN]}" if text else ""

    def _translated(self) -> CardDefinition:
        listed = self.listed
        card_type = self._known("type", listed.type, TYPES)
        is_creature = card_type is CardType.CREATURE
        self._note_omissions(is_creature=is_creature)
        return CardDefinition(
            id=_id(listed),
            set=listed.set,
            number=listed.number,
            name=listed.name,
            type=card_type,
            rarity=self._known("rarity", listed.rarity, RARITIES),
            **(self._of_creature() if is_creature else {}),
        )

    def _of_creature(self) -> dict[str, Any]:
        listed = self.listed
        weakness = self._known("weakness", listed.weakness, WEAKNESSES)
        return {
            "element": self._known("element", listed.element, ELEMENTS),
            "stage": self._known("stage", listed.stage, STAGES),
            "evolves_from": listed.evolves_from,
            "hp": listed.health,
            "retreat_cost": listed.retreat_cost,
            # A list does not say how much: what is usual here.
            "weakness": weakness and ElementModifier(element=weakness),
        }

    def _known(self, field: str, value: object, table: Mapping[str, Any]) -> Any:
        """Give what a value is here; one that is missing is nothing, and may be a problem later."""
        if value is None:
            return None
        key = str(value).casefold()
        if key in table:
            self.changes.append(Change(field, str(value), table[key] or NOTHING))
            return table[key]
        shown = repr(value)[:_SHOWN]
        self.problems.append((field, f"{shown} is not known; known are {', '.join(table)}"))
        return None

    def _note_omissions(self, *, is_creature: bool) -> None:
        for field, value in self._raw.items():
            if value is None:
                self.changes.append(Change(field, "null", NOTHING))
            elif field not in _FIELDS:
                self.changes.append(Change(field, "given", LEFT_OUT))
            elif field in _OF_CREATURES and not is_creature:
                self.changes.append(Change(field, "given", f"{LEFT_OUT}: no creature"))
        if is_creature:
            missing = [field for field in _OFTEN_MISSING if field not in self._raw]
            self.changes += [Change(field, "missing", NOTHING) for field in missing]

    def _add_broken_rules(self) -> None:
        """Add what the fields break together, of those that are not wrong by themselves."""
        wrong = {field for field, _ in self.problems}
        if "set" not in wrong and not _is_code(self.listed.set):
            self.problems.append(("set", _NO_CODE.format(repr(self.listed.set)[:_SHOWN])))
        partial = CardSet(code=self.made.set, name="", file="", cards=1, complete=False)
        for name, what in rule_problems(self.made, partial):
            field = _FOREIGN_NAMES.get(name, name)
            if field not in wrong:
                self.problems.append((field, what))


def _clashes(card: ListedCard, label: str, taken: dict[Hashable, str]) -> Iterator[tuple[str, str]]:
    """Yield what this card has that an earlier one has; names of files differ in more than case."""
    if not card.set:
        return
    code = taken.setdefault(card.set.casefold(), card.set)
    if code != card.set:
        yield "set", f"differs from {code!r} only in case, and a file would have both names"
    if card.number is not None:
        earlier = taken.setdefault((card.set, card.number), label)
        if earlier != label:
            yield "number", f"{card.number} of {card.set} is already that of {earlier}"


def _id(card: ListedCard) -> str:
    """Give an id such as this game's own cards have; set and number make it the only one."""
    slug = re.sub(r"[^a-z0-9]+", "-", folded(card.name or ""))[:_SLUG_LENGTH].strip("-")
    return "-".join(filter(None, (str(card.set).lower(), f"{card.number or 0:03}", slug)))


def _is_code(text: str) -> bool:
    return len(text) <= _CODE_LENGTH and _CODE.fullmatch(text) is not None


def _by_field(item: tuple[Change, int]) -> tuple[int, str, int, str]:
    change, cards = item
    known = change.field in _FIELDS
    return (
        _FIELDS.index(change.field) if known else len(_FIELDS),
        change.field,
        -cards,
        change.found,
    )
