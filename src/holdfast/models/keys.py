"""Version 7 UUIDs, which rise with time."""

import sys
import uuid

from sqlalchemy.orm import Mapped, mapped_column

if sys.version_info >= (3, 14):
    from uuid import uuid7
else:
    # Only `compat` gives real `uuid.UUID` objects, which drivers and pydantic ask for.
    from uuid_utils.compat import uuid7

__all__ = ["UUIDKey", "uuid7"]


class UUIDKey:
    """A primary key `id`: UUID version 7, made in Python, rising with time."""

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid7, sort_order=-2)
