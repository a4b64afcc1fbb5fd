"""Row `cards.search`: cards by four filters, against looking at every card."""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.loading import PIECE, PIECES, encoded, many
from benchmarks.measure import GROWTH, Contenders, RatioGoal, Row, Run, Sample

from mantimon.cards.bundle import write_bundle
from mantimon.cards.definition import CardDefinition, CardType, Element, Rarity, Stage
from mantimon.cards.names import folded
from mantimon.services.card_service import CardFilters, CardPage, CardService

TIMES = 20  # searches in one run
Cards = list[CardDefinition]
Search = Callable[[], object]
Wanted = Mapping[str, Any]

# As a person would write them: the condition that most cards fail comes first.
ORDINARY: Wanted = {"element": "flame", "stage": "basic", "rarity": "common", "hp_max": 60}
RARE: Wanted = {"element": "flame", "stage": "stage_2", "rarity": "mythic", "retreat_max": 2}
COMMON: Wanted = {"type": "creature", "stage": "basic", "hp_min": 50, "retreat_max": 2}
NAMED: Wanted = {"element": "flame", "stage": "basic", "rarity": "common", "name": "kit"}


def ordinary(cards: Cards) -> Cards:
    """Some 2 of 100 cards."""
    flame, basic, common = Element.FLAME, Stage.BASIC, Rarity.COMMON
    return [
        card
        for card in cards
        if card.element is flame
        and card.stage is basic
        and card.rarity is common
        and card.hp is not None
        and card.hp <= 60
    ]


def rare(cards: Cards) -> Cards:
    """Fewer than 1 of 100."""
    flame, stage_2, mythic = Element.FLAME, Stage.STAGE_2, Rarity.MYTHIC
    return [
        card
        for card in cards
        if card.element is flame
        and card.stage is stage_2
        and card.rarity is mythic
        and card.retreat_cost is not None
        and card.retreat_cost <= 2
    ]


def common(cards: Cards) -> Cards:
    """Some 25 of 100."""
    creature, basic = CardType.CREATURE, Stage.BASIC
    return [
        card
        for card in cards
        if card.type is creature
        and card.stage is basic
        and card.hp is not None
        and card.hp >= 50
        and card.retreat_cost is not None
        and card.retreat_cost <= 2
    ]


def named(cards: Cards) -> Cards:
    """Fewer than 1 of 100, with a text in their name."""
    flame, basic, common = Element.FLAME, Stage.BASIC, Rarity.COMMON
    return [
        card
        for card in cards
        if card.element is flame
        and card.stage is basic
        and card.rarity is common
        and "kit" in folded(card.name)
    ]


def timed(searches: Mapping[int, Search]) -> Run:
    """Time a search of so many cards."""

    async def run(work: int) -> Sample:
        search = searches[work]
        search()  # the first one makes what the others use
        began = time.perf_counter()
        for _ in range(TIMES):
            search()
        return Sample(seconds=(time.perf_counter() - began) / TIMES)

    return run


@asynccontextmanager
async def contenders(quick: bool) -> AsyncIterator[Contenders]:  # noqa: FBT001
    """More work is more cards."""
    services = {}
    with TemporaryDirectory(prefix="holdfast-bench-") as folder:
        for work in GROWTH[:1] if quick else GROWTH:
            write_bundle(Path(folder) / f"{work}", encoded(many(PIECE * work)))
            services[work] = CardService(Path(folder) / f"{work}").load()

    def looping(loop: Callable[[Cards], Cards]) -> Run:
        return timed({work: partial(loop, list(service)) for work, service in services.items()})

    def searching(wanted: Wanted, limit: int | None = None) -> Run:
        asked = {"limit": limit, **wanted}
        return timed({work: partial(search, each, asked) for work, each in services.items()})

    for wanted, loop in ((ORDINARY, ordinary), (RARE, rare), (COMMON, common), (NAMED, named)):
        for service in services.values():
            assert search(service, wanted).cards == loop(list(service))
    yield Contenders(
        limit=("comprehension", looping(ordinary)),
        ours=("search_page, 20 of them", searching(ORDINARY, 20)),
        beside=[
            ("search_page, all of them (2 %)", searching(ORDINARY)),
            ("comprehension, rare (0.3 %)", looping(rare)),
            ("search_page, rare, all of them", searching(RARE)),
            ("comprehension, common (25 %)", looping(common)),
            ("search_page, common, 20 of them", searching(COMMON, 20)),
            ("search_page, common, all of them", searching(COMMON)),
            ("comprehension, with a name (0.3 %)", looping(named)),
            ("search_page, with a name, all of them", searching(NAMED)),
        ],
    )


def search(service: CardService, wanted: Wanted) -> CardPage:
    """Search as a program would, its filters checked each time."""
    return service.search_page(CardFilters(**wanted))


ROW = Row(
    name="cards.search",
    what="a page by four filters, and how many match, of 50,000 cards; the limit is a loop",
    goals=[RatioGoal(at_most=0.1)],
    contenders=contenders,
    pieces=PIECES,
)
