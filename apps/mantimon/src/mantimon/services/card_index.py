"""Find cards by bitmaps: one for each value, joined by `&`, however many cards there are."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import accumulate, compress, islice
from operator import add, attrgetter, or_
from struct import unpack
from typing import Any, Final, Generic, TypeVar

from mantimon.cards.definition import CardDefinition, Rarity
from mantimon.cards.names import folded
from mantimon.services.card_filters import CardFilters, CardOrder, CardPage

T = TypeVar("T")

_KINDS: Final = ("element", "type", "stage", "set", "rarity")
_RANGES: Final = (("hp", "hp_min", "hp_max"), ("retreat_cost", "retreat_min", "retreat_max"))
_RANKS: Final = {rarity: rank for rank, rarity in enumerate(Rarity)}
_KEYS: Final[dict[str, Callable[[CardDefinition], Any]]] = {
    CardOrder.NUMBER: attrgetter("number"),
    CardOrder.NAME: lambda card: folded(card.name),
    CardOrder.HP: attrgetter("hp"),
    CardOrder.RARITY: lambda card: _RANKS[card.rarity],
}
# Where a bitmap has one bit of so many, it is faster to go from bit to bit than from byte to byte.
_SPARSE: Final = 50
_BITS_OF: Final = [tuple(n for n in range(8) if byte & 128 >> n) for byte in range(256)]
_BELOW: Final = [0, *((1 << n) - 1 for n in range(64))]  # the bits below the highest, by its place


def in_order(
    cards: Iterable[CardDefinition], order: CardOrder | str, *, descending: bool
) -> list[CardDefinition]:
    """Sort cards that come by set and number, which stays where what they are sorted by is equal.

    Those without such a value come last in either direction.
    """
    if order == CardOrder.SET:
        return list(cards)[:: -1 if descending else 1]
    keyed = [(_KEYS[order](card), card) for card in cards]
    known = [each for each in keyed if each[0] is not None]
    known.sort(key=lambda each: each[0], reverse=descending)
    return [card for _, card in known] + [card for key, card in keyed if key is None]


class SearchIndex:
    """Cards in one order, and for each value the bitmap of the cards that have it.

    A bitmap is an `int` whose highest bit stands for the first card. What a field needs is made
    when it is first searched by. Any number of threads may share an index; at worst, two of them
    make the same.
    """

    def __init__(self, cards: Sequence[CardDefinition]) -> None:
        self._cards = _Column(cards)
        self._all = _bitmap(range(len(cards)), len(cards))
        self._fields: dict[str, _Bitmaps] = {}
        self._ranges: dict[str, _Range] = {}

    def find(self, filters: CardFilters) -> CardPage:
        """Give the page that the filters ask for, of the cards that match; their order is ours."""
        found = self._matching(filters)
        start, all_cards = filters.offset, len(self._cards.values)
        stop = all_cards if filters.limit is None else min(start + filters.limit, all_cards)
        needle = folded(filters.name or "")
        for pair in _pairs(needle):
            found &= self._name_pairs[pair]
        if len(needle) not in {0, 2}:
            named = [card for name, card in self._named.pick(found) if needle in name]
            total, cards = len(named), named[start:stop]
        else:
            total, cards = found.bit_count(), self._cards.pick(found, stop)[start:stop]
        end = start + len(cards)
        more = bool(cards) and end < total
        return CardPage(cards=cards, total=total, next_offset=end if more else None)

    def _matching(self, filters: CardFilters) -> int:
        """Give the bitmap of the cards that meet every filter but the name."""
        found = self._all
        for field in _KINDS:
            if (value := getattr(filters, field)) is not None:
                found &= self._bitmaps(field)[value]
        for field, low, high in _RANGES:
            ends = getattr(filters, low), getattr(filters, high)
            if ends != (None, None):
                found &= self._range(field).within(*ends)
        return found

    def _bitmaps(self, field: str) -> "_Bitmaps":
        if field not in self._fields:
            values = map(attrgetter(field), self._cards.values)
            self._fields[field] = _Bitmaps([(value,) for value in values])
        return self._fields[field]

    def _range(self, field: str) -> "_Range":
        if field not in self._ranges:
            self._ranges[field] = _Range(self._bitmaps(field))
        return self._ranges[field]

    @cached_property
    def _named(self) -> "_Column[tuple[str, CardDefinition]]":
        return _Column([(folded(card.name), card) for card in self._cards.values])

    @cached_property
    def _name_pairs(self) -> "_Bitmaps":
        return _Bitmaps([_pairs(name) for name, _ in self._named.values])


class _Bitmaps:
    """The bitmap of each value, made of the positions of its cards when it is first asked for."""

    def __init__(self, values_of: Sequence[Iterable[Any]]) -> None:
        self._cards = len(values_of)
        self.positions: dict[Any, list[int]] = defaultdict(list)
        for position, values in enumerate(values_of):
            for value in values:
                self.positions[value].append(position)
        self._made: dict[Any, int] = {}

    def __getitem__(self, value: object) -> int:
        if value not in self.positions:
            return 0
        if value not in self._made:
            self._made[value] = _bitmap(self.positions[value], self._cards)
        return self._made[value]


class _Range:
    """The bitmaps of the values up to each value, so that those of a range are two of them."""

    def __init__(self, bitmaps: _Bitmaps) -> None:
        self._values: list[int] = sorted(bitmaps.positions.keys() - {None})
        self._up_to: list[int] = [0, *accumulate((bitmaps[value] for value in self._values), or_)]

    def within(self, low: int | None, high: int | None) -> int:
        first = 0 if low is None else bisect_left(self._values, low)
        last = len(self._values) if high is None else bisect_right(self._values, high)
        return self._up_to[first] ^ self._up_to[last]


class _Column(Generic[T]):
    """Values of which a bitmap picks some; what it does not pick, Python does not see."""

    def __init__(self, values: Sequence[T]) -> None:
        self.values = values
        self._eights = [tuple(values[at : at + 8]) for at in range(0, len(values), 8)]

    def pick(self, bitmap: int, first: int | None = None) -> list[T]:
        """Give the values whose bits are set; if asked for the first so many, at least those."""
        if bitmap.bit_count() * _SPARSE < len(self.values):
            return self._pick_few(bitmap, first)
        marks = bitmap.to_bytes(_bytes(len(self.values)), "big")
        marked = zip(compress(self._eights, marks), marks.translate(None, b"\0"), strict=True)
        return [eight[n] for eight, byte in islice(marked, first) for n in _BITS_OF[byte]]

    def _pick_few(self, bitmap: int, first: int | None) -> list[T]:
        size = _bytes(len(self.values))
        words = unpack(f">{size // 8}Q", bitmap.to_bytes(size, "big"))
        ends = range(64, len(self.values) + 64, 64)
        found = []
        for end, word in islice(
            zip(compress(ends, words), filter(None, words), strict=True), first
        ):
            left = word
            while left:
                place = left.bit_length()
                found.append(self.values[end - place])
                left &= _BELOW[place]
        return found


def _pairs(text: str) -> set[str]:
    """Give each two characters that stand together."""
    return set(map(add, text, text[1:]))


def _bitmap(positions: Iterable[int], cards: int) -> int:
    # Setting the bits of an int would copy it for each.
    marks = bytearray(_bytes(cards))
    for position in positions:
        marks[position >> 3] |= 128 >> (position & 7)
    return int.from_bytes(marks, "big")


def _bytes(cards: int) -> int:
    """Give the length of a bitmap: whole words."""
    return -(-cards // 64) * 8
