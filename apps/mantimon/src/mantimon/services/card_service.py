"""Look cards up: by id, by set and by what is printed on them."""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

from holdfast.errors import ConfigurationError, HoldfastError
from mantimon.cards.bundle import SHIPPED_BUNDLE, CardBundle, load_bundle
from mantimon.cards.definition import CardDefinition, CardSet, CardType, Element, Rarity, Stage
from mantimon.cards.problems import CardBundleError

__all__ = [
    "CardBundleError",
    "CardDefinition",
    "CardFilters",
    "CardNotFoundError",
    "CardQueryError",
    "CardService",
    "CardStats",
    "get_card_service",
]


class CardNotFoundError(HoldfastError, LookupError):
    """Cards were asked for that do not exist; `ids` has all of them."""

    def __init__(self, ids: Iterable[str]) -> None:
        self.ids = tuple(ids)
        super().__init__(self.ids)

    def __str__(self) -> str:
        """Name every id that no card has."""
        return f"No card has the id {', '.join(map(repr, self.ids))}."


class CardQueryError(ConfigurationError):
    """Cards were asked for by a value that cannot match any; the message has the valid ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFilters:
    """What cards are wanted; a card matches if it meets every filter that is not `None`.

    `name` is a part of the name in any case. The ranges include both ends, and only creatures
    meet them. Plain strings serve as well as members of the enums: `CardFilters(type="item")`.

    Raises:
        CardQueryError: a value that its enum does not have, or a range that is upside down.
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

    def __post_init__(self) -> None:
        _require_member("element", self.element, Element)
        _require_member("type", self.type, CardType)
        _require_member("stage", self.stage, Stage)
        _require_member("rarity", self.rarity, Rarity)
        _require_range("hp", self.hp_min, self.hp_max)
        _require_range("retreat", self.retreat_min, self.retreat_max)

    def match(self, card: CardDefinition) -> bool:
        """Tell whether a card meets every filter."""
        return (
            self.element in {None, card.element}
            and self.type in {None, card.type}
            and self.stage in {None, card.stage}
            and self.set in {None, card.set}
            and self.rarity in {None, card.rarity}
            and (self.name is None or self.name.casefold() in card.name.casefold())
            and _is_within(card.hp, self.hp_min, self.hp_max)
            and _is_within(card.retreat_cost, self.retreat_min, self.retreat_max)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CardStats:
    """How many cards there are, and how many of each kind; kinds without a card are left out."""

    total: int
    by_set: dict[str, int]
    by_type: dict[str, int]
    by_element: dict[str, int]
    by_stage: dict[str, int]
    by_rarity: dict[str, int]


class CardService:
    """All cards of one bundle directory, by default the bundle that comes with the game.

    The directory is read on first use, or by `load()`, which a program calls when it starts: a
    broken bundle then keeps it from starting. Afterwards nothing is read again. Iteration gives
    the cards in the order of set and number. Any number of threads may share one.

    Raises:
        CardBundleError: on first use, if anything in the directory is wrong; no card is served.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = SHIPPED_BUNDLE if directory is None else Path(directory)
        self._lock = threading.Lock()
        self._loaded: CardBundle | None = None

    def load(self) -> Self:
        """Read and check the bundle if that has not been done; blocks for some milliseconds."""
        self._read_once()
        return self

    @property
    def _bundle(self) -> CardBundle:
        return self._loaded or self._read_once()

    def _read_once(self) -> CardBundle:
        with self._lock:
            if self._loaded is None:
                self._loaded = load_bundle(self._directory)
            return self._loaded

    @property
    def sets(self) -> tuple[CardSet, ...]:
        """The sets in the order they came out."""
        return self._bundle.sets

    def __len__(self) -> int:
        return len(self._bundle.cards)

    def __iter__(self) -> Iterator[CardDefinition]:
        return iter(self._bundle.cards.values())

    def get_card(self, card_id: str) -> CardDefinition | None:
        """Give the card of that id, or `None` if there is none."""
        return self._bundle.cards.get(card_id)

    def get_cards(self, ids: Iterable[str], *, strict: bool = False) -> dict[str, CardDefinition]:
        """Give the cards of those ids, in the order of the ids; ids without a card are left out.

        Raises:
            CardNotFoundError: if `strict`, naming all ids without a card at once.
            TypeError: `ids` is one string.
        """
        if isinstance(ids, str):
            raise TypeError(f"get_cards takes many ids and was given one, {ids!r}: use get_card.")
        cards = self._bundle.cards
        wanted = dict.fromkeys(ids)
        if strict and (missing := [card_id for card_id in wanted if card_id not in cards]):
            raise CardNotFoundError(missing)
        return {card_id: cards[card_id] for card_id in wanted if card_id in cards}

    def get_cards_by_set(self, code: str) -> list[CardDefinition]:
        """Give all cards of a set in the order of their numbers.

        Raises:
            CardQueryError: there is no such set.
        """
        self._require_set(code)
        return list(self._bundle.cards_by_set[code])

    def search_cards(self, filters: CardFilters) -> list[CardDefinition]:
        """Give all cards that match, in the order of set and number.

        Raises:
            CardQueryError: there is no such set.
        """
        if filters.set is not None:
            self._require_set(filters.set)
        return [card for card in self if filters.match(card)]

    def stats(self) -> CardStats:
        """Count the cards of every kind."""
        return CardStats(
            total=len(self),
            by_set=_counts((card.set for card in self), [card_set.code for card_set in self.sets]),
            by_type=_counts((card.type for card in self), CardType),
            by_element=_counts((card.element for card in self), Element),
            by_stage=_counts((card.stage for card in self), Stage),
            by_rarity=_counts((card.rarity for card in self), Rarity),
        )

    def _require_set(self, code: str) -> None:
        if code not in self._bundle.cards_by_set:
            valid = ", ".join(self._bundle.cards_by_set)
            raise CardQueryError(f"There is no card set {code!r}; the sets are {valid}.")


_shared: Final = CardService()


def get_card_service() -> CardService:
    """Give the one service of this process over the game's own bundle, loaded.

    Raises:
        CardBundleError: if anything in the bundle is wrong.
    """
    return _shared.load()


def _require_member(name: str, value: str | None, members: type[StrEnum]) -> None:
    if value is not None and value not in list(members):
        valid = ", ".join(members)
        raise CardQueryError(f"No card has the {name} {value!r}; valid are {valid}.")


def _require_range(name: str, low: int | None, high: int | None) -> None:
    if low is not None and high is not None and low > high:
        raise CardQueryError(f"{name}_min is {low}, which is more than {name}_max, {high}.")


def _is_within(value: int | None, low: int | None, high: int | None) -> bool:
    if low is None and high is None:
        return True
    return value is not None and (low is None or value >= low) and (high is None or value <= high)


def _counts(values: Iterable[str | None], order: Iterable[str]) -> dict[str, int]:
    found = Counter(values)
    return {str(kind): found[kind] for kind in order if found[kind]}
