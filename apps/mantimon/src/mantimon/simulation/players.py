"""Players that are no persons: registered as everybody is, and found again by the same seed."""

from typing import Protocol

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.database import Database
from mantimon.cards.definition import ENERGY_TYPES
from mantimon.db.models import Deck, OAuthProvider
from mantimon.services.card_service import CardService
from mantimon.services.collections import get_owned
from mantimon.services.deck_rules import DeckList
from mantimon.services.decks import build_deck, suggest_deck
from mantimon.services.players import Identity, log_in
from mantimon.services.starters import give_starter
from mantimon.simulation.messages import SimulatedPlayer
from mantimon.simulation.plan import SimulationPlan

DECK = "Simulation"


class Progress(Protocol):
    """Told how far a step has come."""

    def begin(self, step: str, total: int) -> None:
        """Begin a step of so many parts."""

    def advance(self) -> None:
        """One part more is done."""


def oauth_prefix(seed: int) -> str:
    """Give what the `oauth_id` of every simulated player of this seed begins with."""
    return f"simulated-{seed}-"


async def prepare_players(
    db: Database, plan: SimulationPlan, cards: CardService, progress: Progress
) -> list[SimulatedPlayer]:
    """Give the players of a plan, in order; those that are not there yet are registered."""
    progress.begin("players", plan.players)
    players = []
    for number in range(plan.players):
        players.append(await db.run(_welcome, plan.seed, number, cards))
        progress.advance()
    return players


async def _welcome(
    session: AsyncSession, seed: int, number: int, cards: CardService
) -> SimulatedPlayer:
    identity = Identity(
        provider=OAuthProvider.GOOGLE,
        oauth_id=f"{oauth_prefix(seed)}{number}",
        email=f"player-{number}@simulation-{seed}.example",
        display_name=f"Simulated player {number}",
    )
    user = await log_in(session, identity)
    element = ENERGY_TYPES[number % len(ENERGY_TYPES)]
    await give_starter(session, user.id, element, cards.sets[0].code, cards=cards)
    mine = select(Deck).where(Deck.user_id == user.id, Deck.name == DECK, Deck.is_valid)
    deck = await session.scalar(mine.order_by(Deck.id).limit(1))
    if deck is None:
        suggested = suggest_deck(await get_owned(session, user.id), cards=cards)
        deck = await build_deck(session, user.id, DECK, suggested, cards=cards)
    listed = DeckList(cards=deck.cards, energy_cards=deck.energy_cards)
    return SimulatedPlayer(id=user.id, deck=listed)
