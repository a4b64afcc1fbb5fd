"""Compare what the database has of a run with what the rules of the game alone say."""

import asyncio
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from mantimon.db.models import ActiveGame, EndReason, GameHistory, GameType
from mantimon.games.dealing import deal
from mantimon.services.card_service import CardService
from mantimon.services.games import get_result
from mantimon.services.pairings import get_second_deck, spread
from mantimon.simulation.course import go_on
from mantimon.simulation.messages import SimulatedPlayer
from mantimon.simulation.plan import SimulationPlan, get_ids, make_rng, pair


@dataclass(frozen=True, slots=True, kw_only=True)
class GameFacts:
    """What has to be right about a game that was played; named as the columns of the history."""

    game_type: GameType
    player1_id: uuid.UUID | None
    player2_id: uuid.UUID | None
    npc_id: str | None
    winner_id: uuid.UUID | None
    end_reason: EndReason
    turn_count: int


_FACTS = tuple(field.name for field in fields(GameFacts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What the database has of a run: games that were played, and the turn of those that go on."""

    played: Sequence[tuple[uuid.UUID, GameFacts]]
    active: Mapping[uuid.UUID, int]


async def predict(
    run: uuid.UUID, plan: SimulationPlan, players: Sequence[SimulatedPlayer], cards: CardService
) -> dict[uuid.UUID, GameFacts]:
    """Play every game of a run without any database, others having their turn after each."""
    expected = {}
    catalogue = {card.id: card for card in cards}
    for number in range(plan.games):
        new = pair(run, plan.seed, number, players)
        decks = spread(new.deck1), spread(get_second_deck(new, cards))
        state = deal(*decks, new.rules, catalogue, make_rng(plan.seed, number, "deal"))
        while not state.outcome:
            state = go_on(state, catalogue, plan.seed, number)
        result = get_result(state, new.player1_id, new.player2_id)
        expected[new.id] = GameFacts(
            game_type=new.game_type,
            player1_id=new.player1_id,
            player2_id=new.player2_id,
            npc_id=new.npc_id,
            winner_id=result.winner_id,
            end_reason=result.end_reason,
            turn_count=result.turn_count,
        )
        await asyncio.sleep(0)
    return expected


async def read_games(session: AsyncSession, run: uuid.UUID) -> Stored:
    """Read every game with an id of a run, be it one of the plan or not."""
    ids = get_ids(run)
    columns = [getattr(GameHistory, name) for name in _FACTS]
    played = await session.execute(
        select(GameHistory.id, *columns).where(GameHistory.id.between(*ids))
    )
    active = await session.execute(
        select(ActiveGame.id, ActiveGame.turn_number).where(ActiveGame.id.between(*ids))
    )
    return Stored(
        played=[(row[0], GameFacts(**dict(zip(_FACTS, row[1:], strict=True)))) for row in played],
        active={row[0]: row[1] for row in active},
    )


def find_problems(expected: Mapping[uuid.UUID, GameFacts], stored: Stored) -> list[str]:
    """Name every game that is missing, double, wrong, nobody's or not at its end."""
    found: dict[uuid.UUID, GameFacts] = {}
    problems = []
    for game_id, facts in stored.played:
        if game_id in found:
            problems.append(f"game {game_id}: it is in the history more than once")
        found[game_id] = facts
    for number, (game_id, facts) in enumerate(expected.items()):
        problems += [
            f"game {number} ({game_id}): {problem}"
            for problem in _compare(facts, found.get(game_id), stored.active.get(game_id))
        ]
    strange = sorted({*found, *stored.active}.difference(expected))
    return [*problems, *(f"game {game_id}: nobody was to play it" for game_id in strange)]


def _compare(expected: GameFacts, found: GameFacts | None, turn: int | None) -> Iterator[str]:
    if found is None:
        where = "it never began" if turn is None else f"it stopped in turn {turn}"
        yield f"missing; {where}"
        return
    if turn is not None:
        yield f"it is in the history, and still active in turn {turn}"
    for name in _FACTS:
        is_, should_be = getattr(found, name), getattr(expected, name)
        if is_ != should_be:
            yield f"{name} is {is_}, and should be {should_be}"
