"""Who has won how often in a month: what a leaderboard of months reads."""

from typing import Final

from sqlalchemy import Column, Date, ForeignKey, Index, Integer, Table, Uuid, text

from mantimon.db.base import Base

standings: Final = Table(
    "standings",
    Base.metadata,
    Column("month", Date, primary_key=True),
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("wins", Integer, nullable=False),
    # The best of a month, in order.
    Index("ix_standings_best", "month", text("wins DESC"), "user_id"),
    # Without it, deleting a player would read the whole table.
    Index("ix_standings_user_id", "user_id"),
)
"""One row for a player and a month, in UTC: kept by the database itself as games are stored.

A month of a busy game has hundreds of thousands of games, and counting them takes as long as
reading them. The database counts, by triggers of `game_history`, so that no statement on that table
forgets it; what is written to one of its partitions by name is not counted.
"""
