"""The tool servers that a user has set up."""

import uuid
from typing import Any

from sqlalchemy import ForeignKey, String, UniqueConstraint, text, true
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from faceplate.models.base import BaseModel, TimestampMixin
from faceplate.models.user import User
from faceplate.values import checked_object
from holdfast.models import typed_json


class MCPConfig(TimestampMixin, BaseModel):
    """How to reach one MCP server: a JSON object, such as a command with its environment or a URL.

    `config` may be changed in place, at any depth. It may hold tokens: take care where it is shown.
    """

    __tablename__ = "mcp_configs"
    __table_args__ = (UniqueConstraint("user_id", "name"),)

    user_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), index=True
    )
    name: Mapped[str] = mapped_column(String(100))
    config: Mapped[dict[str, Any]] = mapped_column(
        typed_json(dict[str, Any]), default=dict, server_default=text("'{}'")
    )
    enabled: Mapped[bool] = mapped_column(default=True, server_default=true())

    user: Mapped[User] = relationship(back_populates="mcp_configs", lazy="raise_on_sql")

    @validates("config")
    def _valid_config(self, _key: str, value: dict[str, Any]) -> dict[str, Any]:
        return checked_object("config", value)
