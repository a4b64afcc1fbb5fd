"""What cards can be asked for: by what is printed on them, in which order and how many at once."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from itertools import chain
from typing import Any, Final, Self, TypeGuard

from holdfast.errors import ConfigurationError
from mantimon.cards.definition import CardDefinition, CardType, Element, Rarity, Stage


class CardOrder(StrEnum):
    """What cards are ordered by; where that is equal, it is by set and number."""

    SET = "set"
    NUMBER = "number"
    NAME = "name"
    HP = "hp"
    RARITY = "rarity"


class CardQueryError(ConfigurationError):
    """Cards were asked for in a way that cannot match any; `problems` has a sentence for each.

    Where a value is not known, the sentence has the valid ones.
    """

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__(*problems)

    def __str__(self) -> str:
        """Give all sentences in one line."""
        return " ".join(self.problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFilters:
    """What cards are wanted; a card matches if it meets every filter that is not `None`.

    `name` is a part of the name, whatever its case and accents. The ranges include both ends,
    and only cards that have such a value meet them. Plain strings serve as well as members of the
    enums: `CardFilters(type="item")`.

    Cards come in the order of set and number unless `order` says otherwise, and those that lack
    what they are ordered by come last in either direction. `limit` and `offset` cut a page out.

    Raises:
        CardQueryError: with everything that is wrong: filters that do not exist, values that an
            enum does not have, ranges upside down, numbers that are none or below 0.
    """

    element: Element | str | None = None
    type: CardType | str | None = None
    stage: Stage | str | None = None
    set: str | None = None
    rarity: Rarity | str | None = None
    name: str | None = None
    hp_min: int | None = None
    hp_max: int | None = None
    retreat_min: int | None = None
    retreat_max: int | None = None
    order: CardOrder | str = CardOrder.SET
    descending: bool = False
    limit: int | None = None
    offset: int = 0

    def __new__(cls, **given: object) -> Self:
        """Check everything that is given, before `__init__` stops at a name that it lacks."""
        if problems := [*_problems(given)]:
            raise CardQueryError(*problems)
        return object.__new__(cls)


@dataclass(frozen=True, slots=True, kw_only=True)
class CardPage:
    """A page of the cards that match, how many match in all, and where the next page begins.

    `next_offset` is `None` on the last page.
    """

    cards: list[CardDefinition]
    total: int
    next_offset: int | None


_DEFAULTS: Final = {field.name: field.default for field in fields(CardFilters)}
_MEMBERS: Final[dict[str, tuple[str, ...]]] = {
    "element": tuple(Element),
    "type": tuple(CardType),
    "stage": tuple(Stage),
    "rarity": tuple(Rarity),
    "order": tuple(CardOrder),
}
_TEXTS: Final = ("set", "name")
_RANGES: Final = (("hp_min", "hp_max"), ("retreat_min", "retreat_max"))
_COUNTS: Final = (*chain.from_iterable(_RANGES), "limit", "offset")
_SHOWN: Final = 40  # characters of a wrong value in a message


def _problems(given: Mapping[str, Any]) -> Iterator[str]:
    for name, value in given.items():
        if name not in _DEFAULTS:
            yield f"There is no filter {_shown(name)}; valid are {', '.join(_DEFAULTS)}."
        elif value is not None or _DEFAULTS[name] is not None:
            yield from _value_problems(name, value)
    for low, high in _RANGES:
        first, last = given.get(low), given.get(high)
        if _is_count(first) and _is_count(last) and first > last:
            yield f"{low} is {first}, which is more than {high}, {last}."


def _value_problems(name: str, value: object) -> Iterator[str]:
    if name in _MEMBERS and value not in _MEMBERS[name]:
        valid = ", ".join(_MEMBERS[name])
        what = "No card has the" if name != "order" else "Cards have no"
        yield f"{what} {name} {_shown(value)}; valid are {valid}."
    elif name in _TEXTS and not isinstance(value, str):
        yield f"{name} is {_shown(value)}; it is a text."
    elif name == "descending" and not isinstance(value, bool):
        yield f"{name} is {_shown(value)}; it is true or false."
    elif name in _COUNTS and not _is_count(value):
        yield f"{name} is {_shown(value)}; it is a whole number from 0 up."


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
