"""Documents are checked, found when they were changed, and come back as they were."""

import dataclasses
import gc
import math
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypedDict, TypeVar
from weakref import WeakSet

import msgspec
import pydantic
import pytest
import typing_extensions
from sqlalchemy import MetaData, event, func, inspect, null, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from holdfast import models
from holdfast.errors import ConfigurationError, InvalidValueError, ReadOnlyError
from holdfast.models import NAMING_CONVENTION, UUIDKey, Versioned, typed_json


class Base(models.Base):
    """What the tables here are made from."""

    __abstract__ = True
    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class Page(pydantic.BaseModel):
    """A document that pydantic makes."""

    names: list[str] = []
    inner: dict[str, dict[str, int]] = {}


@dataclasses.dataclass
class Note:
    """A document of the standard library."""

    names: list[str]


class Card(msgspec.Struct):
    """A document that msgspec makes."""

    names: list[str]
    rarity: str = "common"


class Entry(TypedDict):
    """A dictionary whose keys are known."""

    names: list[str]


class Filled(typing_extensions.TypedDict):
    """A dictionary with a configuration of pydantic's."""

    __pydantic_config__ = pydantic.ConfigDict(str_min_length=1)
    name: str


Word = Annotated[str, pydantic.StringConstraints(min_length=1)]
T = TypeVar("T")


@dataclasses.dataclass
class Label:
    """A text that only pydantic's words say something about."""

    text: Word


class Account(pydantic.BaseModel):
    """A model with what pydantic does not write as it is."""

    password: pydantic.SecretStr | None = None
    free: Any = None
    _visits: int = 0


@dataclasses.dataclass
class Anything:
    """A class with a field for anything."""

    free: Any


@dataclasses.dataclass
class Shelf:
    """A class of others, and of its own kind."""

    labels: list[Label]
    below: "Shelf | None" = None


@dataclasses.dataclass
class Box(Generic[T]):
    """A class that is told what it holds."""

    holds: T
    label: Label | None = None


class Tag(msgspec.Struct):
    """A struct that says something in pydantic's words."""

    text: Word


class Identity:
    """Documents that are compared by identity."""


@dataclasses.dataclass(eq=False)
class Silent(Identity):
    """A document that is equal to itself only."""

    names: list[str]


class Deck(UUIDKey, Base):
    """One row with a document of each kind."""

    __tablename__ = "decks"
    page: Mapped[Page | None] = mapped_column(typed_json(Page))
    note: Mapped[Note | None] = mapped_column(typed_json(Note))
    card: Mapped[Card | None] = mapped_column(typed_json(Card))
    entry: Mapped[Entry | None] = mapped_column(typed_json(Entry))
    silent: Mapped[Silent | None] = mapped_column(typed_json(Silent))
    names: Mapped[list[str]] = mapped_column(typed_json(list[str]), default=list)
    counts: Mapped[dict[str, int] | None] = mapped_column(typed_json(dict[str, int]))
    free: Mapped[dict[str, Any] | None] = mapped_column(typed_json(dict[str, Any]))
    cards: Mapped[list[Card] | None] = mapped_column(typed_json(list[Card]))
    size: Mapped[int] = mapped_column(default=0)


class Counted(UUIDKey, Versioned, Base):
    """A row whose changes are counted."""

    __tablename__ = "counted"
    names: Mapped[list[str]] = mapped_column(typed_json(list[str]), default=list)


class Logged(UUIDKey, Base):
    """A row that notes its own changes."""

    __tablename__ = "logged"
    names: Mapped[list[str]] = mapped_column(typed_json(list[str]))
    size: Mapped[int] = mapped_column(default=0)


class Single(UUIDKey, Base):
    """A row whose document is no more than a number."""

    __tablename__ = "singles"
    number: Mapped[float] = mapped_column(typed_json(float))


@event.listens_for(Logged, "before_update")
def _note_size(_mapper, _connection, logged):
    logged.names.append(str(logged.size))


