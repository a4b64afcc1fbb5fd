"""Rows `cards.load` and `cards.load.game`: a directory of cards, read and checked."""

import gc
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from benchmarks.measure import GROWTH, Contenders, RatioGoal, Row, Run, Sample
from pydantic import BaseModel, ConfigDict, PositiveInt, TypeAdapter

from mantimon.cards.bundle import SHIPPED_BUNDLE, encode_bundle, load_bundle, write_bundle
from mantimon.cards.definition import (
    INDEX_FILE,
    CardDefinition,
    CardIndex,
    CardType,
    Element,
    Rarity,
    Stage,
)

PIECE, PIECES = 500, 100  # cards, and how many times so many
TIMES = 10  # loads of the game's own cards in one run
Load = Callable[[], object]


class Strict(BaseModel):
    """As a card is described for pydantic."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Modifier(Strict):
    """A weakness or a resistance."""

    element: Element
    value: PositiveInt = 20


class Ability(Strict):
    """What a creature can do without attacking."""

    name: str
    text: str


class Attack(Strict):
    """One attack."""

    name: str
    cost: tuple[Element, ...]
    damage: int = 0
    text: str = ""


class Card(Strict):
    """One card."""

    id: str
    set: str
    number: PositiveInt
    name: str
    type: CardType
    rarity: Rarity
    text: str = ""
    element: Element | None = None
    stage: Stage | None = None
    evolves_from: str | None = None
    hp: PositiveInt | None = None
    retreat_cost: int | None = None
    weakness: Modifier | None = None
    resistance: Modifier | None = None
    ability: Ability | None = None
    attacks: tuple[Attack, ...] = ()


class Set(Strict):
    """One set as the index lists it."""

    code: str
    name: str
    file: str
    cards: PositiveInt
    complete: bool = True


class Index(Strict):
    """The index."""

    sets: tuple[Set, ...]


def many(number: int) -> list[CardDefinition]:
    """Give so many cards: those of the game again and again, in sets of their own."""
    shipped = list(load_bundle(SHIPPED_BUNDLE).cards.values())
    made = []
    for position in range(number):
        card, copy = shipped[position % len(shipped)], position // len(shipped)
        changes = {"id": f"{card.id}-{copy}", "set": f"{card.set}x{copy}"}
        made.append(msgspec.structs.replace(card, **changes))
    return made


def encoded(cards: list[CardDefinition]) -> dict[str, bytes]:
    """Give the files of a bundle of them."""
    return encode_bundle({card.set: card.set for card in cards}, cards)


def decoding(place: Path) -> Load:
    """The files read and their bytes made structs, and no more: nothing is checked."""
    index, cards = msgspec.json.Decoder(CardIndex), msgspec.json.Decoder(list[CardDefinition])

    def load() -> object:
        sets = index.decode((place / INDEX_FILE).read_bytes()).sets
        return [cards.decode((place / card_set.file).read_bytes()) for card_set in sets]

    return paused(load)


def validating(place: Path) -> Load:
    """The files read, and their values made models."""
    index, cards = TypeAdapter(Index), TypeAdapter(list[Card])

    def load() -> object:
        sets = index.validate_python(json.loads((place / INDEX_FILE).read_bytes())).sets
        files = [json.loads((place / card_set.file).read_bytes()) for card_set in sets]
        return [cards.validate_python(values) for values in files]

    return load


def paused(load: Load) -> Load:
    """The same while the collector stands still."""

    def still() -> object:
        gc.disable()
        try:
            return load()
        finally:
            gc.enable()

    return still


def timed(loads: Mapping[int, Load], times: int = 1) -> Run:
    """Time a load of so many cards, or several."""

    async def run(work: int) -> Sample:
        load = loads[work]
        gc.collect()  # nobody's waste is the next one's work
        began = time.perf_counter()
        for _ in range(times):
            loaded = load()
        seconds = (time.perf_counter() - began) / times
        del loaded
        return Sample(seconds=seconds)

    return run


def contenders(run: Callable[[Callable[[Path], Load]], Run]) -> Contenders:
    """Give everybody, each made by `run` from how it loads a directory."""
    return Contenders(
        limit=("msgspec", run(decoding)),
        peers=[("json + pydantic", run(validating))],
        ours=("load_bundle", run(lambda place: lambda: load_bundle(place))),
        beside=[
            ("json + pydantic, collector paused", run(lambda place: paused(validating(place))))
        ],
    )


@asynccontextmanager
async def bundles(quick: bool) -> AsyncIterator[Contenders]:  # noqa: FBT001
    """More work is more cards."""
    with TemporaryDirectory(prefix="holdfast-bench-") as folder:
        places = {work: Path(folder) / f"{work}" for work in (GROWTH[:1] if quick else GROWTH)}
        for work, place in places.items():
            write_bundle(place, encoded(many(PIECE * work)))
        yield contenders(lambda by: timed({work: by(place) for work, place in places.items()}))


@asynccontextmanager
async def game(quick: bool) -> AsyncIterator[Contenders]:  # noqa: FBT001
    """More work is more loads."""
    times = 1 if quick else TIMES

    def repeated(by: Callable[[Path], Load]) -> Run:
        load = by(SHIPPED_BUNDLE)

        async def run(work: int) -> Sample:
            return await timed({work: load}, times * work)(work)

        return run

    yield contenders(repeated)


LOAD = Row(
    name="cards.load",
    what="50,000 cards from their files; ours checks them all, the limit only decodes",
    goals=[RatioGoal(at_most=1.6)],
    contenders=bundles,
    pieces=PIECES,
)
GAME = Row(
    name="cards.load.game",
    what="the game's own 372 cards, in the same way",
    goals=[RatioGoal(at_most=1.6)],
    contenders=game,
    repeats=21,
)
