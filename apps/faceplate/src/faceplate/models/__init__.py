"""All models; importing this fills `Base.metadata`."""

from faceplate.models.base import Base, BaseModel, TimestampMixin, UUIDMixin
from faceplate.models.conversation import Conversation
from faceplate.models.mcp_config import MCPConfig
from faceplate.models.message import Message, Role
from faceplate.models.user import User

__all__ = [
    "Base",
    "BaseModel",
    "Conversation",
    "MCPConfig",
    "Message",
    "Role",
    "TimestampMixin",
    "UUIDMixin",
    "User",
]