def whole():
    """Give a deck with a document of each kind."""
    return Deck(
        page=Page(names=["a"], inner={"x": {"y": 1}}),
        note=Note(["a"]),
        card=Card(["a"]),
        entry={"names": ["a"]},
        silent=Silent(["a"]),
        names=["a"],
        counts={"a": 1},
        free={"x": {"y": [1, "two", None, 2.5, True]}},
        cards=[Card(["a"]), Card(["b"], rarity="rare")],
    )


CHANGES = {
    "page": lambda deck: deck.page.inner["x"].update(y=2),
    "page.attribute": lambda deck: setattr(deck.page, "names", ["b"]),
    "note": lambda deck: deck.note.names.append("b"),
    "card": lambda deck: setattr(deck.card, "rarity", "rare"),
    "entry": lambda deck: deck.entry["names"].clear(),
    "silent": lambda deck: deck.silent.names.append("b"),
    "names": lambda deck: deck.names.append("b"),
    "counts": lambda deck: deck.counts.pop("a"),
    "free": lambda deck: deck.free["x"]["y"].append({"deep": []}),
    "cards": lambda deck: deck.cards[1].names.append("c"),
}


@pytest.fixture(autouse=True)
async def made(tables):
    """Make the tables."""
    await tables(Base)


@pytest.fixture
async def key(db):
    """Give the key of a stored deck."""
    async with db.begin() as session:
        session.add(deck := whole())
    return deck.id


@pytest.fixture
def updates(db):
    """Collect the UPDATEs that are sent."""
    sent = []

    def note(_connection, _cursor, statement, *_rest):
        if statement.startswith("UPDATE"):
            sent.append(statement)

    event.listen(db.engine.sync_engine, "before_cursor_execute", note)
    return sent


async def load(db, key):
    async with db.read() as session:
        return await session.get_one(Deck, key)


def plain(deck):
    """Give the documents as what they are made of, for comparing."""
    names = [each.key for each in inspect(Deck).column_attrs if each.key != "id"]
    documents = {name: getattr(deck, name) for name in names}
    documents["silent"] = deck.silent and deck.silent.names
    return documents


async def test_documents_come_back_as_what_they_were(db, key):
    """Each kind comes back as an instance of its class, with the same values."""
    deck = await load(db, key)

    assert plain(deck) == plain(whole()) | {"size": 0}
    assert [type(each) for each in (deck.page, deck.note, deck.card, deck.cards[0])] == [
        Page,
        Note,
        Card,
        Card,
    ]


@pytest.mark.parametrize("name", CHANGES)
async def test_a_change_in_place_is_stored(db, key, updates, name):
    """At any depth of any kind, also when nobody holds the object; its column alone is written."""
    async with db.begin() as session:
        deck = await session.get_one(Deck, key)
        CHANGES[name](deck)
        expected = plain(deck)
        del deck
        gc.collect()

    assert plain(await load(db, key)) == expected != plain(whole())
    assert len(updates) == 1
    assert updates[0].split(" SET ")[1].startswith(name.split(".")[0] + "=")
    assert updates[0].count("=") == 2  # the column and the key


@pytest.mark.parametrize("way", ["look", "assign", "revert", "size"])
async def test_what_did_not_change_is_not_written(db, key, updates, way):
    """Reading, assigning the same, and changing back write nothing; nor does another column."""
    async with db.begin() as session:
        deck = await session.get_one(Deck, key)
        if way == "assign":
            for name, value in plain(whole()).items():
                if name not in {"size", "silent"}:
                    setattr(deck, name, value)
            deck.silent = Silent(["a"])
        if way == "revert":
            deck.names.append("b")
            deck.free["x"]["y"][0] = 7
            deck.names.pop()
            deck.free["x"]["y"][0] = 1
        if way == "size":
            deck.size = 7
        await session.flush()

    assert [each.split(" WHERE ")[0] for each in updates] == (
        ["UPDATE decks SET size=" + updates[0].split("size=")[1].split(" ")[0]]
        if way == "size"
        else []
    )


