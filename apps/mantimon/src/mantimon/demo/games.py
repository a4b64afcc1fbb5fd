"""Games by processes that are killed, who has won the most of them, and a search for cards."""

import time
import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis
from sqlalchemy import delete, select

from holdfast.database import Database
from mantimon.cards.definition import CardDefinition
from mantimon.db.models import ActiveGame, GameHistory, User
from mantimon.demo.stack import Urls
from mantimon.services.card_service import CardFilters, CardService
from mantimon.services.game_state_manager import make_store
from mantimon.services.history import get_leaderboard
from mantimon.simulation import (
    Progress,
    SimulationPlan,
    SimulationReport,
    get_ids,
    oauth_prefix,
    simulate,
)

GAMES, PLAYERS, WORKERS = 30, 20, 3
BEST = 3
WANTED = CardFilters(element="tide", type="creature", stage="basic", hp_min=60, order="name")
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Games:
    """What was played and found.

    Attributes:
        report: of the simulation.
        board: names and wins, the best first.
        found: the cards that `WANTED` asks for.
        search_seconds: how long the search took.
        checks: whether each holds.
    """

    report: SimulationReport
    board: list[tuple[str, int]]
    found: list[CardDefinition]
    search_seconds: float
    checks: dict[str, bool]


def make_seed() -> int:
    """Give a seed that is nobody else's: on a given server everything of it is removed again."""
    return uuid.uuid4().int >> 65


async def play_games(
    urls: Urls, db: Database, cards: CardService, seed: int, progress: Progress
) -> Games:
    """Let the players of a seed play, and compare what the database says of it.

    Args:
        urls: of the servers, for the processes.
        db: the database of these.
        cards: to search in.
        seed: who plays, and how.
        progress: told how far it has come.
    """
    began = datetime.now(UTC)
    plan = SimulationPlan(games=GAMES, seed=seed, players=PLAYERS, workers=WORKERS, kill=True)
    report = await simulate(urls.app, urls.redis, plan, progress)
    async with db.read() as session:
        board = await get_leaderboard(session, began - _DAY, datetime.now(UTC) + _DAY, limit=10_000)
        won = select(GameHistory.winner_id).where(
            GameHistory.id.between(*get_ids(report.run)), GameHistory.winner_id.is_not(None)
        )
        wins = Counter(await session.scalars(won))
    start = time.perf_counter()
    found = cards.search_cards(WANTED)
    seconds = time.perf_counter() - start
    mine = [(name, count) for player, name, count in board if player in wins]
    return Games(
        report=report,
        board=mine[:BEST],
        found=found,
        search_seconds=seconds,
        checks={
            f"{GAMES} games by {WORKERS} processes, of which one is killed each second: none is "
            "missing, double, set back, or has a wrong winner": (
                not report.problems and report.played == GAMES
            ),
            f"the leaderboard counts the {wins.total()} games that a player has won": (
                {player: count for player, _, count in board if player in wins} == wins
            ),
        },
    )


async def remove_games(db: Database, redis: Redis, seed: int) -> None:
    """Remove the players of a seed and all their games, also from Redis."""
    mine = User.oauth_id.startswith(oauth_prefix(seed))
    players = select(User.id).where(mine)
    async with db.read() as session:
        left = list(
            await session.scalars(select(ActiveGame.id).where(ActiveGame.player1_id.in_(players)))
        )
    async with make_store(db, redis) as store:
        for game_id in left:
            await store.delete(game_id)
    async with db.begin() as session:
        await session.execute(delete(GameHistory).where(GameHistory.player1_id.in_(players)))
        await session.execute(delete(User).where(mine))
