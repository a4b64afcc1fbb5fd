"""Columns mean the same on PostgreSQL and SQLite."""

import asyncio
import enum
import uuid
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    MetaData,
    String,
    UniqueConstraint,
    func,
    insert,
    inspect,
    null,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from holdfast import models
from holdfast.database import Database
from holdfast.errors import ConfigurationError, InvalidValueError
from holdfast.models import (
    NAMING_CONVENTION,
    Timestamps,
    UTCDateTime,
    UUIDKey,
    ValueEnum,
    Versioned,
    clock_timestamp,
    json_type,
    uuid7,
)

pytestmark = pytest.mark.holdfast(role="owner")  # who may make tables

EAST = timezone(timedelta(hours=5, minutes=30))


class Status(enum.Enum):
    """What a deck may be."""

    DRAFT = "draft"
    PLAYED = "played"


class Base(models.Base):
    """The declarative base of these tests, with tables of its own."""

    __abstract__ = True
    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class Deck(UUIDKey, Timestamps, Base):
    """One row with a column of each kind."""

    __tablename__ = "decks"
    __table_args__ = (
        CheckConstraint("size >= 0", name="size_not_negative"),
        UniqueConstraint("name", "owner"),
        Index(None, "owner"),
    )

    name: Mapped[str]
    owner: Mapped[str] = mapped_column(String(20), default="ann")
    size: Mapped[int] = mapped_column(default=0)
    status: Mapped[Status | None] = mapped_column(ValueEnum(Status))
    cards: Mapped[dict[str, object] | None] = mapped_column(json_type())
    played_at: Mapped[datetime | None]
    parent_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("decks.id"))


class Counter(UUIDKey, Versioned, Timestamps, Base):
    """A row whose lost updates are errors."""

    __tablename__ = "counters"

    number: Mapped[int]


@pytest.fixture(params=["postgresql", "sqlite"])
def empty(request, tmp_path):
    """Give an empty database of each backend."""
    if request.param == "sqlite":
        return Database(f"sqlite:///{tmp_path}/decks.db")
    return request.getfixturevalue("db")  # the kit's, which this module's is made from


@pytest.fixture
async def db(empty):
    """Give a database with the tables."""
    async with empty as each:
        async with each.engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        yield each


async def store(db, **values) -> Deck:
    async with db.begin() as session:
        session.add(deck := Deck(name="first", **values))
    return deck


async def load(db, identity) -> Deck:
    async with db.read() as session:
        return await session.get_one(Deck, identity)


class TestNames:
    """Every constraint has a name that a migration can refer to."""

    def test_in_the_metadata(self):
        """The convention gives the same name on every machine."""
        table = Deck.metadata.tables["decks"]

        assert {each.name for each in table.constraints} == {
            "pk_decks",
            "uq_decks_name_owner",
            "ck_decks_size_not_negative",
            "fk_decks_parent_id_decks",
        }
        assert {each.name for each in table.indexes} == {"ix_decks_owner"}

    async def test_on_the_server(self, db):
        """What was created is called so."""
        async with db.engine.connect() as connection:
            found = await connection.run_sync(
                lambda sync: (
                    inspect(sync).get_check_constraints("decks")
                    + inspect(sync).get_unique_constraints("decks")
                    + inspect(sync).get_foreign_keys("decks")
                )
            )

        assert {each["name"] for each in found} == {
            "ck_decks_size_not_negative",
            "uq_decks_name_owner",
            "fk_decks_parent_id_decks",
        }


class TestUUIDKey:
    """A key of version 7, made in Python."""

    def test_it_is_a_uuid_of_version_7(self):
        """It is the standard library's class, as drivers and pydantic ask for."""
        made = uuid7()

        assert type(made) is uuid.UUID
        assert made.version == 7

    def test_it_rises(self):
        """Ten thousand made in a row are in order and differ."""
        made = [uuid7() for _ in range(10_000)]

        assert sorted(set(made)) == made

    async def test_a_row_gets_one(self, db):
        """It is there after the flush and comes back as it was."""
        deck = await store(db)

        assert deck.id.version == 7
        assert (await load(db, deck.id)).id == deck.id


class NoZone(tzinfo):
    """A zone that knows no offset: Python takes such a datetime for a naive one."""

    def utcoffset(self, _when):
        """Give none."""
        return