async def test_a_change_and_then_the_same_value_assigned(db, key):
    """SQLAlchemy would compare the changed object with itself, and write nothing."""
    async with db.begin() as session:
        deck = await session.get_one(Deck, key)
        deck.names.append("b")
        deck.names = ["a", "b"]
        deck.counts["b"] = 2
        deck.counts = deck.counts

    stored = await load(db, key)
    assert (stored.names, stored.counts) == (["a", "b"], {"a": 1, "b": 2})


async def test_true_is_not_one(db, key):
    """Python takes them for equal, JSON does not."""
    async with db.begin() as session:
        deck = await session.get_one(Deck, key)
        deck.free = {"x": 1}
    async with db.begin() as session:
        deck = await session.get_one(Deck, key)
        deck.free = {"x": True}

    assert (await load(db, key)).free["x"] is True


async def test_changes_after_a_flush_are_found_as_well(db):
    """A new object is looked at from its INSERT on, a changed one again from its UPDATE on."""
    async with db.begin() as session:
        session.add(deck := Deck())
        assert deck.names is None
        await session.flush()
        for name in ("a", "b"):
            deck.names.append(name)
            await session.flush()
        deck.names.append("c")

    assert (await load(db, deck.id)).names == ["a", "b", "c"]


async def test_what_an_event_of_the_flush_changes_is_stored(db, updates):
    """With what the flush is for, and once."""
    async with db.begin() as session:
        session.add(logged := Logged(names=["a"]))
    async with db.begin() as session:
        (await session.get_one(Logged, logged.id)).size = 7

    async with db.read() as session:
        assert (await session.get_one(Logged, logged.id)).names == ["a", "7"]
    assert len(updates) == 1


async def test_a_query_sees_what_was_changed_in_place(db, key):
    """It flushes first, as for every other change."""
    async with db.begin() as session:
        (await session.get_one(Deck, key)).names.append("b")

        assert await session.scalar(select(Deck.names)) == ["a", "b"]


async def test_an_object_of_a_session_that_has_ended(db, key):
    """Added to another session, it is looked at from there on."""
    async with db.begin() as session:
        deck = await session.get_one(Deck, key)
    async with db.begin() as session:
        session.add(deck)
        deck.names.append("b")
    async with db.begin() as session:
        session.add(deck)
        deck.names.append("c")

    assert (await load(db, key)).names == ["a", "b", "c"]


async def test_a_change_of_a_detached_object_is_stored_when_it_is_added(db, key):
    """What was changed while it was in no session is a change as well."""
    deck = await load(db, key)
    deck.names.append("b")
    async with db.begin() as session:
        session.add(deck)

    assert (await load(db, key)).names == ["a", "b"]


async def test_merging_a_changed_object(db, key):
    """What it has goes to the session's own object."""
    deck = await load(db, key)
    deck.counts["b"] = 2
    async with db.begin() as session:
        await session.merge(deck)

    assert (await load(db, key)).counts == {"a": 1, "b": 2}


async def test_an_expunged_object_is_not_written(db, key, updates):
    """It is in the session no more."""
    async with db.begin() as session:
        deck = await session.get_one(Deck, key)
        session.expunge(deck)
        deck.names.append("b")

    assert updates == []


async def test_a_rollback_forgets_what_was_changed_in_place(db, key):
    """That of a whole transaction, and of a savepoint with what was flushed in it or was not."""
    async with db.session() as session:
        deck = await session.get_one(Deck, key)
        deck.names.append("lost")
        await session.rollback()
        await session.refresh(deck)
        deck.names.append("kept")
        for flushed in (True, False):
            async with session.begin_nested() as inside:
                deck.names.append("lost")
                if flushed:
                    await session.flush()
                await inside.rollback()
            await session.refresh(deck)
        await session.commit()

    assert (await load(db, key)).names == ["a", "kept"]


