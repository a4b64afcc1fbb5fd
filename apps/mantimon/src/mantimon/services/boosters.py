"""Open a booster: draw cards by rarity and add them to the player's collection."""

import random
import uuid
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from mantimon.cards.definition import CardDefinition, Rarity
from mantimon.db.models import CardSource
from mantimon.services.card_service import CardService
from mantimon.services.collections import add_copies
from mantimon.services.purse import take_pack

# One entry for each card of a booster: the rarities that it may have, by weight.
_COMMON = {Rarity.COMMON: 1.0}
_UNCOMMON = {Rarity.UNCOMMON: 1.0}
_RARE = {Rarity.RARE: 80.0, Rarity.EPIC: 20.0}
_TREASURE = {
    Rarity.RARE: 60.0,
    Rarity.EPIC: 22.0,
    Rarity.GILDED: 9.0,
    Rarity.RADIANT: 5.0,
    Rarity.MYTHIC: 3.0,
    Rarity.CROWN: 1.0,
}
BOOSTER: Sequence[Mapping[Rarity, float]] = (
    *(_COMMON,) * 5,
    *(_UNCOMMON,) * 3,
    _RARE,
    _TREASURE,
)


async def open_booster(
    session: AsyncSession,
    user_id: uuid.UUID,
    set_code: str,
    *,
    cards: CardService,
    rng: random.Random,
) -> list[CardDefinition]:
    """Open one of a player's packs as a booster of a set; the most frequent rarity comes first.

    The pack goes and the cards come in one transaction, which the caller commits. Any number of
    tasks open as many as there are packs.

    Raises:
        CardQueryError: there is no such set. Nothing is written.
        NoPackError: the player has no packs left, or no campaign. Nothing is written.
    """
    in_set = cards.get_cards_by_set(set_code)
    await take_pack(session, user_id)
    drawn = draw_booster(in_set, rng)
    copies = Counter(card.id for card in drawn)
    await add_copies(session, user_id, copies, CardSource.BOOSTER)
    return drawn


def draw_booster(in_set: Sequence[CardDefinition], rng: random.Random) -> list[CardDefinition]:
    """Draw the cards of one booster from the cards of one set; one card may come twice.

    A set that has no card of the rarities of a slot gives any card for it.
    """
    by_rarity = defaultdict(list)
    for card in in_set:
        by_rarity[card.rarity].append(card)
    return [rng.choice(_pool(slot, by_rarity, rng) or in_set) for slot in BOOSTER]


def _pool(
    slot: Mapping[Rarity, float],
    by_rarity: Mapping[Rarity, Sequence[CardDefinition]],
    rng: random.Random,
) -> Sequence[CardDefinition]:
    present = {rarity: weight for rarity, weight in slot.items() if rarity in by_rarity}
    if not present:
        return ()
    (rarity,) = rng.choices(list(present), weights=list(present.values()))
    return by_rarity[rarity]
