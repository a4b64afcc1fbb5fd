"""Games that are being played, and games that were."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, declared_attr, mapped_column, relationship, validates

from holdfast.models import ValueEnum, clock_timestamp, json_type
from holdfast.state import state_version
from mantimon.db.base import Base, Choice
from mantimon.db.models.user import User


class GameType(Choice):
    """What a game counts for."""

    CAMPAIGN = "campaign"
    FREEPLAY = "freeplay"
    RANKED = "ranked"


class EndReason(Choice):
    """Why a game was over."""

    PRIZES_TAKEN = "prizes_taken"
    DECK_OUT = "deck_out"
    NO_ACTIVE = "no_active"
    CONCESSION = "concession"
    TIMEOUT = "timeout"
    DRAW = "draw"


class ActiveGame(Base):
    """A game that is being played, as it was when last written here; Redis may be ahead.

    The application inserts the row, and `mantimon.services.game_state_manager` writes and deletes
    it: `game_state` and `version` are the state store's, and the times and the turn go with them.

    A game goes when one of its players is deleted: nobody can play on against nobody, and the
    account must not have to wait. What Redis still holds of it finds no row to be written to.
    """

    __tablename__ = "active_games"
    __table_args__ = (CheckConstraint("turn_number >= 0", name="turn_number_not_negative"),)

    game_type: Mapped[GameType] = mapped_column(ValueEnum(GameType))
    player1_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), index=True
    )
    player2_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), index=True
    )
    npc_id: Mapped[str | None] = mapped_column(String(64))
    rules_config: Mapped[dict[str, Any]] = mapped_column(
        json_type(), default=dict, server_default=text("'{}'")
    )
    game_state: Mapped[dict[str, Any]] = mapped_column(
        json_type(), default=dict, server_default=text("'{}'")
    )
    turn_number: Mapped[int] = mapped_column(default=0, server_default="0")
    started_at: Mapped[datetime] = mapped_column(server_default=clock_timestamp())
    last_action_at: Mapped[datetime] = mapped_column(server_default=clock_timestamp())
    turn_deadline: Mapped[datetime | None]
    version: Mapped[int] = state_version()

    player1: Mapped[User] = relationship(foreign_keys=player1_id, lazy="raise_on_sql")
    player2: Mapped[User | None] = relationship(foreign_keys=player2_id, lazy="raise_on_sql")

    @validates("game_type")
    def _known_type(self, _key: str, value: GameType | str) -> GameType:
        return GameType(value)


class GameHistory(Base):
    """A game that was played. It stays when a player is deleted, without that player's name.

    `winner_id` is empty for a draw, and for a win against or by somebody who is no player
    (`npc_id`) or no longer one; `end_reason` tells a draw from the rest.

    The table has a partition for each month of `played_at`, in UTC; `mantimon.db.partitions`
    makes them. So the key that PostgreSQL keeps has `played_at` as well; for the rest of the
    program it is the id, which is as unique as any UUIDv7.
    """

    __tablename__ = "game_history"
    __table_args__ = (
        CheckConstraint("turn_count >= 0", name="turn_count_not_negative"),
        CheckConstraint("duration_seconds >= 0", name="duration_seconds_not_negative"),
        # A player's games, newest first: one index for each seat, read backwards.
        Index(None, "player1_id", "played_at", "id"),
        Index(None, "player2_id", "played_at", "id"),
        # Wins over a period, from the index alone.
        Index(
            "ix_game_history_wins",
            "played_at",
            "winner_id",
            postgresql_where=text("winner_id IS NOT NULL"),
        ),
        # Without it, deleting a player would read the whole table.
        Index(None, "winner_id"),
        {"postgresql_partition_by": "RANGE (played_at)"},
    )

    @declared_attr.directive
    @classmethod
    def __mapper_args__(cls) -> dict[str, Any]:
        return {"eager_defaults": True, "primary_key": ["id"]}

    game_type: Mapped[GameType] = mapped_column(ValueEnum(GameType))
    player1_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("users.id", ondelete="SET NULL")
    )
    player2_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("users.id", ondelete="SET NULL")
    )
    npc_id: Mapped[str | None] = mapped_column(String(64))
    winner_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    end_reason: Mapped[EndReason] = mapped_column(ValueEnum(EndReason))
    turn_count: Mapped[int] = mapped_column(default=0, server_default="0")
    duration_seconds: Mapped[int] = mapped_column(default=0, server_default="0")
    replay_data: Mapped[dict[str, Any] | None] = mapped_column(json_type())
    played_at: Mapped[datetime] = mapped_column(primary_key=True, server_default=clock_timestamp())

    player1: Mapped[User | None] = relationship(foreign_keys=player1_id, lazy="raise_on_sql")
    player2: Mapped[User | None] = relationship(foreign_keys=player2_id, lazy="raise_on_sql")
    winner: Mapped[User | None] = relationship(foreign_keys=winner_id, lazy="raise_on_sql")

    @validates("game_type")
    def _known_type(self, _key: str, value: GameType | str) -> GameType:
        return GameType(value)

    @validates("end_reason")
    def _known_reason(self, _key: str, value: EndReason | str) -> EndReason:
        return EndReason(value)
