"""The decks that a player built."""

import uuid

from sqlalchemy import ForeignKey, String, false, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from holdfast.models import typed_json
from mantimon.db.base import Base
from mantimon.db.models.user import User


class Deck(Base):
    """A list of cards to play with; one that breaks a rule is kept, with what is wrong.

    `cards` and `energy_cards` map a card's id, or an element, to a count. All three documents may
    be changed in place.
    """

    __tablename__ = "decks"

    user_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), index=True
    )
    name: Mapped[str] = mapped_column(String(100))
    cards: Mapped[dict[str, int]] = mapped_column(
        typed_json(dict[str, int]), default=dict, server_default=text("'{}'")
    )
    energy_cards: Mapped[dict[str, int]] = mapped_column(
        typed_json(dict[str, int]), default=dict, server_default=text("'{}'")
    )
    is_valid: Mapped[bool] = mapped_column(default=False, server_default=false())
    validation_errors: Mapped[list[str] | None] = mapped_column(typed_json(list[str]))
    is_starter: Mapped[bool] = mapped_column(default=False, server_default=false())
    starter_type: Mapped[str | None] = mapped_column(String(32))

    user: Mapped[User] = relationship(back_populates="decks", lazy="raise_on_sql")
