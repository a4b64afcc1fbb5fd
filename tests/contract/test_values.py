"""Values that no database takes, or that two take differently, are refused before they are sent."""

import enum
import math
import traceback
import uuid
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Enum,
    Float,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Numeric,
    SmallInteger,
    String,
    Table,
    Text,
    Time,
    TypeDecorator,
    Uuid,
    bindparam,
    delete,
    event,
    func,
    insert,
    literal,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Mapped, aliased, mapped_column
from tests.contract.conftest import _empty

from holdfast import fastlane, models
from holdfast.database import Database
from holdfast.errors import InvalidValueError, RowError
from holdfast.models import NAMING_CONVENTION, NotBlank, UTCDateTime, ValueEnum, json_type


class Mood(enum.Enum):
    """A type of PostgreSQL's own."""

    GOOD = "good"
    BAD = "bad"


class Level(enum.IntEnum):
    """Numbers that have names."""

    LOW = 1


class Colour(enum.StrEnum):
    """Texts that have names."""

    RED = "red"


class Lower(TypeDecorator[str]):
    """A type of somebody's own, which has opinions of its own."""

    impl = String(5)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: object) -> str | None:
        """Give the value in small letters."""
        if value == "strange":
            raise InvalidValueError("is strange; give it another")
        if value == "wrong":
            raise ValueError("of their own")
        return None if value is None else value.lower()


class Guid(TypeDecorator[uuid.UUID]):
    """As many have it from SQLAlchemy's documentation: text, where the driver takes it."""

    impl = String(36)
    cache_ok = True

    def load_dialect_impl(self, dialect):
        """Give PostgreSQL's own."""
        is_native = dialect.name == "postgresql"
        return dialect.type_descriptor(postgresql.UUID() if is_native else String(36))

    def process_bind_param(self, value, dialect):
        """Give the text."""
        return None if value is None else str(value)

    def process_result_value(self, value, dialect):
        """Give the UUID."""
        return None if value is None else uuid.UUID(str(value))


class Base(models.Base):
    """What the tables here are made from."""

    __abstract__ = True
    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class Thing(Base):
    """A column of each type, as people have them."""

    __tablename__ = "things"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str | None] = mapped_column(Text)
    name: Mapped[str | None] = mapped_column(String(5))
    small: Mapped[int | None] = mapped_column(SmallInteger)
    whole: Mapped[int | None] = mapped_column(Integer)
    big: Mapped[int | None] = mapped_column(BigInteger)
    wide: Mapped[int | None] = mapped_column(BigInteger().with_variant(Integer, "sqlite"))
    ratio: Mapped[float | None] = mapped_column(Float)
    real: Mapped[float | None] = mapped_column(Float(24))
    price: Mapped[Decimal | None] = mapped_column(Numeric(6, 2))
    exact: Mapped[Decimal | None] = mapped_column(Numeric)
    share: Mapped[Decimal | None] = mapped_column(Numeric(3, 3))
    flag: Mapped[bool | None] = mapped_column(Boolean)
    at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    local: Mapped[datetime | None] = mapped_column(DateTime)
    instant: Mapped[datetime | None] = mapped_column(UTCDateTime)
    day: Mapped[date | None] = mapped_column(Date)
    hour: Mapped[time | None] = mapped_column(Time)
    zoned: Mapped[time | None] = mapped_column(Time(timezone=True))
    took: Mapped[timedelta | None] = mapped_column(Interval)
    key: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    digits: Mapped[str | None] = mapped_column(Uuid(as_uuid=False))
    raw: Mapped[bytes | None] = mapped_column(LargeBinary)
    data: Mapped[Any | None] = mapped_column(json_type())
    plain: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))
    mood: Mapped[Mood | None] = mapped_column(Enum(Mood))
    word: Mapped[str | None] = mapped_column(Enum("a", "b", name="words", native_enum=False))
    status: Mapped[Mood | None] = mapped_column(ValueEnum(Mood))
    lower: Mapped[str | None] = mapped_column(Lower)
    guid: Mapped[uuid.UUID | None] = mapped_column("gu id", Guid)


