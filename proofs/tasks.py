"""The same table on each stack: a key, a document, a state and an instant."""

import enum
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

from advanced_alchemy.base import CommonTableAttributes, create_registry
from advanced_alchemy.mixins import UUIDv7PrimaryKey
from sqlalchemy import JSON, DateTime, Enum
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from holdfast.models import UTCDateTime, UUIDKey, ValueEnum, typed_json

Model = type[Any]
Models = Callable[[type[enum.Enum]], Model]  # of a release that knows these states
Notes = dict[str, Any]


def plain(states: type[enum.Enum]) -> Model:
    """Give SQLAlchemy's, as most write it."""

    class Base(DeclarativeBase):
        """The tables of one release."""

    class Task(Base):
        """A task."""

        __tablename__ = "tasks"
        id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
        notes: Mapped[Notes] = mapped_column(JSON)
        state: Mapped[enum.Enum] = mapped_column(Enum(states, name="state"))
        due: Mapped[datetime] = mapped_column(DateTime(timezone=True))

    return Task


def careful(states: type[enum.Enum]) -> Model:
    """Give SQLAlchemy's, with what its pages on JSON and enums have for those who read on."""

    class Base(DeclarativeBase):
        """The tables of one release."""

    class Task(Base):
        """A task."""

        __tablename__ = "tasks"
        id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
        notes: Mapped[Notes] = mapped_column(MutableDict.as_mutable(JSON()))
        state: Mapped[enum.Enum] = mapped_column(
            Enum(
                states,
                name="state",
                values_callable=lambda kind: [each.value for each in kind],
                native_enum=False,
                length=32,
                validate_strings=True,
            )
        )
        due: Mapped[datetime] = mapped_column(DateTime(timezone=True))

    return Task


def advanced_alchemy(states: type[enum.Enum]) -> Model:
    """Give advanced-alchemy's; a column of its `JsonB` raises with SQLAlchemy 2.1."""

    class Base(DeclarativeBase):
        """The tables of one release, with advanced-alchemy's types for annotations."""

        registry = create_registry()

    class Task(UUIDv7PrimaryKey, CommonTableAttributes, Base):
        """A task."""

        __tablename__ = "tasks"
        notes: Mapped[Notes] = mapped_column(JSON)
        state: Mapped[enum.Enum] = mapped_column(Enum(states, name="state"))
        due: Mapped[datetime]

    return Task


def holdfast(states: type[enum.Enum]) -> Model:
    """Give Holdfast's."""

    class Base(DeclarativeBase):
        """The tables of one release."""

    class Task(UUIDKey, Base):
        """A task."""

        __tablename__ = "tasks"
        notes: Mapped[Notes] = mapped_column(typed_json(Notes))
        state: Mapped[enum.Enum] = mapped_column(ValueEnum(states))
        due: Mapped[datetime] = mapped_column(UTCDateTime())

    return Task
