"""What a user and a model say to each other."""

import uuid
from typing import TYPE_CHECKING

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from faceplate.models.base import BaseModel, TimestampMixin
from faceplate.models.user import User

if TYPE_CHECKING:
    from faceplate.models.message import Message

NEW_CHAT = "New Chat"


class Conversation(TimestampMixin, BaseModel):
    """A titled list of messages; `updated_at` moves with each message that is written.

    The database moves it, whoever writes. An object that is loaded does not see that until it is
    refreshed.
    """

    __tablename__ = "conversations"

    user_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), index=True
    )
    title: Mapped[str] = mapped_column(String(255), default=NEW_CHAT, server_default=NEW_CHAT)

    user: Mapped[User] = relationship(back_populates="conversations", lazy="raise_on_sql")
    messages: Mapped[list["Message"]] = relationship(
        back_populates="conversation",
        cascade="all, delete-orphan",
        passive_deletes=True,
        lazy="raise_on_sql",
        order_by="(Message.created_at, Message.id)",
    )
