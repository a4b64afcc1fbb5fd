"""Find everything that is wrong with the files of a card bundle that did not load.

Decoding stops at the first problem. This goes on: file by file, card by card and field by
field, so that a broken bundle can be mended in one go.
"""

import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import structs

from mantimon.cards.definition import INDEX_FILE, CardDefinition, CardIndex, CardSet
from mantimon.cards.problems import Problem
from mantimon.cards.rules import rule_problems
from mantimon.cards.shapes import best_effort, decoded, field_problems, kind_of


class _RawCard(NamedTuple):
    """A card as its file has it: where it stands, what to call it, and its fields."""

    file: str
    position: int
    label: str
    fields: dict[str, Any]


def find_problems(contents: Mapping[str, bytes]) -> list[Problem]:
    """List the problems of a bundle, given the bytes of its files by name.

    Those of the index come first, then those of each file in the order of the index, then what
    only shows between cards.
    """
    sets = _listed_sets(contents)
    by_file = {card_set.file: card_set for card_set in sets}
    files = [*by_file, *sorted(contents.keys() - by_file.keys() - {INDEX_FILE})]
    present = [file for file in files if file in contents]
    problems = [*_index_problems(contents), *_listing_problems(contents, sets)]
    for file in present:
        problems += _file_problems(file, contents[file], by_file.get(file))
    cards = [card for file in present for card in _raw_cards(file, contents[file])]
    problems += _repeats(cards, "id", lambda card: card.fields["id"])
    problems += _repeats(cards, "number", lambda card: (card.file, card.fields["number"]))
    if not any(decoded(content)[1] for content in contents.values()):
        problems += _dangling_names([card for card in cards if _is_complete(card, by_file)], cards)
    return problems


def _index_problems(contents: Mapping[str, bytes]) -> Iterator[Problem]:
    if INDEX_FILE not in contents:
        yield Problem(file=INDEX_FILE, what="is missing")
        return
    raw, unreadable = decoded(contents[INDEX_FILE])
    if unreadable:
        yield Problem(file=INDEX_FILE, what=unreadable)
        return
    for field, what in field_problems(raw, CardIndex):
        yield Problem(file=INDEX_FILE, field=field, what=what)


def _listed_sets(contents: Mapping[str, bytes]) -> list[CardSet]:
    """Give what can be made of the sets in the index; what is wrong in one of them is `None`."""
    raw, _ = decoded(contents.get(INDEX_FILE, b"null"))
    listed = raw.get("sets") if isinstance(raw, dict) else None
    items = listed if isinstance(listed, list) else []
    return [best_effort(item, CardSet) for item in items if isinstance(item, dict)]


def _listing_problems(contents: Mapping[str, bytes], sets: Sequence[CardSet]) -> Iterator[Problem]:
    """Compare the sets with each other and with the files that are there."""
    for n, card_set in enumerate(sets):
        at = f"sets[{n}]"
        if card_set.code in {other.code for other in sets[:n]} - {None}:
            what = f"{card_set.code!r} is the code of two sets"
            yield Problem(file=INDEX_FILE, field=f"{at}.code", what=what)
        if card_set.file in {other.file for other in sets[:n]} - {None}:
            what = f"{card_set.file!r} is the file of two sets"
            yield Problem(file=INDEX_FILE, field=f"{at}.file", what=what)
        if card_set.file and card_set.file not in contents.keys() - {INDEX_FILE}:
            what = f"names {card_set.file!r}, which is not a set file beside the index"
            yield Problem(file=INDEX_FILE, field=f"{at}.file", what=what)
        yield from _miscounts(contents, card_set, at)
    for file in sorted(contents.keys() - {card_set.file for card_set in sets} - {INDEX_FILE}):
        yield Problem(file=file, what=f"is not listed in {INDEX_FILE}")


def _miscounts(contents: Mapping[str, bytes], card_set: CardSet, at: str) -> Iterator[Problem]:
    raw, _ = decoded(contents.get(card_set.file, b"null"))
    if isinstance(raw, list) and card_set.cards not in {None, len(raw)}:
        has = "1 card" if len(raw) == 1 else f"{len(raw)} cards"
        what = f"is {card_set.cards}, but {card_set.file} has {has}"
        yield Problem(file=INDEX_FILE, field=f"{at}.cards", what=what)


def _file_problems(file: str, content: bytes, card_set: CardSet | None) -> Iterator[Problem]:
    raw, unreadable = decoded(content)
    if unreadable:
        yield Problem(file=file, what=unreadable)
    elif not isinstance(raw, list):
        yield Problem(file=file, what=f"is {kind_of(raw)}, not an array of cards")
    else:
        for position, value in enumerate(raw, start=1):
            for field, what in _card_problems(value, card_set):
                label = _label(value, position)
                yield Problem(file=file, card=label, field=field, what=what)


def _card_problems(value: object, card_set: CardSet | None) -> Iterator[tuple[str, str]]:
    broken = set()
    for field, what in field_problems(value, CardDefinition):
        broken.add(re.split(r"[.\[]", field)[0])
        yield field, what
    if isinstance(value, dict) and "type" not in broken:
        card = best_effort(value, CardDefinition)
        rules = rule_problems(card, _set_of(card, card_set))
        yield from (found for found in rules if found[0] not in broken)


def _set_of(card: CardDefinition, listed: CardSet | None) -> CardSet:
    """Give the set whose rules count; one that the index leaves unclear is taken from the card."""
    card_set = listed or best_effort({}, CardSet)
    return card_set if card_set.code else structs.replace(card_set, code=card.set)


def _label(value: object, position: int) -> str:
    name = value.get("id") if isinstance(value, dict) else None
    return name if isinstance(name, str) and name else f"card {position}"


def _raw_cards(file: str, content: bytes) -> Iterator[_RawCard]:
    raw, _ = decoded(content)
    for position, value in enumerate(raw if isinstance(raw, list) else [], start=1):
        if isinstance(value, dict):
            yield _RawCard(file, position, _label(value, position), value)


def _repeats(
    cards: Sequence[_RawCard], field: str, key: Callable[[_RawCard], Hashable]
) -> Iterator[Problem]:
    """Yield a problem for each card whose key an earlier card has."""
    first: dict[Hashable, _RawCard] = {}
    for card in cards:
        value = card.fields.get(field)
        if not isinstance(value, str | int):
            continue
        earlier = first.setdefault(key(card), card)
        if earlier is not card:
            what = f"{value!r} is already that of card {earlier.position} in {earlier.file}"
            yield Problem(file=card.file, card=card.label, field=field, what=what)


def _is_complete(card: _RawCard, by_file: Mapping[str, CardSet]) -> bool:
    return card.file not in by_file or by_file[card.file].complete


def _dangling_names(cards: Sequence[_RawCard], all_cards: Sequence[_RawCard]) -> Iterator[Problem]:
    """Yield a problem for each card that evolves from a name that no card has."""
    names = {str(card.fields.get("name")) for card in all_cards}
    for card in cards:
        earlier = card.fields.get("evolves_from")
        if isinstance(earlier, str) and earlier not in names:
            what = f"{earlier!r} is the name of no card"
            yield Problem(file=card.file, card=card.label, field="evolves_from", what=what)