NUL = "has a NUL character at index {}, which PostgreSQL does not store; remove it"
HALF = "has half of a surrogate pair at index {}, which no text has; remove it"
LONG = "has 6 characters, and its type has room for 5; shorten it"
NAN = "is NaN, which SQLite stores as NULL; use None"
INFINITE = "is infinite, and columns are for finite numbers; use None"
NUMBER = "an int, a float or a Decimal"
HUGE = "is beyond {}, the largest number of its type; store it as text"
DIGITS = "has more than 4 digits before the point; declare more, or store less"
NO_DIGIT = DIGITS.replace("4", "0")
LATE = "is beyond what SQLite has room for, the years 1 to 9999 from 1970"
ALONE = (
    "is a number past 64 bits, which SQLite rounds where it is the whole document; put it into a "
    "list, or store it as text"
)
NUL_WITHIN = "has a NUL character in it, which PostgreSQL does not store; remove it"
HALF_WITHIN = "has half of a surrogate pair in it, which no text has; remove it"
NO_ZONE = "has no time zone; use datetime.now(UTC)"
ZONE = "has a time zone, and its type has none; take it away, or declare timezone=True"
NO_YEAR = "is not within the years 1 to 9999 in UTC"
MOODS = "is no Mood; it has 'GOOD', 'BAD'"

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001
FIRST, LAST = datetime.min, datetime.max  # noqa: DTZ901
EAST = timezone(timedelta(hours=3))
END = LAST.replace(tzinfo=timezone(-timedelta(hours=1)))


def of_type(kind: str, wanted: str) -> str:
    return f"is of type {kind}, and has to be {wanted}"


def beyond(bits: int, wider: str) -> str:
    high = 2 ** (bits - 1)
    return f"does not fit into {bits} bits, {-high} to {high - 1}; declare it as {wider}"


DIGITS_OF_UUID = of_type("str", "a str with the 32 digits of a UUID")

