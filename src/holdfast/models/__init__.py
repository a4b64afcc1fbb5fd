"""A declarative base and column types that mean the same on PostgreSQL and SQLite.

    class Deck(UUIDKey, Timestamps, Base):
        __tablename__ = "decks"

        name: Mapped[str]
        cards: Mapped[dict[str, int]] = mapped_column(typed_json(dict[str, int]))
        status: Mapped[DeckStatus] = mapped_column(ValueEnum(DeckStatus))

The mixins and types also work on a declarative base of one's own.
"""

import holdfast.models.watching  # noqa: F401  -- listens for classes that are mapped
from holdfast.models.base import NAMING_CONVENTION, Base
from holdfast.models.blanks import BLANKS, NotBlank, is_blank
from holdfast.models.documents import TypedJSON, json_type, typed_json
from holdfast.models.enums import ENUM_LENGTH, ValueEnum
from holdfast.models.keys import UUIDKey, uuid7
from holdfast.models.times import Timestamps, UTCDateTime, clock_timestamp
from holdfast.models.versions import Versioned

__all__ = [
    "BLANKS",
    "ENUM_LENGTH",
    "NAMING_CONVENTION",
    "Base",
    "NotBlank",
    "Timestamps",
    "TypedJSON",
    "UTCDateTime",
    "UUIDKey",
    "ValueEnum",
    "Versioned",
    "clock_timestamp",
    "is_blank",
    "json_type",
    "typed_json",
    "uuid7",
]
