"""Compose a set: which cards are in it, how rare each is, and in what order they are numbered."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from typing import Final

from msgspec import structs

from mantimon.cards.creatures import Line, ascended, stages
from mantimon.cards.definition import CardDefinition, CardType, Element, Rarity, Stage
from mantimon.cards.lore import Lore
from mantimon.cards.wordlists import draw

_PLAIN: Final = (Rarity.COMMON, Rarity.UNCOMMON, Rarity.RARE)
_ITEM_RANK: Final = 2
_SUPPORTER_RANK: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPlan:
    """What goes into one set.

    `lines` has the number of stages of each evolution line of an element. `prints` has the
    number of cards of each rarity: the first three divide the plain cards, which are all
    creatures, items and supporters; the epics are ascended creatures; the others are special
    printings of cards that the set already has.
    """

    code: str
    name: str
    lines: Sequence[int]
    items: int
    supporters: int
    prints: Mapping[Rarity, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """A card before it has its number; `rank` is how much it is worth among the plain cards."""

    card: CardDefinition
    line: Line | None = None
    rank: float = 0


def set_cards(
    plan: SetPlan, lines: Iterable[Line], others: Iterable[CardDefinition], lore: Lore
) -> list[CardDefinition]:
    """Give the numbered cards of a set: creatures, then `others`, then special prints."""
    plain = _with_rarities([*_creatures(lines), *map(_other, others)], plan)
    drafts = list(_with_epics(plain, plan.prints[Rarity.EPIC]))
    drafts += _special_prints(drafts, plan)
    return [_numbered(plan, draft, number, lore) for number, draft in enumerate(drafts, start=1)]


def _creatures(lines: Iterable[Line]) -> Iterator[_Draft]:
    for line in lines:
        for tier, card in enumerate(stages(line)):
            early_end = 0.5 * (3 - len(line.names)) if tier == len(line.names) - 1 else 0
            yield _Draft(card=card, line=line, rank=_jittered(3 * tier + 2 * early_end, card))


def _other(card: CardDefinition) -> _Draft:
    rank = _ITEM_RANK if card.type is CardType.ITEM else _SUPPORTER_RANK
    return _Draft(card=card, rank=_jittered(rank, card))


def _jittered(rank: float, card: CardDefinition) -> float:
    """Mix cards of neighbouring ranks, but none with those two ranks away."""
    return rank + 2 * draw("rank", card.name)


def _with_rarities(drafts: Sequence[_Draft], plan: SetPlan) -> list[_Draft]:
    """Divide the plain rarities by rank: the lowest are common."""
    rarities = chain.from_iterable([rarity] * plan.prints[rarity] for rarity in _PLAIN)
    ranked = sorted(drafts, key=lambda draft: draft.rank)
    by_name = {d.card.name: rarity for d, rarity in zip(ranked, rarities, strict=True)}
    return [_with_rarity(draft, by_name[draft.card.name]) for draft in drafts]


def _with_rarity(draft: _Draft, rarity: Rarity) -> _Draft:
    return replace(draft, card=structs.replace(draft.card, rarity=rarity))


def _with_epics(drafts: Sequence[_Draft], count: int) -> Iterator[_Draft]:
    """Give all drafts, and after `count` of the last stages their ascended counterpart."""
    last_stages = [draft for draft in drafts if draft.card.stage is Stage.STAGE_2]
    chosen = _spread(last_stages, count, Rarity.EPIC)
    for draft in drafts:
        yield draft
        if draft in chosen and draft.line is not None:
            yield replace(draft, card=ascended(draft.line, draft.card))


def _special_prints(drafts: Sequence[_Draft], plan: SetPlan) -> Iterator[_Draft]:
    epics = [draft for draft in drafts if draft.card.rarity is Rarity.EPIC]
    people = [draft for draft in drafts if draft.card.type is CardType.SUPPORTER]
    creatures = [draft for draft in drafts if draft.line and draft not in epics]
    sources = {
        Rarity.GILDED: creatures,
        Rarity.RADIANT: [*epics, *people],
        Rarity.MYTHIC: epics,
        Rarity.CROWN: epics,
    }
    for rarity, source in sources.items():
        for draft in _spread(source, plan.prints[rarity], rarity):
            yield _with_rarity(draft, rarity)


def _spread(drafts: Sequence[_Draft], count: int, rarity: Rarity) -> list[_Draft]:
    """Choose `count` drafts, the same number of each element as far as that goes, in order."""
    groups: dict[Element | None, list[_Draft]] = {}
    for draft in sorted(drafts, key=lambda draft: draw(rarity, draft.card.name)):
        groups.setdefault(draft.card.element, []).append(draft)
    dealt = [draft for draft in chain.from_iterable(zip_longest(*groups.values())) if draft]
    chosen = {draft.card.name for draft in dealt[:count]}
    return [draft for draft in drafts if draft.card.name in chosen]


def _numbered(plan: SetPlan, draft: _Draft, number: int, lore: Lore) -> CardDefinition:
    card = draft.card
    slug = re.sub(r"[^a-z0-9]+", "-", card.name.lower())
    text = card.text
    if draft.line is not None:
        text = lore.text(draft.line.element, draft.line.beast, card.name)
    code = plan.code.lower()
    card_id = f"{code}-{number:03}-{slug}"
    return structs.replace(card, id=card_id, set=plan.code, number=number, text=text)