async def test_refreshing_takes_what_is_stored(db, key):
    """The document of another transaction is no change of this one."""
    async with db.session() as session:
        deck = await session.get_one(Deck, key)
        await session.commit()
        async with db.begin() as other:
            (await other.get_one(Deck, key)).names.append("b")
        await session.refresh(deck, ["names"])
        assert deck.names == ["a", "b"]
        await session.commit()

    assert (await load(db, key)).names == ["a", "b"]


async def test_bulk_updates_are_no_change_to_find(db, key, updates):
    """What a statement has written, and the session's object then has, is not written again."""
    async with db.begin() as session:
        deck = await session.get_one(Deck, key)
        await session.execute(update(Deck).values(names=["b"]))
        assert deck.names == ["b"]

    assert len(updates) == 1
    assert (await load(db, key)).names == ["b"]


async def test_read_refuses_a_change_in_place(db, key):
    """As it refuses every other change."""

    async def change():
        async with db.read() as session:
            deck = await session.get_one(Deck, key)
            deck.names.append("b")

    with pytest.raises(ReadOnlyError, match="a changed Deck"):
        await change()


async def test_a_session_of_ones_own(db, key):
    """A plain session of SQLAlchemy finds changes in place as well."""
    async with AsyncSession(db.engine) as session:
        (await session.get_one(Deck, key)).names.append("b")
        await session.flush()
        (await session.get_one(Deck, key)).names.append("c")
        await session.commit()

    assert (await load(db, key)).names == ["a", "b", "c"]


async def test_a_version_counts_changes_in_place(db):
    """They are updates like others, and unchanged documents are none."""
    async with db.begin() as session:
        session.add(counted := Counted())
    for name in ("a", None, "b"):
        async with db.begin() as session:
            found = await session.get_one(Counted, counted.id)
            if name:
                found.names.append(name)

    async with db.read() as session:
        stored = await session.get_one(Counted, counted.id)
        assert (stored.names, stored.version) == (["a", "b"], 3)


class TestHolding:
    """Objects live as long as a change of theirs might be lost, and no longer."""

    @pytest.fixture
    async def keys(self, db):
        """Give the keys of some stored decks."""
        async with db.begin() as session:
            session.add_all(decks := [Deck(names=["a"]) for _ in range(20)])
        return [deck.id for deck in decks]

    async def test_a_stream_of_rows_is_not_held_in_read(self, db, keys):
        """They cannot be written, so each goes with the next."""
        alive = WeakSet()
        query = select(Deck).execution_options(yield_per=1)
        async with db.read(snapshot=True) as session:
            async for deck in await session.stream_scalars(query):
                alive.add(deck)
                assert len(alive) <= 2

    async def test_a_long_session_holds_those_of_its_transaction(self, db, keys):
        """A batch that commits now and then has one batch in memory."""
        alive = WeakSet()

        async def change(session, key):
            deck = await session.get_one(Deck, key)
            deck.names.append("b")
            alive.add(deck)

        async with db.session() as session:
            for start in range(0, 20, 5):
                for key in keys[start : start + 5]:
                    await change(session, key)
                assert len(alive) == 5
                await session.commit()
                assert len(alive) == 0

        assert {tuple((await load(db, key)).names) for key in keys} == {("a", "b")}

    async def test_what_somebody_holds_is_looked_at_in_the_next_transaction(self, db, keys):
        """Also when it is changed between two, and held by nobody any more."""
        async with db.session() as session:
            for key in keys:
                deck = await session.get_one(Deck, key)
                await session.commit()
                deck.names.append("b")
            del deck
            gc.collect()
            await session.commit()

        assert {tuple((await load(db, key)).names) for key in keys} == {("a", "b")}


async def test_none_is_null(db, key):
    """On assigning None and where nothing was given, for the database too."""
    async with db.begin() as session:
        deck = await session.get_one(Deck, key)
        deck.page, deck.free = None, None
        session.add(Deck())
    async with db.read() as session:
        for column in (Deck.page, Deck.free, Deck.note):
            found = await session.scalar(select(func.count()).where(column.is_(null())))
            assert found == (1 if column is Deck.note else 2)
    assert (await load(db, key)).page is None


