"""Read and write a card bundle: a directory with an index and one file of cards for each set."""

import gc
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Final

import msgspec

from mantimon.cards.definition import INDEX_FILE, CardDefinition, CardIndex, CardSet
from mantimon.cards.diagnosis import find_problems
from mantimon.cards.placing import place
from mantimon.cards.problems import BundlePlaceError, CardBundleError, Problem
from mantimon.cards.rules import breaks_a_rule

SHIPPED_BUNDLE: Final = Path(__file__).parents[1] / "data" / "cards"

_index_decoder: Final = msgspec.json.Decoder(CardIndex)
_cards_decoder: Final = msgspec.json.Decoder(list[CardDefinition])


@dataclass(frozen=True, slots=True, kw_only=True)
class CardBundle:
    """All sets and cards of one directory, checked; cards are in order of set and number."""

    sets: tuple[CardSet, ...]
    cards: Mapping[str, CardDefinition]
    cards_by_set: Mapping[str, tuple[CardDefinition, ...]]


def load_bundle(directory: Path) -> CardBundle:
    """Read and check every card file in `directory`.

    Cost: about what decoding the JSON costs (a few milliseconds for 400 cards); a broken bundle
    is then read a second time to find out everything about it.

    Raises:
        CardBundleError: with each problem of each file, card and field.
    """
    contents, unreadable = _read(directory)
    if unreadable:
        raise CardBundleError(directory, unreadable)
    with _paused_collector():
        bundle = _decode(contents)
    if bundle is None:
        raise CardBundleError(directory, find_problems(contents))
    return bundle


def encode_bundle(
    names: Mapping[str, str], cards: Iterable[CardDefinition], *, complete: bool = True
) -> dict[str, bytes]:
    """Give the files of a bundle by name, one card a line, in the order of set and number.

    `names` has the code and name of each set in the order they came out; every card belongs to
    one of them. `complete` is what the index says of the sets (see `CardSet`).
    """
    by_set: dict[str, list[CardDefinition]] = {code: [] for code in names}
    for card in sorted(cards, key=attrgetter("number")):
        by_set[card.set].append(card)
    sets = [
        CardSet(
            code=code, name=name, file=f"{code}.json", cards=len(by_set[code]), complete=complete
        )
        for code, name in names.items()
    ]
    files = {card_set.file: _lines(by_set[card_set.code]) for card_set in sets}
    index = b'{"sets":' + _lines(sets).rstrip() + b"}\n"
    return {INDEX_FILE: index, **files}


def write_bundle(directory: Path, contents: Mapping[str, bytes], *, replace: bool = False) -> None:
    """Write the files of `encode_bundle` as a directory of its own, all of them or none.

    Whoever loads the directory meanwhile gets the bundle that was there before, or the new one, or
    an error; the same is so after a process that died (see `place`).

    Raises:
        BundlePlaceError: there is something already, other than an empty directory; or with
            `replace`, other than a bundle.
        OSError: it could not be written; what was there before still is.
    """
    directory = directory.resolve()  # a link stays what it is
    if problem := _in_the_way(directory, replace=replace):
        raise BundlePlaceError(f"{directory} {problem}")
    place(directory, contents)


def _in_the_way(directory: Path, *, replace: bool) -> str:
    if not directory.exists():
        return ""
    if not directory.is_dir():
        return "is a file; give the name of a directory."
    inside = sorted(directory.iterdir())
    if other := [path.name for path in inside if path.suffix != ".json" or not path.is_file()]:
        return f"has other things in it, such as {other[0]!r}; give a directory of its own."
    if inside and not replace:
        return "has a card bundle already; give another directory, or --replace it."
    return ""


def _lines(values: Iterable[msgspec.Struct]) -> bytes:
    return b"[\n" + b",\n".join(msgspec.json.encode(value) for value in values) + b"\n]\n"


def _read(directory: Path) -> tuple[dict[str, bytes], list[Problem]]:
    """Give the bytes of each JSON file, and a problem for each that cannot be read."""
    contents: dict[str, bytes] = {}
    problems: list[Problem] = []
    try:
        # Held open, it is one bundle to the end, whatever takes its name meanwhile.
        folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return {}, [Problem(file=directory.name, what="is not a directory")]
    except OSError as error:
        return {}, [Problem(file=directory.name, what=f"cannot be read: {error.strerror}")]
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries)
        for name in names:
            if name.endswith(".json") and not name.startswith("."):
                try:
                    contents[name] = _content(name, folder)
                except OSError as error:
                    what = f"cannot be read: {error.strerror}"
                    problems.append(Problem(file=name, what=what))
    finally:
        os.close(folder)
    return contents, problems


def _content(name: str, folder: int) -> bytes:
    with open(name, "rb", opener=partial(os.open, dir_fd=folder)) as file:
        return file.read()


def _decode(contents: Mapping[str, bytes]) -> CardBundle | None:
    """Decode and check all files at full speed; `None` if anything at all is wrong."""
    by_set: dict[str, tuple[CardDefinition, ...]] = {}
    names: set[str | None] = {None}
    earlier: set[str | None] = set()
    try:
        sets = _index_decoder.decode(contents[INDEX_FILE]).sets
        # Each set is checked when it is decoded, while its cards are in the processor's cache.
        for card_set in sets:
            found = _in_order(_cards_decoder.decode(contents[card_set.file]))
            if found is None or breaks_a_rule(found, card_set):
                return None
            by_set[card_set.code] = found
            names.update([card.name for card in found])
            if card_set.complete:
                earlier.update([card.evolves_from for card in found])
    except (KeyError, RecursionError, UnicodeDecodeError, msgspec.DecodeError):
        return None
    cards = {card.id: card for card in chain.from_iterable(by_set.values())}
    bundle = CardBundle(sets=sets, cards=cards, cards_by_set=by_set)
    return bundle if earlier <= names and _agrees(bundle, contents) else None


def _in_order(cards: list[CardDefinition]) -> tuple[CardDefinition, ...] | None:
    """Sort the cards of a set by number; `None` if two have one."""
    numbers = [card.number for card in cards]
    if len(set(numbers)) != len(numbers):
        return None
    return tuple(cards if numbers == sorted(numbers) else sorted(cards, key=attrgetter("number")))


def _agrees(bundle: CardBundle, contents: Mapping[str, bytes]) -> bool:
    """Tell whether the index has each file, set and card once, and nothing that is not there."""
    files = {card_set.file for card_set in bundle.sets}
    counts = [card_set.cards for card_set in bundle.sets]
    return (
        files | {INDEX_FILE} == contents.keys()
        and len(bundle.sets) == len(bundle.cards_by_set)
        and counts == [len(cards) for cards in bundle.cards_by_set.values()]
        and sum(counts) == len(bundle.cards)
    )


@contextmanager
def _paused_collector() -> Iterator[None]:
    """Keep the garbage collector from walking the growing heap: up to 7 times the load itself."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            if not gc.get_freeze_count():
                # To the oldest objects at once: among the youngest, all would be walked after all.
                gc.freeze()
                gc.unfreeze()
            gc.enable()