# Why a value can be compared with all the same: it means the same to both, SQLAlchemy writes it
# into the statement, has another reason to refuse it, or it is refused as what it is by itself.
ANY, LITERAL, ONE_KIND, AS_NUMBER = "any", "literal", "one kind", "as a number"
# A column, what it does not take, and why.
REFUSED = [
    ("text", "ab\0", NUL.format(2)),
    ("text", "é\0", NUL.format(1)),
    ("text", "\ud800", HALF.format(0)),
    ("text", "a\udfff", HALF.format(1)),
    ("text", 5, of_type("int", "a str")),
    ("text", b"x", of_type("bytes", "a str")),
    ("name", "123456", LONG, ANY),
    ("name", "12345 ", LONG, ANY),
    ("name", "ääääää", LONG, ANY),
    ("name", "\0" * 6, NUL.format(0)),
    ("small", 2**15, beyond(16, "Integer")),
    ("small", True, of_type("bool", "an int"), LITERAL),
    ("whole", 2**31, beyond(32, "BigInteger")),
    ("whole", -(2**31) - 1, beyond(32, "BigInteger")),
    ("whole", 1.5, of_type("float", "an int"), ANY),
    ("whole", 1.0, of_type("float", "an int"), ANY),
    ("whole", Decimal(1), of_type("Decimal", "an int"), ANY),
    ("whole", "1", of_type("str", "an int")),
    ("whole", True, of_type("bool", "an int"), LITERAL),
    ("big", 2**63, beyond(64, "Numeric")),
    ("big", 2**70, beyond(64, "Numeric")),
    ("wide", 2**63, beyond(64, "Numeric")),
    ("ratio", math.nan, NAN),
    ("ratio", Decimal("sNaN"), NAN),
    ("ratio", math.inf, INFINITE, ANY),
    ("ratio", -math.inf, INFINITE, ANY),
    ("ratio", Decimal("1e400"), HUGE.format("1.8e+308")),
    ("ratio", "1.5", of_type("str", NUMBER)),
    ("ratio", True, of_type("bool", NUMBER), LITERAL),
    ("real", 1e39, HUGE.format("3.4e+38")),
    ("price", Decimal("NaN"), NAN),
    ("price", Decimal("-Infinity"), INFINITE),
    ("price", 10**4, DIGITS, ONE_KIND),
    ("price", Decimal("9999.995"), DIGITS),
    ("price", "1", of_type("str", NUMBER)),
    ("share", 1, NO_DIGIT, ONE_KIND),
    ("share", Decimal("0.9995"), NO_DIGIT),
    ("exact", math.nan, NAN),
    ("exact", -(10**400), HUGE.format("1.8e+308"), ONE_KIND),
    ("flag", 2, of_type("int", "True or False")),
    ("flag", "true", of_type("str", "True or False")),
    ("at", NAIVE, f"{NO_ZONE}, or give it the one that is meant"),
    ("at", END, NO_YEAR),
    ("at", "2026-01-01", of_type("str", "a datetime with a time zone")),
    ("local", NOW, ZONE),
    ("local", "2026-01-01", of_type("str", "a datetime without a time zone")),
    ("instant", NAIVE, NO_ZONE),
    ("instant", END, NO_YEAR),
    ("instant", "2026-01-01", of_type("str", "a datetime")),
    ("day", NAIVE, of_type("datetime", "a date; of a datetime take its date()"), ANY),
    ("day", "2026-01-01", of_type("str", "a date; of a datetime take its date()")),
    ("hour", time(1, tzinfo=UTC), ZONE),
    ("zoned", time(1), "has no offset from UTC; give it one"),
    ("took", timedelta(days=4_000_000), LATE),
    ("digits", f"{{{uuid.UUID(int=1)}}}", DIGITS_OF_UUID),
    ("key", str(uuid.UUID(int=1)), of_type("str", "a uuid.UUID")),
    ("digits", "abc", DIGITS_OF_UUID),
    ("raw", "x", of_type("str", "bytes")),
    ("data", 2**63, ALONE, AS_NUMBER),
    ("data", -(2**63) - 1, ALONE, AS_NUMBER),
    ("plain", 2**63, ALONE, AS_NUMBER),
    ("data", {"a": ["\0"]}, NUL_WITHIN),
    ("data", {"\\\0": 1}, NUL_WITHIN),
    ("data", ["\ud83d"], HALF_WITHIN),
    ("data", ["\ude00\ud83d"], HALF_WITHIN),
    ("data", {1, 2}, "cannot be written as JSON: Object of type set is not JSON serializable"),
    ("plain", {"a": ["\0"]}, NUL_WITHIN),
    ("mood", "zzz", MOODS),
    ("mood", 5, MOODS),
    ("word", "c", "is no words; it has 'a', 'b'"),
    ("status", "zzz", "is no Mood; it has 'good', 'bad'"),
    ("lower", "A\0", NUL.format(1)),
    ("lower", "TOO LONG", "has 8 characters, and its type has room for 5; shorten it", ANY),
    ("lower", "strange", "is strange; give it another"),
]  # fmt: skip


@pytest.fixture
async def db(db: Database, tables) -> Database:
    """Give the database with one thing in it."""
    await tables(Base)
    async with db.begin() as session:
        session.add(Thing(id=1, text="kept"))
    return db


@contextmanager
def nothing_sent(db: Database):
    """Hold that no statement goes to the driver, transactions aside."""
    sent: list[str] = []

    def note(_connection, _cursor, sql, *_more):
        if not sql.startswith("BEGIN"):
            sent.append(sql)

    event.listen(db.engine.sync_engine, "before_cursor_execute", note)
    try:
        yield
    finally:
        event.remove(db.engine.sync_engine, "before_cursor_execute", note)
        assert sent == []


TABLE = Thing.__table__
NAMES = {key: column.columns[0].key for key, column in Thing.__mapper__.column_attrs.items()}
UPDATE = update(TABLE).where(TABLE.c.id == bindparam("of"))


def upsert(session, name: str, value: object) -> Any:
    kind = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    statement = kind.insert(TABLE).values(id=1)
    return statement.on_conflict_do_update(index_elements=["id"], set_={name: value})


