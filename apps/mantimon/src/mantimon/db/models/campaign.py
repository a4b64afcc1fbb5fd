"""How far a player has come in the campaign."""

import uuid

from sqlalchemy import CheckConstraint, ForeignKey, String, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from holdfast.models import typed_json
from mantimon.db.base import Base
from mantimon.db.models.user import User

FIRST_CLUB = "club_1"
COUNTERS = ("total_wins", "total_losses", "booster_packs", "mantibucks")


class CampaignProgress(Base):
    """One player's campaign: the club that comes next, medals won, and the purse.

    `medals` and `defeated_npcs` may be changed in place. No counter is ever below zero: the
    database refuses it, so that nobody spends what two requests both saw.
    """

    __tablename__ = "campaign_progress"
    __table_args__ = tuple(
        CheckConstraint(f"{counter} >= 0", name=f"{counter}_not_negative") for counter in COUNTERS
    )

    user_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), unique=True
    )
    current_club: Mapped[str] = mapped_column(
        String(64), default=FIRST_CLUB, server_default=FIRST_CLUB
    )
    medals: Mapped[list[str]] = mapped_column(
        typed_json(list[str]), default=list, server_default=text("'[]'")
    )
    defeated_npcs: Mapped[list[str]] = mapped_column(
        typed_json(list[str]), default=list, server_default=text("'[]'")
    )
    total_wins: Mapped[int] = mapped_column(default=0, server_default="0")
    total_losses: Mapped[int] = mapped_column(default=0, server_default="0")
    booster_packs: Mapped[int] = mapped_column(default=0, server_default="0")
    mantibucks: Mapped[int] = mapped_column(default=0, server_default="0")

    user: Mapped[User] = relationship(back_populates="campaign", lazy="raise_on_sql")