class TestUTCDateTime:
    """An instant goes in and the same instant comes back, in UTC."""

    @pytest.mark.parametrize(
        "value",
        [
            datetime(2026, 3, 29, 2, 30, 0, 123456, EAST),
            datetime(2026, 3, 29, 2, 30, 0, 1, UTC),
            datetime(1, 1, 2, tzinfo=UTC),
            datetime(9999, 12, 30, 23, 59, 59, 999999, timezone(timedelta(hours=-3))),
        ],
    )
    async def test_round_trip(self, db, value):
        """Offsets are converted and microseconds kept."""
        deck = await store(db, played_at=value)
        loaded = (await load(db, deck.id)).played_at

        assert loaded == value
        assert loaded.utcoffset() == timedelta(0)

    async def test_order_and_comparison(self, db):
        """Instants are compared as such, whatever their offset was."""
        await store(db, played_at=datetime(2026, 1, 1, 5, tzinfo=EAST))
        after = datetime(2026, 1, 1, 0, tzinfo=UTC)

        async with db.read() as session:
            found = await session.scalar(select(func.count(Deck.id)).where(Deck.played_at < after))

        assert found == 1

    @pytest.mark.parametrize("value", [datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=NoZone())])  # noqa: DTZ001
    async def test_a_naive_one_is_refused(self, db, value):
        """PostgreSQL would have taken it for the process's local time."""
        with pytest.raises(
            InvalidValueError, match=r"decks\.played_at has no time zone; use datetime\.now\(UTC\)"
        ):
            await store(db, played_at=value)

    async def test_none_is_null(self, db):
        """An absent instant stays absent."""
        assert (await load(db, (await store(db)).id)).played_at is None

    @given(st.datetimes(timezones=st.timezones()))
    def test_both_backends_get_the_same(self, value):
        """Whatever zone an instant is in, it is bound in UTC."""
        try:
            bound = UTCDateTime().process_bind_param(value, sqlite.dialect())
        except OverflowError:  # at the ends of the calendar
            return

        assert (bound.timestamp(), bound.tzinfo) == (value.timestamp(), UTC)


class TestJson:
    """JSONB on PostgreSQL, JSON on SQLite, and None is NULL."""

    async def test_round_trip(self, db):
        """Nested values come back equal."""
        cards = {"fire": [1, 2.5, None, {"ä": "☃"}], "empty": {}}
        deck = await store(db, cards=cards)

        assert (await load(db, deck.id)).cards == cards

    @pytest.mark.parametrize("value", [None, null()])
    async def test_none_is_null(self, db, value):
        """It is SQL's NULL, not the JSON text `null`, given or left out."""
        await store(db, cards=value)
        async with db.begin() as session:
            session.add(Deck(name="second"))

        async with db.read() as session:
            count = select(func.count(Deck.id)).where(text("cards IS NULL"))
            assert await session.scalar(count) == 2

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    async def test_what_json_has_not_is_refused(self, db, value):
        """SQLite would have stored a text that is no JSON."""
        with pytest.raises(InvalidValueError, match=r"decks\.cards .*not JSON compliant"):
            await store(db, cards={"fire": value})

    def test_types(self):
        """Each backend has its own."""
        assert json_type().compile(postgresql.dialect()) == "JSONB"
        assert json_type().compile(sqlite.dialect()) == "JSON"

    def test_each_column_has_its_own_type(self):
        """Mutation tracking would spread to all columns that share one."""
        assert json_type() is not json_type()


async def until_the_clock_moves(session) -> None:
    """Wait until the server's clock shows another time; SQLite's has milliseconds."""
    async with asyncio.timeout(5):
        before = await session.scalar(select(clock_timestamp()))
        while await session.scalar(select(clock_timestamp())) == before:
            pass