async def flush(session, key, value):
    session.add(Thing(id=2, **{key: value}))
    await session.flush()


async def flush_many(session, key, value):
    session.add_all([Thing(id=2, text="x", **{key: value}), Thing(id=3, text="x")])
    await session.flush()


async def orm_insert(session, key, value):
    # Rows without the value would be a statement of their own.
    statement = insert(Thing).execution_options(render_nulls=True)
    await session.execute(statement, [{"id": 2, key: None}, {"id": 3, key: value}])


async def orm_update(session, key, value):
    await session.execute(update(Thing).values({key: value}))


async def orm_update_many(session, key, value):
    await session.execute(update(Thing), [{"id": 1, key: None}, {"id": 1, key: value}])


async def core_insert(session, key, value):
    await session.execute(insert(TABLE).values({NAMES[key]: value}))


async def core_insert_many(session, key, value):
    rows = [{"id": each, NAMES[key]: value if each == 3 else None} for each in range(2, 9)]
    await session.execute(insert(TABLE), rows)


async def core_insert_rows(session, key, value):
    rows = [{"id": 2, NAMES[key]: None}, {"id": 3, NAMES[key]: value}]
    await session.execute(insert(TABLE).values(rows))


async def core_update(session, key, value):
    await session.execute(update(TABLE).values({TABLE.c[NAMES[key]]: value}))


async def core_update_many(session, key, value):
    statement = UPDATE.values({NAMES[key]: bindparam("given")})
    await session.execute(statement, [{"of": 1, "given": None}, {"of": 1, "given": value}])


async def core_upsert(session, key, value):
    await session.execute(upsert(session, NAMES[key], value))


ONE = [flush, orm_update, core_insert, core_update, core_upsert]
SECOND = [orm_insert, orm_update_many, core_insert_many, core_insert_rows, core_update_many]


async def refusals(db: Database, work: Callable[..., Any], cases: Any) -> list[Any]:
    """Try each case in a transaction; give what was said of it, and that nothing was sent."""
    said = []
    for key, value in cases:
        try:
            with nothing_sent(db):
                async with db.begin() as session:
                    await work(session, key, value)
            said.append(None)
        except InvalidValueError as error:
            said.append(str(error))
    return said


@pytest.mark.parametrize("work", [*ONE, *SECOND], ids=lambda work: work.__name__)
async def test_a_value_is_refused_however_it_is_written(db, work):
    """By its column's name, in the same words on all engines, and before anything is sent."""
    said = await refusals(db, work, [(key, value) for key, value, *_ in REFUSED])

    row = "row 2: " if work in SECOND else ""
    assert said == [f"{row}{TABLE}.{TABLE.c[NAMES[key]].name} {why}" for key, _, why, *_ in REFUSED]
    async with db.read() as session:
        kept = (await session.execute(select(TABLE))).mappings().all()
    assert [{key: value for key, value in row.items() if value is not None} for row in kept] == [
        {"id": 1, "text": "kept"}
    ]


async def equal(session, key, value):
    assert (await session.scalars(select(Thing.id).where(getattr(Thing, key) == value))).all() == []


async def one_of(session, key, value):
    column = getattr(Thing, key)
    assert (await session.scalars(select(Thing.id).where(column.in_([value])))).all() == []


async def between(session, key, value):
    other = aliased(Thing)
    column = getattr(other, key)
    await session.scalars(select(other.id).where(column.between(None, value)))


async def delete_where(session, key, value):
    await session.execute(delete(TABLE).where(value != TABLE.c[NAMES[key]]))


@pytest.mark.parametrize("work", [equal, one_of, between, delete_where], ids=lambda it: it.__name__)
async def test_a_value_is_not_looked_for_either(db, work):
    """PostgreSQL would fail, SQLite find nothing. What both do not find is looked for."""
    refused = [(key, value, why) for key, value, why, *both in REFUSED if not both]
    taken = [(key, value) for key, value, _, *both in REFUSED if both == [ANY]]
    assert await refusals(db, work, [(key, value) for key, value, _ in refused]) == [
        f"things.{TABLE.c[NAMES[key]].name} {why}" for key, _, why in refused
    ]
    if work is equal:
        for key, value in taken:
            async with db.read() as session:
                await work(session, key, value)


