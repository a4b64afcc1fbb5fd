"""Read the games that were played."""

import uuid
from datetime import datetime

from sqlalchemy import ColumnElement, Select, Uuid, func, select, type_coerce, union_all
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from mantimon.db.models import GameHistory
from mantimon.services.inputs import require_limit


async def get_recent_games(
    session: AsyncSession, player_id: uuid.UUID, *, limit: int = 20
) -> list[GameHistory]:
    """Give a player's newest games, newest first; the cost does not grow with the table.

    Raises:
        InvalidInputError: the limit is not between 1 and 10,000.
    """
    require_limit(limit)
    return list(await session.scalars(select_recent_games(player_id, limit)))


async def get_leaderboard(
    session: AsyncSession, since: datetime, until: datetime, *, limit: int = 100
) -> list[tuple[uuid.UUID, int]]:
    """Give who won most games from `since` up to, not at, `until`: player ids and wins.

    Raises:
        InvalidInputError: the limit is not between 1 and 10,000.
    """
    require_limit(limit)
    rows = await session.execute(select_leaderboard(since, until, limit))
    return [(row[0], row[1]) for row in rows]


def select_recent_games(player_id: uuid.UUID, limit: int) -> Select[GameHistory]:
    """Build the query of `get_recent_games`.

    One ordered read for each seat: with OR, all games of the player would be fetched and sorted.
    """
    seat1 = _newest(GameHistory.player1_id == player_id, limit)
    seat2 = _newest(
        GameHistory.player2_id == player_id,
        limit,
        GameHistory.player1_id.is_distinct_from(player_id),
    )
    both = aliased(GameHistory, union_all(seat1, seat2).subquery())
    return select(both).order_by(both.played_at.desc(), both.id.desc()).limit(limit)


def select_leaderboard(since: datetime, until: datetime, limit: int) -> "Select[uuid.UUID, int]":
    """Build the query of `get_leaderboard`."""
    wins = func.count().label("wins")
    # The column is nullable, its rows here are not.
    winner: ColumnElement[uuid.UUID] = type_coerce(GameHistory.winner_id, Uuid())
    return (
        select(winner, wins)
        .where(
            GameHistory.played_at >= since,
            GameHistory.played_at < until,
            GameHistory.winner_id.is_not(None),
        )
        .group_by(GameHistory.winner_id)
        .order_by(wins.desc(), GameHistory.winner_id)
        .limit(limit)
    )


def _newest(
    seat: ColumnElement[bool], limit: int, *more: ColumnElement[bool]
) -> Select[GameHistory]:
    newest = (GameHistory.played_at.desc(), GameHistory.id.desc())
    return select(GameHistory).where(seat, *more).order_by(*newest).limit(limit)
