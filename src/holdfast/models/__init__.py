"""A declarative base and column types that mean the same on PostgreSQL and SQLite.

    class Deck(UUIDKey, Timestamps, Base):
        __tablename__ = "decks"

        name: Mapped[str]
        cards: Mapped[dict[str, int]] = mapped_column(json_type())
        status: Mapped[DeckStatus] = mapped_column(ValueEnum(DeckStatus))

The mixins and types also work on a declarative base of one's own.
"""

from holdfast.models.base import NAMING_CONVENTION, Base
from holdfast.models.documents import json_type
from holdfast.models.enums import ENUM_LENGTH, ValueEnum
from holdfast.models.keys import UUIDKey, uuid7
from holdfast.models.times import Timestamps, UTCDateTime, clock_timestamp
from holdfast.models.versions import Versioned

__all__ = [
    "ENUM_LENGTH",
    "NAMING_CONVENTION",
    "Base",
    "Timestamps",
    "UTCDateTime",
    "UUIDKey",
    "ValueEnum",
    "Versioned",
    "clock_timestamp",
    "json_type",
    "uuid7",
]