KEPT = [
    *(("text", each) for each in ("", "a" * 10_000, "é☃😀\U0010ffff\x01\x7f\ufffe", Colour.RED)),
    *(("name", each) for each in ("12345", "ääääé", "😀😀😀😀😀")),
    *(("small", each) for each in (-(2**15), 2**15 - 1, Level.LOW)),
    *(("whole", each) for each in (-(2**31), 2**31 - 1, 0)),
    *(("big", each) for each in (-(2**63), 2**63 - 1)),
    ("wide", 2**63 - 1),
    *(("ratio", each) for each in (1.7976931348623157e308, 5e-324, -0.1, 2**53, Decimal("0.5"))),
    *(("price", each) for each in (Decimal("9999.99"), Decimal("-9999.994"), 9999, 0.125)),
    *(("exact", each) for each in (Decimal("12.5"), 10**14, -1.5)),
    *(("share", each) for each in (Decimal("0.999"), Decimal("-0.9994"), 0)),
    *(("flag", each) for each in (True, False, 1, 0)),
    *(("local", each) for each in (FIRST, LAST, NAIVE, date(2026, 1, 1))),
    *(("at", each) for each in (NOW, datetime(2026, 1, 1, 3, 5, tzinfo=EAST))),
    *(("instant", each) for each in (NOW, FIRST.replace(tzinfo=UTC))),
    *(("day", each) for each in (date.min, date.max)),
    *(("hour", each) for each in (time.min, time.max)),
    *(("took", each) for each in (timedelta(days=-700_000), timedelta(microseconds=1))),
    ("key", uuid.UUID(int=2**128 - 1)),
    ("digits", str(uuid.UUID(int=1))),
    *(("raw", each) for each in (b"", b"\0\xff", bytearray(b"x"), memoryview(b"x"))),
    *(("data", each) for each in ({"a": "\\u0000", "\\": ["\\ud800", "😀", "퟿"]}, 5, "", [None])),
    *(("data", each) for each in (2**63 - 1, -(2**63), [2**63], True)),
    ("plain", {"é": 10**30}),
    *(("mood", each) for each in (Mood.GOOD, "BAD")),
    ("word", "b"),
    ("status", Mood.BAD),
    ("guid", uuid.UUID(int=1)),
]  # fmt: skip
# What comes back as something else: rounded as PostgreSQL does, or as the type has it.
AS = {
    ("price", Decimal("-9999.994")): Decimal("-9999.99"),
    ("price", 0.125): Decimal("0.13"),
    ("share", Decimal("-0.9994")): Decimal("-0.999"),
    ("mood", "BAD"): Mood.BAD,
    ("local", date(2026, 1, 1)): NAIVE,
}


async def test_what_is_taken_comes_back(db):
    """The last that is not too much, and what only looks as if it were; and is found by it."""
    async with db.begin() as session:
        for number, (key, value) in enumerate(KEPT, 2):
            session.add(Thing(id=number, **{key: value}))
    found = []
    async with db.read() as session:
        for number, (key, _value) in enumerate(KEPT, 2):
            found.append(
                (key, await session.scalar(select(getattr(Thing, key)).where(Thing.id == number)))
            )

    assert found == [
        (key, AS.get((key, value), value) if isinstance(value, Hashable) else value)
        for key, value in KEPT
    ]


