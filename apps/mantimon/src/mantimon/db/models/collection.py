"""The cards that a player owns."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from holdfast.models import ValueEnum, clock_timestamp
from mantimon.db.base import Base, Choice
from mantimon.db.models.user import User


class CardSource(Choice):
    """How a player came by a card."""

    STARTER = "starter"
    BOOSTER = "booster"
    REWARD = "reward"
    PURCHASE = "purchase"


class Collection(Base):
    """How many copies of one card a player owns: at least one, or there is no row.

    `source` and `obtained_at` are those of the first copy. Copies are added by
    `mantimon.services.collections.add_copies`, since reading a quantity and writing it back
    loses cards when two boosters are opened at once.
    """

    __tablename__ = "collections"
    __table_args__ = (
        UniqueConstraint("user_id", "card_definition_id"),
        CheckConstraint("quantity >= 1", name="quantity_positive"),
    )

    user_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), index=True
    )
    card_definition_id: Mapped[str] = mapped_column(String(64))
    quantity: Mapped[int] = mapped_column(default=1, server_default="1")
    source: Mapped[CardSource] = mapped_column(ValueEnum(CardSource))
    obtained_at: Mapped[datetime] = mapped_column(server_default=clock_timestamp())

    user: Mapped[User] = relationship(back_populates="collections", lazy="raise_on_sql")

    @validates("source")
    def _known_source(self, _key: str, value: CardSource | str) -> CardSource:
        return CardSource(value)
