"""The models of a shop that is copied, with what is difficult about copying."""

import enum
import uuid
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Computed,
    Connection,
    Date,
    DateTime,
    Double,
    Enum,
    ForeignKey,
    Identity,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Time,
)
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from holdfast.models import Base as HoldfastBase
from holdfast.models import Timestamps, UUIDKey, ValueEnum, json_type


class Kind(enum.Enum):
    """Stored by value."""

    BOOK = "book"
    GAME = "game"


class Mood(enum.Enum):
    """A type of the database's own, where it has such; stored by name."""

    GOOD = "good"
    BAD = "bad"


class Guid(TypeDecorator[uuid.UUID]):
    """A type of two forms, as many projects have one: 36 characters where there is no UUID."""

    impl = String(36)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """Choose by engine."""
        return dialect.type_descriptor(UUID() if dialect.name == "postgresql" else String(36))

    def process_bind_param(self, value: uuid.UUID | None, dialect: Dialect) -> Any:
        """Give what the engine stores."""
        if value is None or dialect.name == "postgresql":
            return value
        return str(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> uuid.UUID | None:
        """Give a UUID."""
        return value if value is None or isinstance(value, uuid.UUID) else uuid.UUID(value)


class Base(HoldfastBase):
    """The shop's own tables."""

    __abstract__ = True
    metadata = MetaData(naming_convention=HoldfastBase.metadata.naming_convention)


class Zone(UUIDKey, Base):
    """Refers to the table that is the last by name, and to itself."""

    __tablename__ = "areas"

    within: Mapped[uuid.UUID] = mapped_column(ForeignKey("areas.id"))
    manager: Mapped[str | None] = mapped_column(ForeignKey("workers.name"))


class Worker(Base):
    """Refers back."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(String(20), primary_key=True)
    zone: Mapped[uuid.UUID] = mapped_column(ForeignKey("areas.id"))


class Everything(Timestamps, Base):
    """A column of each type."""

    __tablename__ = "everything"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    kind: Mapped[Kind | None] = mapped_column(ValueEnum(Kind))
    mood: Mapped[Mood | None] = mapped_column(Enum(Mood))
    data: Mapped[Any | None] = mapped_column(json_type())
    plain: Mapped[Any | None] = mapped_column(JSON())
    flag: Mapped[bool | None]
    share: Mapped[float | None] = mapped_column(Double())
    price: Mapped[Decimal | None] = mapped_column(Numeric(12, 2))
    held: Mapped[bytes | None] = mapped_column(LargeBinary())
    local: Mapped[datetime | None] = mapped_column(DateTime())
    zoned: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    day: Mapped[date | None] = mapped_column(Date())
    hour: Mapped[time | None] = mapped_column(Time())
    span: Mapped[timedelta | None] = mapped_column(Interval())
    guid: Mapped[uuid.UUID | None] = mapped_column(Guid())
    order: Mapped[str | None] = mapped_column(String(10))


# Without a primary key, with a computed column, and names that have to be quoted.
LINES = Table(
    "Order lines",
    Base.metadata,
    Column("select", Integer),
    Column("with:colon", String(20)),
    Column("twice", Integer, Computed('"select" * 2', persisted=True)),
)


def create(connection: Connection) -> None:
    """Make the tables, as a migration does."""
    # Of a copy: what SQLAlchemy adds by ALTER in PostgreSQL, it would leave away in SQLite then.
    copied = MetaData()
    for table in Base.metadata.tables.values():
        table.to_metadata(copied)
    copied.create_all(connection)