class TestTimestamps:
    """Both times are the server's, of the statement and not of the transaction."""

    async def test_they_are_there_after_the_commit(self, db):
        """The INSERT brings them along, so reading them needs no query."""
        deck = await store(db)

        assert deck.created_at.utcoffset() == timedelta(0)
        assert abs(datetime.now(UTC) - deck.created_at) < timedelta(minutes=1)
        assert abs(deck.updated_at - deck.created_at) < timedelta(seconds=1)

    async def test_updated_at_is_there_after_an_update(self, db):
        """The UPDATE brings it along as well, where a lazy load is impossible."""
        deck = await store(db)
        async with db.begin() as session:
            changed = await session.get_one(Deck, deck.id)
            changed.name = "changed"
            await session.flush()
            flushed = changed.updated_at

        assert changed.updated_at == flushed
        assert flushed >= deck.updated_at
        assert changed.created_at == deck.created_at

    async def test_two_updates_in_one_transaction_differ(self, db):
        """As time goes on within a transaction, the column does too."""
        deck = await store(db)
        seen = []
        async with db.begin() as session:
            changed = await session.get_one(Deck, deck.id)
            for name in ("second", "third"):
                await until_the_clock_moves(session)
                changed.name = name
                await session.flush()
                seen.append(changed.updated_at)

        assert deck.updated_at < seen[0] < seen[1]

    @pytest.mark.parametrize("target", [Deck, Deck.__table__])
    async def test_bulk_updates_set_it(self, db, target):
        """An UPDATE of many rows does it, by ORM and by Core."""
        deck = await store(db)
        async with db.begin() as session:
            await until_the_clock_moves(session)
            await session.execute(update(target).values(name="changed"))

        loaded = await load(db, deck.id)
        assert (loaded.updated_at > deck.updated_at, loaded.created_at) == (True, deck.created_at)

    @pytest.mark.parametrize("target", [Deck, Deck.__table__])
    async def test_bulk_inserts_set_both(self, db, target):
        """Core statements and lists of rows get the server's defaults too."""
        rows = [{"id": uuid7(), "name": str(number)} for number in range(3)]
        async with db.begin() as session:
            await session.execute(insert(target), rows)

        async with db.read() as session:
            loaded = (await session.scalars(select(Deck))).all()
        now = datetime.now(UTC)
        assert len(loaded) == 3
        assert all(abs(now - each.created_at) < timedelta(minutes=1) for each in loaded)
        assert all(abs(now - each.updated_at) < timedelta(minutes=1) for each in loaded)

    async def test_text_is_stored_as_python_would(self, db):
        """The default's text sorts among values that were bound, on SQLite as well."""
        early = datetime(2026, 1, 1, tzinfo=UTC)
        await store(db, played_at=early)
        async with db.read() as session:
            late = datetime(9999, 1, 1, tzinfo=UTC)
            query = select(Deck.created_at > Deck.played_at, Deck.created_at < late)
            assert (await session.execute(query)).one() == (True, True)


class TestVersioned:
    """A lost race is an error."""

    async def count(self, db, identity, meanwhile=None):
        """Read, let something else happen, and write one more."""
        async with db.begin() as session:
            counter = await session.get_one(Counter, identity)
            if meanwhile:
                await meanwhile
            counter.number += 1
        return counter

    @pytest.fixture
    async def identity(self, db):
        """Give the key of a stored counter."""
        async with db.begin() as session:
            session.add(counter := Counter(number=0))
        return counter.id

    async def test_it_rises_with_each_update(self, db, identity):
        """It begins at 1."""
        assert (await self.count(db, identity)).version == 2
        assert (await self.count(db, identity)).version == 3

    @pytest.mark.parametrize("place", ["before", "after"])
    def test_it_may_stand_before_or_after_the_base(self, place):
        """The order of the bases does not switch the check off without a word."""
        bases = (Versioned, Base) if place == "before" else (Base, Versioned)
        made = type(
            f"Ordered{place}",
            (UUIDKey, *bases),
            {"__tablename__": f"ordered_{place}", "__module__": __name__},
        )

        mapper = inspect(made)
        assert mapper.version_id_col is made.__table__.c.version
        assert mapper.eager_defaults is True

    def test_it_works_on_a_base_of_ones_own(self):
        """The mixins need nothing of `models.Base`."""

        class Own(DeclarativeBase):
            pass

        class Thing(UUIDKey, Versioned, Timestamps, Own):
            __tablename__ = "things"

        assert inspect(Thing).version_id_col is Thing.__table__.c.version

    def test_a_subclass_with_a_table_of_its_own(self):
        """Joined inheritance takes the version of the parent's table."""

        class Animal(UUIDKey, Versioned, Base):
            __tablename__ = "animals"

        class Dog(Animal):
            __tablename__ = "dogs"
            id: Mapped[uuid.UUID] = mapped_column(ForeignKey("animals.id"), primary_key=True)

        assert inspect(Dog).version_id_col is Animal.__table__.c.version

    def test_mapper_args_that_hide_it_are_refused(self):
        """A `__mapper_args__` of the class's own would switch the check off."""
        args: ClassVar[dict[str, bool]] = {"confirm_deleted_rows": False}

        with pytest.raises(ConfigurationError, match="version_id_col"):
            type(
                "Hidden",
                (UUIDKey, Versioned, Base),
                {"__tablename__": "hidden", "__mapper_args__": args, "__module__": __name__},
            )
