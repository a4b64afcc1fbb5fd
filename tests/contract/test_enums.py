"""Enums are stored by value, and values of a newer release can be read and are not written."""

import enum

import pytest
from sqlalchemy import MetaData, literal_column, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column

from holdfast import models
from holdfast.errors import ConfigurationError, InvalidValueError
from holdfast.models import ENUM_LENGTH, NAMING_CONVENTION, UUIDKey, ValueEnum


class Base(models.Base):
    """What the tables here are made from."""

    __abstract__ = True
    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class Status(enum.Enum):
    """What a deck may be."""

    DRAFT = "draft"
    PLAYED = "played"
    OTHER = "other"


class Finish(enum.StrEnum):
    """How cards are printed."""

    PLAIN = ""
    FOIL = "foil"
    OTHER = "other"


class Deck(UUIDKey, Base):
    """One row with the same status under each policy."""

    __tablename__ = "decks"
    name: Mapped[str] = mapped_column(default="first")
    status: Mapped[Status | None] = mapped_column(ValueEnum(Status))
    sentinel: Mapped[Status | None] = mapped_column(ValueEnum(Status, unknown=Status.OTHER))
    strict: Mapped[Status | None] = mapped_column(ValueEnum(Status, unknown="error"))
    finish: Mapped[Finish | None] = mapped_column(ValueEnum(Finish, unknown=Finish.OTHER))


@pytest.fixture(autouse=True)
async def made(tables):
    """Make the tables."""
    await tables(Base)


async def store(db, **values):
    async with db.begin() as session:
        session.add(deck := Deck(**values))
    return deck


async def load(db, deck):
    async with db.read() as session:
        return await session.get_one(Deck, deck.id)


async def write(db, column, value):
    """Write what a newer release would."""
    async with db.begin() as session:
        await session.execute(text(f"UPDATE decks SET {column} = '{value}'"))


async def raw(db, column="status"):
    async with db.read() as session:
        return await session.scalar(select(literal_column(column)).select_from(Deck))


async def test_the_column_holds_the_value(db):
    """And the member comes back."""
    deck = await store(db, status=Status.PLAYED)

    assert await raw(db) == "played"
    assert (await load(db, deck)).status is Status.PLAYED


async def test_a_member_may_be_an_empty_text(db):
    """Which is false, and known all the same."""
    deck = await store(db, finish=Finish.PLAIN)

    assert (await load(db, deck)).finish is Finish.PLAIN


async def test_a_value_is_taken_for_its_member(db):
    """In a condition and on writing, a string that is a value will do."""
    deck = await store(db, status="draft")

    async with db.read() as session:
        query = select(Deck.id).where(Deck.status == "draft")
        assert await session.scalar(query) == deck.id
        both = select(Deck.id).where(Deck.status.in_([Status.DRAFT, Status.PLAYED]))
        assert await session.scalar(both) == deck.id


@pytest.mark.parametrize("value", ["lost", "Draft", "DRAFT", "", 5])
async def test_what_is_no_member_is_not_written(db, value):
    """The error names the members."""
    with pytest.raises(InvalidValueError, match="is no Status; it has 'draft', 'played', 'other'"):
        await store(db, status=value)

    assert await raw(db) is None


@pytest.mark.parametrize(
    "find",
    [
        lambda status: status.like("play%"),
        lambda status: status.ilike("PLAY%"),
        lambda status: status.startswith("pla"),
        lambda status: status.endswith("yed"),
        lambda status: status.contains("lay"),
        lambda status: status.not_like("draft%"),
    ],
)
async def test_a_pattern_is_no_member(db, find):
    """It is text, as for a plain Enum."""
    await store(db, status=Status.PLAYED)

    async with db.read() as session:
        assert await session.scalar(select(Deck.status).where(find(Deck.status))) is Status.PLAYED


async def test_a_value_of_a_newer_release_is_read_as_its_text(db):
    """The others of the row, and the row's other columns, are there as always."""
    deck = await store(db, status=Status.DRAFT)
    await write(db, "status", "archived")

    assert (await load(db, deck)).status == "archived"
    async with db.begin() as session:
        (await session.get_one(Deck, deck.id)).name = "second"
    assert (await raw(db, "name"), await raw(db)) == ("second", "archived")


async def test_a_value_of_a_newer_release_is_read_as_the_sentinel(db):
    """One member stands for all of them."""
    deck = await store(db, sentinel=Status.DRAFT)
    await write(db, "sentinel", "archived")

    assert (await load(db, deck)).sentinel is Status.OTHER
    async with db.begin() as session:
        (await session.get_one(Deck, deck.id)).name = "second"
    assert await raw(db, "sentinel") == "archived"


async def test_a_value_of_a_newer_release_may_be_an_error(db):
    """Where nothing must be read that is not understood."""
    deck = await store(db, strict=Status.DRAFT)
    await write(db, "strict", "archived")

    with pytest.raises(InvalidValueError, match="is no Status"):
        await load(db, deck)


async def test_an_unknown_value_is_never_written(db):
    """Neither its text, where it was read, nor the member that stands for it."""
    deck = await store(db, status=Status.DRAFT)
    await write(db, "status", "archived")
    found = (await load(db, deck)).status

    with pytest.raises(InvalidValueError, match="is no Status"):
        await store(db, status=found)
    with pytest.raises(InvalidValueError, match=r"Status\.OTHER, which stands for values"):
        await store(db, sentinel=Status.OTHER)


@pytest.mark.parametrize("value", [5, None, "x" * (ENUM_LENGTH + 1)])
def test_a_value_that_does_not_fit_is_refused(value):
    """At the definition, not at the first write."""
    members = enum.Enum("Broken", {"ONE": value})

    with pytest.raises(ConfigurationError, match=r"Broken\.ONE is .* at most 32"):
        ValueEnum(members)


@pytest.mark.parametrize("policy", ["raw", None, "draft"])
def test_a_policy_that_there_is_not_is_refused(policy):
    """It says which there are."""
    with pytest.raises(ConfigurationError, match=r"unknown=.*'text', 'error' or a member"):
        ValueEnum(Status, unknown=policy)


def test_it_is_a_varchar_of_one_width():
    """No CHECK and no database type, so a new member needs no migration."""
    for dialect in (postgresql.dialect(), sqlite.dialect()):
        assert ValueEnum(Status).compile(dialect) == "VARCHAR(32)"
        assert ValueEnum(Status, length=50).compile(dialect) == "VARCHAR(50)"
