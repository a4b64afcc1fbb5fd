"""Who is to play whom with which decks, and everything that is wrong with it."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.models import uuid7
from mantimon.campaign.clubs import find_npc
from mantimon.db.models import GameType, User
from mantimon.errors import InvalidInputError, NotFoundError, NotReachedError
from mantimon.games.state import ENERGY, Rules
from mantimon.services.campaign import find_opponent
from mantimon.services.card_service import CardService
from mantimon.services.collections import get_owned
from mantimon.services.deck_rules import DeckList, find_problems
from mantimon.services.inputs import show
from mantimon.services.starters import choose_starter


@dataclass(frozen=True, slots=True, kw_only=True)
class NewGame:
    """Who is to play what; against a player with a deck, or against an NPC, who has one.

    The id is chosen here, so that a game that is started again is the same game.
    """

    game_type: GameType
    player1_id: uuid.UUID
    deck1: DeckList
    player2_id: uuid.UUID | None = None
    deck2: DeckList | None = None
    npc_id: str | None = None
    rules: Rules = field(default_factory=Rules)
    id: uuid.UUID = field(default_factory=uuid7)


async def require_playable(session: AsyncSession, new: NewGame, cards: CardService) -> None:
    """Refuse a game that cannot be; its players cannot be deleted until the transaction ends.

    Raises:
        InvalidInputError: it names everything that is wrong: seats that do not fit the type, a
            player or an NPC that does not exist, an NPC whom the player may not challenge yet,
            every problem of both decks.
    """
    unknown = await _unknown_players(session, new)
    problems = [*_wrong_seats(new), *unknown]
    if new.npc_id is not None and not unknown:
        problems += await _out_of_reach(session, new.player1_id, new.npc_id)
    for name, player, deck in (
        ("player 1's deck", new.player1_id, new.deck1),
        ("player 2's deck", new.player2_id, new.deck2),
    ):
        if player and deck:
            owned = await get_owned(session, player)
            found = find_problems(deck, owned=owned, cards=cards)
            problems += [f"{name}: {problem}" for problem in found]
    if problems:
        raise InvalidInputError("; ".join(problems))


def get_second_deck(new: NewGame, cards: CardService) -> DeckList:
    """Give the deck of the second seat: an NPC plays the starter of its element, of the first set.

    Raises:
        InvalidInputError: there is none.
    """
    if new.npc_id is not None and (found := find_npc(new.npc_id)):
        _, npc = found
        return choose_starter(npc.element, cards.get_cards_by_set(cards.sets[0].code))
    if new.deck2 is None:
        raise InvalidInputError("there is no second deck")
    return new.deck2


def spread(deck: DeckList) -> list[str]:
    """Give a deck card by card, in an order that does not depend on that of the mapping."""
    energy = {f"{ENERGY}{element}": count for element, count in deck.energy_cards.items()}
    counts = sorted({**deck.cards, **energy}.items())
    return [card for card, count in counts for _ in range(count)]


def _wrong_seats(new: NewGame) -> Iterator[str]:
    if new.game_type not in set(GameType):
        yield f"{show(new.game_type)} is no type of game; there are {', '.join(GameType)}"
    if new.player2_id and new.npc_id is not None:
        yield "a game is against a player or an NPC, and both are given"
    elif new.player2_id is None and new.npc_id is None:
        yield "a game is against a player or an NPC, and none is given"
    elif (new.game_type == GameType.CAMPAIGN) is not (new.npc_id is not None):
        yield "a campaign game, and no other, is against an NPC"
    if new.player1_id == new.player2_id:
        yield f"player {new.player1_id} cannot play in both seats"
    if (new.deck2 is None) is not (new.player2_id is None):
        yield "a second deck is given with a second player, and only then"


async def _unknown_players(session: AsyncSession, new: NewGame) -> list[str]:
    wanted = [each for each in (new.player1_id, new.player2_id) if each]
    # Nobody can be deleted until the game is stored.
    known = await session.scalars(
        select(User.id).where(User.id.in_(wanted)).with_for_update(read=True, key_share=True)
    )
    missing = set(wanted).difference(known)
    return [f"there is no player {each}" for each in dict.fromkeys(wanted) if each in missing]


async def _out_of_reach(session: AsyncSession, player_id: uuid.UUID, npc_id: str) -> list[str]:
    try:
        await find_opponent(session, player_id, npc_id)
    except (NotFoundError, NotReachedError) as error:
        return [str(error)]
    return []
