"""One message of a conversation, with the tool calls it makes or the results it brings."""

import uuid
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from faceplate.models.base import BaseModel
from faceplate.models.conversation import Conversation
from faceplate.models.json_lists import ToolCalls, ToolResults
from faceplate.tools import plain_calls, plain_results


class Role(StrEnum):
    """Who speaks."""

    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"
    TOOL = "tool"


_ROLES = ", ".join(f"'{role}'" for role in Role)


class Message(BaseModel):
    """What one of them says; the order of a conversation is `created_at`, then `id`.

    The database gives `created_at` while it holds the row of the conversation, so that two
    messages of one conversation never have the same time, and the one that is written later has
    the later one. A time that is given, as in an import, is kept.

    `tool_calls` and `tool_results` are checked when they are assigned, and once more when a
    statement is sent. They are plain lists and dicts; replace them, a change inside is not seen.
    """

    __tablename__ = "messages"
    __table_args__ = (
        CheckConstraint(f"role IN ({_ROLES})", name="role"),
        # A conversation's messages in their order, from either end.
        Index(None, "conversation_id", "created_at", "id"),
        # For periods of time. A B-tree would offer the order of all messages, and for a large
        # conversation the planner would take that and pass over everybody else's newer ones.
        Index(
            None,
            "created_at",
            postgresql_using="brin",
            postgresql_with={"autosummarize": True},
        ),
    )

    conversation_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("conversations.id", ondelete="CASCADE"), index=True
    )
    role: Mapped[str] = mapped_column(String(20))
    content: Mapped[str | None] = mapped_column(Text)
    tool_calls: Mapped[list[dict[str, Any]] | None] = mapped_column(ToolCalls())
    tool_results: Mapped[list[dict[str, Any]] | None] = mapped_column(ToolResults())
    conversation: Mapped[Conversation] = relationship(
        back_populates="messages", lazy="raise_on_sql"
    )

    @validates("tool_calls")
    def _valid_calls(self, _key: str, value: object) -> list[dict[str, Any]] | None:
        return plain_calls(value)

    @validates("tool_results")
    def _valid_results(self, _key: str, value: object) -> list[dict[str, Any]] | None:
        return plain_results(value)