SUB = select(Thing.name.label("called"), Thing.whole).subquery()
OTHER = aliased(Thing)
WHERE = [
    ("things.name", select(OTHER.id).where(OTHER.name == "\0")),
    ("things.name", select(SUB).where(SUB.c.called == "\0")),
    ("things.whole", select(SUB.c.called).where(SUB.c.whole.in_([1, 2**40]))),
    ("things.whole", select(Thing.id).where(Thing.whole.not_in([1, 1.5]))),
    ("things.name", select(Thing.id).where(tuple_(Thing.whole, Thing.name).in_([(1, "\0")]))),
    ("things.name", select(Thing.id).where(Thing.name > "\0")),
    ("things.name", select(Thing.id).where(Thing.name == bindparam("given", "\0"))),
    ("the parameter 'lower_1'", select(Thing.id).where(func.lower(Thing.name) == "\0")),
    ("the parameter 'name_1'", select(Thing.id).where(Thing.name.contains("\0"))),
    ("the parameter 'param_1'", select(Thing.id).where(Thing.data["a"] == "\0")),
    ("the parameter 'data_1'", select(Thing.id).where(Thing.data["\0"].as_string() == "a")),
    ("the parameter 'param_1'", select(literal("\ud800"))),
    ("the parameter 'given'", text("SELECT :given").bindparams(given="\0")),
    ("the parameter 'small_1'", update(Thing).values(small=Thing.small + 2**15)),
]


@pytest.mark.parametrize(("where", "statement"), WHERE, ids=range(len(WHERE)))
async def test_where_the_value_is(db, where, statement):
    """The column of the table, behind aliases and subqueries; else the statement's parameter."""
    with nothing_sent(db), pytest.raises(InvalidValueError) as error:
        async with db.read() if statement.is_select else db.begin() as session:
            await session.execute(statement)

    assert error.value.field == where
    assert str(error.value) == f"{where} {error.value.reason}"


TAKEN = [
    select(Thing.id).where(Thing.name.like("%longer than five%")),
    select(Thing.id).where(Thing.word.like("something%")),
    select(Thing.id).where(Thing.whole > 1.5, Thing.whole < Decimal("1.5")),
    select(Thing.id).where(Thing.ratio < math.inf, Thing.exact > -math.inf),
    select(Thing.id).where(Thing.local >= date(2026, 1, 1), Thing.day <= NAIVE),
    select(Thing.id).where(Thing.key.in_([]), Thing.name.in_(["a", None])),
    select(Thing.id).where(Thing.lower == "BIG", Thing.guid == uuid.UUID(int=1)),
    select(Thing.price * Decimal("1.175")),
    select(literal(2**40), func.abs(2**40), literal(math.inf), literal(NOW), literal(NAIVE)),
    text("SELECT id FROM things WHERE big = :given").bindparams(given=2**40),
    update(Thing).values(whole=Thing.whole + 1, name=func.lower(Thing.text), at=func.now()),
    update(Thing).values(dict.fromkeys(NAMES.keys() - {"id"})),
    insert(TABLE).from_select(["id", "whole"], select(literal(7), literal(8))),
]


@pytest.mark.parametrize("statement", TAKEN, ids=range(len(TAKEN)))
async def test_what_both_take_alike_is_not_refused(db, statement):
    """Patterns, expressions, numbers of other kinds, what no column is known of, and None."""
    async with db.begin() as session:
        await session.execute(statement)


async def test_a_statement_that_is_kept_goes_on_looking(db):
    """SQLAlchemy compiles it once; the value is another each time."""
    async with db.begin() as session:
        for name in ("a", "b"):
            await session.execute(update(Thing).values(name=name))
        with pytest.raises(InvalidValueError):
            await session.execute(update(Thing).values(name="\0"))
        await session.execute(update(Thing).values(name="c"))
        assert (await session.scalars(select(Thing.name))).all() == ["c"]


@pytest.mark.parametrize("key", ["name", "status", "data", "price"])
async def test_the_value_is_not_shown(db, key):
    """Neither by the error, nor by those that it comes from."""
    with pytest.raises(InvalidValueError) as error:
        async with db.begin() as session:
            session.add(Thing(id=2, **{key: {"secret": {"secret"}} if key == "data" else "secret"}))

    assert "secret" not in "".join(traceback.format_exception(error.value, chain=True)).replace(
        '"secret"', ""
    )


async def test_an_error_of_a_type_of_ones_own_passes(db):
    """As on any engine; only what says that it is about a value is told as ours."""
    with pytest.raises(StatementError) as error:
        async with db.begin() as session:
            session.add(Thing(id=2, lower="wrong"))

    assert type(error.value.orig) is ValueError


