"""A player's account."""

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import String, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from holdfast.models import ValueEnum
from mantimon.db.base import Base, Choice

if TYPE_CHECKING:
    from mantimon.db.models.campaign import CampaignProgress
    from mantimon.db.models.collection import Collection
    from mantimon.db.models.deck import Deck


class OAuthProvider(Choice):
    """Who vouches for a player's identity."""

    GOOGLE = "google"
    DISCORD = "discord"


class User(Base):
    """A player, known by the identity that an OAuth provider gives.

    What a player owns goes with the player, deleted by the database; games that were played
    stay (see `GameHistory`). Nothing is loaded for it. Relationships are loaded when asked for
    (`selectinload`, or `session.refresh(user, ["decks"])`), never behind an attribute.
    """

    __tablename__ = "users"
    # The constraint's own index serves the look-up at log-in.
    __table_args__ = (UniqueConstraint("oauth_provider", "oauth_id"),)

    email: Mapped[str] = mapped_column(String(320), unique=True)
    display_name: Mapped[str] = mapped_column(String(64))
    avatar_url: Mapped[str | None] = mapped_column(String(2048))
    oauth_provider: Mapped[OAuthProvider] = mapped_column(ValueEnum(OAuthProvider))
    oauth_id: Mapped[str] = mapped_column(String(255))
    is_premium: Mapped[bool] = mapped_column(default=False, server_default=false())
    premium_until: Mapped[datetime | None]
    last_login: Mapped[datetime | None]

    collections: Mapped[list["Collection"]] = relationship(
        back_populates="user",
        cascade="all, delete-orphan",
        passive_deletes=True,
        lazy="raise_on_sql",
    )
    decks: Mapped[list["Deck"]] = relationship(
        back_populates="user",
        cascade="all, delete-orphan",
        passive_deletes=True,
        lazy="raise_on_sql",
    )
    campaign: Mapped["CampaignProgress | None"] = relationship(
        back_populates="user",
        cascade="all, delete-orphan",
        passive_deletes=True,
        lazy="raise_on_sql",
    )

    @validates("oauth_provider")
    def _known_provider(self, _key: str, value: OAuthProvider | str) -> OAuthProvider:
        return OAuthProvider(value)
