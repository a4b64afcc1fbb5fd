"""Somebody who talks."""

from typing import TYPE_CHECKING

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from faceplate.emails import checked_email
from faceplate.models.base import BaseModel

if TYPE_CHECKING:
    from faceplate.models.conversation import Conversation
    from faceplate.models.mcp_config import MCPConfig


class User(BaseModel):
    """Somebody who is known by the subject that the identity provider gives, and by e-mail.

    Everything of a user goes with the user, deleted by the database; nothing is loaded for it.
    Relationships are loaded when asked for (`selectinload`, or
    `session.refresh(user, ["conversations"])`), never behind an attribute.
    """

    __tablename__ = "users"

    email: Mapped[str] = mapped_column(String(255), unique=True, index=True)
    subject_id: Mapped[str] = mapped_column(String(255), unique=True, index=True)

    conversations: Mapped[list["Conversation"]] = relationship(
        back_populates="user",
        cascade="all, delete-orphan",
        passive_deletes=True,
        lazy="raise_on_sql",
    )
    mcp_configs: Mapped[list["MCPConfig"]] = relationship(
        back_populates="user",
        cascade="all, delete-orphan",
        passive_deletes=True,
        lazy="raise_on_sql",
    )

    @validates("email")
    def _valid_email(self, _key: str, value: str) -> str:
        return checked_email(value)