@pytest.mark.parametrize("number", [1.5, 2.0])
async def test_a_document_may_be_a_number(db, number):
    """SQLite makes one of its text."""
    async with db.begin() as session:
        session.add(single := Single(number=number))

    async with db.read() as session:
        found = (await session.get_one(Single, single.id)).number
    assert (found, type(found)) == (number, float)


async def test_a_null_of_json_is_none(db, key):
    """Somebody else may have written one."""
    async with db.begin() as session:
        await session.execute(text("UPDATE decks SET page = 'null'"))

    assert (await load(db, key)).page is None


WRONG = {
    "page": ({"names": []}, "is a dict, no Page; make it one"),
    "note": (Note([1]), "is no Note: Expected `str`, got `int` - at `$.names[0]`"),
    "card": (Card("x"), "is no Card: Expected `array`, got `str` - at `$.names`"),
    "entry": ({"names": [], "more": 1}, "would come back as another Entry"),
    "names": (("a",), "is a tuple, no list"),
    "counts": ({"a": 1.5}, "Expected `int`, got `float`"),
    "free": ({1: 2}, "would come back as another dict"),
}
HOSTILE = {
    "nan": ({"x": float("nan")}, "has NaN or an infinity"),
    "infinity": ({"x": [float("-inf")]}, "has NaN or an infinity"),
    "nul": ({"x": {"y": "a\0b"}}, "has a NUL character"),
    "nul in a key": ({"x\0": 1}, "has a NUL character"),
    "surrogate": ({"x": "\ud800"}, "surrogates not allowed"),
    "tuple": ({"x": (1, 2)}, "would come back as another dict"),
    "no JSON": ({"x": object()}, "is no dict"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_does_not_fit_is_refused_on_assigning(db, key, name):
    """The field is named and the old document stays."""
    value, problem = WRONG[name]
    deck = await load(db, key)
    before = getattr(deck, name)

    with pytest.raises(InvalidValueError, match=rf"^Deck.{name} ") as refused:
        setattr(deck, name, value)
    assert problem in str(refused.value)
    assert getattr(deck, name) is before
    with pytest.raises(InvalidValueError, match=rf"^Deck.{name} "):
        Deck(**{name: value})


@pytest.mark.parametrize("name", HOSTILE)
async def test_what_no_database_takes_is_refused(db, name):
    """Before any SQL, the same on every engine."""
    value, problem = HOSTILE[name]

    with pytest.raises(InvalidValueError, match=problem):
        Deck(free=value)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_a_number_that_sqlite_would_round_is_refused(value):
    """Where it is the whole document, SQLite has a number and no text; elsewhere all are kept."""
    with pytest.raises(InvalidValueError, match="past 64 bits"):
        typed_json(int).check(value)

    typed_json(list[int]).check([value])


@pytest.mark.parametrize(
    ("schema", "wrong"),
    [
        (Filled, {"name": ""}),
        (list[Word], [""]),
        (Shelf, Shelf([Label("")])),
        (Box[Label], Box(Label(""))),
        (Box[int], Box(0, Label(""))),
    ],
)
def test_what_pydantic_says_beside_a_type_counts(schema, wrong):
    """Of a TypedDict, of a type and at any depth of a class: msgspec would pass over all of it."""
    with pytest.raises(InvalidValueError, match="at least 1 character"):
        typed_json(schema).check(wrong)


@pytest.mark.parametrize(
    ("schema", "lossy"),
    [
        (Account, Account(password="secret")),
        (list[Account], [Account(password="secret")]),
        (Account, Account(free=(1, 2))),
        (Anything, Anything((1, 2))),
        (Anything, Anything({1: 2})),
        (dict[str, Anything], {"a": Anything(datetime.now(UTC))}),
    ],
)
def test_what_json_would_make_something_else_of_is_refused(schema, lossy):
    """Also inside a class, of which its JSON alone would not tell."""
    with pytest.raises(InvalidValueError, match="would come back as another"):
        typed_json(schema).check(lossy)


def test_what_is_no_part_of_a_document_may_differ():
    """A private attribute of pydantic's, which counts where models are compared."""
    account = Account()
    account._visits = 1
    typed_json(Account).check(account)


class Loose(pydantic.BaseModel):
    """A model with a float, and what may be anything."""

    size: float = 0
    free: Any = None


@dataclasses.dataclass
class Place:
    """A dataclass with floats and what pydantic makes of them."""

    height: float
    label: Loose | None = None


@pytest.mark.parametrize(
    ("schema", "wrong", "problem"),
    [
        (Loose, Loose(size=math.nan), r"is no Loose: \$.size: .*; NaN and infinities are null"),
        (Place, Place(math.inf), r"is no Place: \$.height: .*; NaN and infinities are null"),
        (list[float], [math.nan], r"is no list.*`\$\[0\]`; NaN and infinities are null"),
        (list[Loose], [Loose(free=math.nan)], "has NaN or an infinity in it"),
        (Place, Place(1.0, Loose(free=math.nan)), "has NaN or an infinity in it"),
        (list[Loose], [Loose(free="a\0b")], "has a NUL character in it"),
        (Place, Place(1.0, Loose(free="a\0b")), "has a NUL character in it"),
    ],
)
def test_nan_and_nul_are_called_by_their_name(schema, wrong, problem):
    """Also where the field is a float, and in a pydantic model within something else."""
    with pytest.raises(InvalidValueError, match=problem):
        typed_json(schema).check(wrong)


def test_what_a_struct_would_pass_over_is_refused():
    """Pydantic does not know msgspec's classes, and msgspec not pydantic's words."""
    with pytest.raises(ConfigurationError, match="it a dataclass"):
        typed_json(Tag)


async def test_a_backslash_is_no_nul(db):
    """The text of an escape is a text like others."""
    async with db.begin() as session:
        session.add(deck := Deck(free={"x": "\\u0000", "y": "\\\\u0000 \\"}))

    assert (await load(db, deck.id)).free == {"x": "\\u0000", "y": "\\\\u0000 \\"}


async def test_what_was_made_wrong_in_place_is_refused_at_the_flush(db, key, updates):
    """Nothing of the transaction is stored."""

    async def spoil(session):
        deck = await session.get_one(Deck, key)
        deck.size = 5
        deck.counts["a"] = "many"

    with pytest.raises(InvalidValueError, match="Expected `int`, got `str`"):
        await db.run(spoil)

    assert (await load(db, key)).size == 0
    assert updates == []


async def test_a_stored_document_that_does_not_fit_is_named(db, key):
    """It says the column and where in the document, and what to do."""
    async with db.begin() as session:
        await session.execute(text("""UPDATE decks SET counts = '{"a": "x"}'"""))

    with pytest.raises(InvalidValueError) as refused:
        await load(db, key)
    assert str(refused.value) == (
        "decks.counts holds a document that is no dict[str, int]: Expected `int`, got `str` - at "
        "`$[...]`; mend the row, or let the schema take both forms"
    )


async def test_parts_of_a_document_in_a_query(db, key):
    """The operators of JSON work as on a plain column."""
    async with db.read() as session:
        assert await session.scalar(select(Deck.free["x"]["y"][1].as_string())) == "two"
        found = select(Deck.id).where(Deck.counts["a"].as_integer() == 1)
        assert await session.scalar(found) == key


PARTS = {
    "a text": (Deck.page["names"][0], "a"),
    "a number": (Deck.counts["a"], 1),
    "an object": (Deck.page[("inner", "x")], {"y": 1}),
    "a list": (Deck.card["names"], ["a"]),
    "nothing": (Deck.counts["b"], None),
}


@pytest.mark.parametrize("name", PARTS)
async def test_a_part_of_a_document_is_any_json(db, key, name):
    """The schema is of the whole."""
    part, value = PARTS[name]

    async with db.read() as session:
        assert await session.scalar(select(part)) == value