@pytest.mark.parametrize("view", ["engine", "read", "snapshot"])
async def test_views_of_the_engine_look_as_well(db, view):
    """And connections without a session."""
    snapshot = partial(db.read, snapshot=True)
    ways = {"read": db.read, "snapshot": snapshot, "engine": db.engine.connect}
    with pytest.raises(InvalidValueError, match=r"things\.name has a NUL"):
        async with ways[view]() as either:
            await either.execute(select(TABLE.c.id).where(TABLE.c.name == "\0"))


@pytest.fixture
async def on_postgresql(postgresql_wheel, driver) -> AsyncIterator[Database]:
    """Give PostgreSQL with one thing in it, through a driver."""
    await _empty(postgresql_wheel.owner)
    async with Database(postgresql_wheel.owner) as owner, owner.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await connection.run_sync(LISTS.create)
    async with Database(postgresql_wheel.app.replace("postgresql", f"postgresql+{driver}")) as db:
        async with db.begin() as session:
            session.add(Thing(id=1, text="kept"))
        yield db


LISTS = Table(
    "lists",
    MetaData(),
    Column("words", ARRAY(String(5))),
    Column("numbers", ARRAY(Integer, dimensions=2)),
    Column("titles", ARRAY(NotBlank(5))),
)
WRONG_LISTS = [
    ("words", ["a", "\0"], f"has an element that {NUL.format(0)}"),
    ("words", ["a", "123456"], f"has an element that {LONG}"),
    ("words", "a", of_type("str", "a list")),
    ("titles", ["a", " "], "is empty or blank; give it a text that can be seen"),
    ("titles", ["a", "123456"], f"has an element that {LONG}"),
    ("titles", ["a", "\0b"], f"has an element that {NUL.format(0)}"),
    ("titles", "a", of_type("str", "a list")),
    ("numbers", [[1], [2**31]], f"has an element that {beyond(32, 'BigInteger')}"),
]


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
@pytest.mark.parametrize(("column", "value", "why"), WRONG_LISTS, ids=range(len(WRONG_LISTS)))
async def test_elements_of_lists(on_postgresql, column, value, why):
    """Each is as a value of its type; PostgreSQL would cut what is too long."""
    with nothing_sent(on_postgresql), pytest.raises(InvalidValueError) as error:
        async with on_postgresql.begin() as session:
            await session.execute(insert(LISTS).values({column: value}))

    assert str(error.value) == f"lists.{column} {why}"


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_lists_that_are_taken(on_postgresql):
    """With None in them, and nested."""
    row = {"words": ["12345", None], "numbers": [[1, 2], [3, None]], "titles": ["a", None]}
    async with on_postgresql.begin() as session:
        await session.execute(insert(LISTS), [row])
        assert (await session.execute(select(LISTS))).mappings().one() == row


@pytest.mark.parametrize("driver", ["psycopg"])
@pytest.mark.parametrize("work", [*ONE, *SECOND], ids=lambda work: work.__name__)
async def test_the_other_driver_says_the_same(on_postgresql, work):
    """Although it takes other things by itself."""
    said = await refusals(on_postgresql, work, [(key, value) for key, value, *_ in REFUSED])

    row = "row 2: " if work in SECOND else ""
    assert said == [f"{row}{TABLE}.{TABLE.c[NAMES[key]].name} {why}" for key, _, why, *_ in REFUSED]


@pytest.mark.parametrize("driver", ["asyncpg"])
async def test_copying_refuses_the_same(on_postgresql):
    """In the same words, with the row's number."""
    said = []
    async with on_postgresql.begin() as session:
        for key, value, *_ in REFUSED:
            rows = [{"id": 2, key: None}, {"id": 3, key: value}]
            with pytest.raises(RowError) as error:
                await fastlane.copy_in(session, Thing, rows)
            said.append((error.value.number, error.value.key, str(error.value)))

    assert said == [
        (2, key, f"row 2, {key!r}: {why}; no row was written") for key, _, why, *_ in REFUSED
    ]
