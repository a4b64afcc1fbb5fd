"""Tables with what models have in them, and a database on asyncpg with them."""

import dataclasses
import enum
import uuid
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

import asyncpg
import msgspec
import pydantic
import pytest
from sqlalchemy import (
    ARRAY,
    Column,
    Computed,
    ForeignKey,
    Identity,
    Integer,
    Interval,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    event,
)
from sqlalchemy.dialects.postgresql import INET
from sqlalchemy.orm import Mapped, mapped_column, relationship

from holdfast.database import Database
from holdfast.events import Events
from holdfast.models import Base as HoldfastBase
from holdfast.models import Timestamps, UUIDKey, ValueEnum, Versioned, json_type


class Kind(enum.Enum):
    """Stored by value."""

    BEAST = "beast"
    SPELL = "spell"


class Mood(enum.Enum):
    """A type of the database's own."""

    GOOD = "good"
    BAD = "bad"


class Base(HoldfastBase):
    """The tests' own tables."""

    __abstract__ = True
    metadata = MetaData(naming_convention=HoldfastBase.metadata.naming_convention)


class Deck(UUIDKey, Base):
    """What cards may belong to."""

    __tablename__ = "decks"

    name: Mapped[str] = mapped_column(unique=True)
    cards: Mapped[list["Card"]] = relationship(lazy="joined")


class Card(UUIDKey, Timestamps, Versioned, Base):
    """A column under another name, an enum, JSON, a default, what may be left out."""

    __tablename__ = "cards"

    name: Mapped[str]
    kind: Mapped[Kind] = mapped_column("card_kind", ValueEnum(Kind))
    data: Mapped[dict[str, object]] = mapped_column(json_type())
    cost: Mapped[int] = mapped_column(default=1)
    note: Mapped[str | None]
    deck_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey(Deck.id, deferrable=True, initially="IMMEDIATE")
    )


class Everything(Base):
    """A column of each type that models have."""

    __tablename__ = "everything"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str | None]
    kind: Mapped[Kind | None] = mapped_column(ValueEnum(Kind))
    mood: Mapped[Mood | None]
    data: Mapped[object | None] = mapped_column(json_type())
    at: Mapped[datetime | None]
    key: Mapped[uuid.UUID | None]
    amount: Mapped[Decimal | None] = mapped_column(Numeric())
    ratio: Mapped[float | None]
    raw: Mapped[bytes | None]
    tags: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    took: Mapped[timedelta | None] = mapped_column(Interval)
    is_new: Mapped[bool | None]


HOSTS = Table("hosts", Base.metadata, Column("at", INET))

# Names that must be quoted, in a schema that must be.
ODD = Table(
    'Odd "table"',
    Base.metadata,
    Column("Select", Integer, Identity(), key="number", primary_key=True),
    Column('a "b" $1', String, key="odd"),
    Column("twice", Integer, Computed('"Select" * 2', persisted=True)),
    schema="Odd schema",
)


class CardStruct(msgspec.Struct, kw_only=True):
    """As most will have it."""

    name: str
    kind: Kind
    data: dict[str, object]


@dataclasses.dataclass(frozen=True, slots=True)
class CardClass:
    """In the order of no statement here."""

    kind: Kind
    data: dict[str, object]
    name: str


class CardTuple(NamedTuple):
    """In the order of the statements."""

    name: str
    kind: Kind
    data: dict[str, object]


class CardModel(pydantic.BaseModel):
    """One that validates."""

    name: str
    kind: Kind
    data: dict[str, object]


class Name(NamedTuple):
    """One column."""

    name: str


TYPES = [CardStruct, CardClass, CardTuple, CardModel]
BEASTS = ("Ant", "Bear")


def asyncpg_url(url: str) -> str:
    return url.replace("postgresql://", "postgresql+asyncpg://", 1)


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    """Give PostgreSQL with the tables; afterwards no connection may be in use."""
    async with Database(asyncpg_url(database_url), events=Events(lambda _: None)) as db:
        async with db.engine.begin() as connection:
            await connection.exec_driver_sql('CREATE SCHEMA "Odd schema"')
            await connection.run_sync(Base.metadata.create_all)
        # So that the types that were made are known.
        await db.engine.dispose()
        yield db
        assert db.engine.pool.checkedout() == 0


@pytest.fixture
async def cards(db) -> tuple[str, ...]:
    """Give the names of the cards that are there."""
    async with db.begin() as session:
        session.add_all(Card(name=name, kind=Kind.BEAST, data={"of": name}) for name in BEASTS)
    return BEASTS


@pytest.fixture
async def outside(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Give a connection of one's own, to look from outside."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
def sent(db):
    """Give the statements that SQLAlchemy's events show."""
    statements = []

    def note(_conn, _cursor, sql, *_rest):
        statements.append(sql)

    event.listen(db.engine.sync_engine, "before_cursor_execute", note)
    yield statements
    event.remove(db.engine.sync_engine, "before_cursor_execute", note)
