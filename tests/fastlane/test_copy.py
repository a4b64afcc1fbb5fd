"""`copy_in` and `copy_out`: rows through COPY, with the model's types and defaults."""

import asyncio
import csv
import gc
import io
import tracemalloc
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from sqlalchemy import ForeignKey, Sequence, func, literal, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column
from tests.fastlane.conftest import HOSTS, ODD, Base, Card, Deck, Everything, Kind, Name

from holdfast import fastlane
from holdfast.errors import ConfigurationError, ReadOnlyError, RowError

COUNT = select(func.count()).select_from(Card)
NAMES = select(Card.name).order_by(Card.name)


def row(name="Ant", **others):
    return {"name": name, "kind": Kind.BEAST, "data": {"of": [name, None]}, **others}


def as_dict(**values):
    return values


def given(rows):
    yield from rows


async def awaited(rows):
    for each in rows:
        await asyncio.sleep(0)
        yield each


@pytest.mark.parametrize("source", [list, tuple, given, awaited])
async def test_rows_of_any_source_are_written(db, source):
    """With what the ORM would put in: key, default, version, and the server's times."""
    began = datetime.now(UTC)
    async with db.begin() as session:
        assert await fastlane.copy_in(session, Card, source([row("Ant"), row("Bear")])) == 2
    async with db.read() as session:
        cards = (await session.scalars(select(Card).order_by(Card.name))).all()

    assert [card.name for card in cards] == ["Ant", "Bear"]
    for card in cards:
        assert (card.kind, card.data) == (Kind.BEAST, {"of": [card.name, None]})
        assert (card.cost, card.version, card.note) == (1, 1, None)
        assert card.id.version == 7
        assert card.created_at >= began
    assert cards[0].id < cards[1].id


@pytest.mark.parametrize("count", [0, 1, 199, 200, 201, 1000])
async def test_every_row_is_written_once(db, count):
    """However they are taken together."""
    async with db.begin() as session:
        rows = (row(str(number)) for number in range(count))
        assert await fastlane.copy_in(session, Card, rows) == count
        names = await fastlane.fetch(session, NAMES, into=lambda name: name)

    assert sorted(names, key=int) == [str(number) for number in range(count)]


async def test_it_is_in_the_sessions_transaction(db):
    """What is pending goes first, and a rollback takes all."""

    async def block():
        async with db.begin() as session:
            session.add(deck := Deck(name="first"))
            deck.id = uuid.uuid4()
            await fastlane.copy_in(session, Card, [row(deck_id=deck.id)])
            assert await session.scalar(COUNT) == 1
            raise KeyError

    with pytest.raises(KeyError):
        await block()
    async with db.read() as session:
        assert await session.scalar(COUNT) == 0


async def test_a_transaction_of_another_engine_is_begun_first(db, database_url):
    """COPY as the first thing of a plain session is rolled back with it."""
    async with AsyncSession(db.engine) as session:
        await fastlane.copy_in(session, Card, [row()])
        await session.rollback()
        assert await session.scalar(COUNT) == 0


async def test_tables_and_names_that_must_be_quoted(db, tmp_path):
    """A table by the keys of its columns; identity and computed columns are the server's."""
    async with db.begin() as session:
        assert await fastlane.copy_in(session, ODD, [{"odd": 'x"y'}, {"odd": None}]) == 2
        assert await fastlane.fetch(session, select(ODD).order_by(ODD.c.number), into=as_dict) == [
            {"number": 1, "odd": 'x"y', "twice": 2},
            {"number": 2, "odd": None, "twice": 4},
        ]
        await fastlane.copy_out(session, select(ODD.c.odd), tmp_path / "odd.csv")
        statement = select(ODD.c.odd).where(ODD.c.odd == "x")
        with pytest.raises(ConfigurationError, match="COPY would take for a parameter"):
            await fastlane.copy_out(session, statement, tmp_path / "odd.csv")


async def test_the_schema_is_translated(db):
    """As everywhere on the connection."""
    async with db.begin() as session:
        await session.execute(text("CREATE TABLE decks_of_others (LIKE decks)"))
        await session.execute(text("CREATE SCHEMA other"))
        await session.execute(text("CREATE TABLE other.decks (LIKE decks)"))
    engine = db.engine.execution_options(schema_translate_map={None: "other"})
    async with AsyncSession(engine) as session:
        await fastlane.copy_in(session, Deck, [{"name": "there"}])
        await session.commit()
    async with db.read() as session:
        assert await session.scalar(text("SELECT count(*) FROM other.decks")) == 1
        assert await session.scalar(text("SELECT count(*) FROM decks")) == 0


@pytest.mark.parametrize(
    ("rows", "number", "key", "said"),
    [
        ([row(colour="red")], 1, "colour", "cards has no such column, but id, "),
        ([{"name": "Ant", "kind": Kind.BEAST}], 1, "data", "missing, and has no default"),
        ([row(), row(note="x")], 2, "note", "the first row does not have it"),
        ([row(note="x"), row()], 2, "note", "missing, and the first row has it"),
        ([row(), row(kind="dragon")], 2, "kind", "is no Kind; it has 'beast', 'spell'"),
        ([row(), row(data={1, 2})], 2, "data", "type set is not JSON serializable"),
        ([row(), row(data=float("nan"))], 2, "data", "not JSON compliant"),
        ([row(cost=1), row(cost="secret")], 2, "cost", "is of type str, and has to be an int"),
        ([row(cost=1), row(cost=2**40)], 2, "cost", "does not fit into 32 bits"),
        ([row(), ("Ant",)], 2, None, "a tuple is no mapping"),
        (["Ant"], 1, None, "a str is no mapping"),
    ],
)  # fmt: skip
async def test_a_row_that_does_not_fit_is_named(db, rows, number, key, said):
    """Nothing is stored, no value is shown, and the transaction goes on."""
    async with db.begin() as session:
        await fastlane.copy_in(session, Card, [row("kept")])
        with pytest.raises(RowError, match=said) as error:
            await fastlane.copy_in(session, Card, rows)
        await fastlane.copy_in(session, Card, [row("kept too")])

    async with db.read() as session:
        assert await session.scalar(COUNT) == 2
    assert (error.value.number, error.value.key) == (number, key)
    assert str(error.value).startswith(f"row {number}")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("count", [1, 150, 5000])
async def test_an_error_of_the_source_takes_all_back(db, count):
    """It comes out as it is, and the session's transaction goes on."""

    def rows():
        yield from (row(str(number)) for number in range(count))
        raise TypeError("mine")

    async with db.begin() as session:
        with pytest.raises(TypeError, match="mine"):
            await fastlane.copy_in(session, Card, rows())
        with pytest.raises(TypeError, match="mine"):
            await fastlane.copy_in(session, Card, awaited(rows()))
        await fastlane.copy_in(session, Card, [row("kept")])
    async with db.read() as session:
        assert await session.scalar(COUNT) == 1


async def test_an_error_of_the_server_takes_all_back(db):
    """It is SQLAlchemy's, and the session's transaction goes on."""
    async with db.begin() as session:
        with pytest.raises(IntegrityError) as error:
            await fastlane.copy_in(session, Deck, [{"name": name} for name in "abca"])
        await fastlane.copy_in(session, Deck, [{"name": "kept"}])
    async with db.read() as session:
        assert (await session.scalars(select(Deck.name))).all() == ["kept"]
    assert error.value.orig.sqlstate == "23505"
    assert not error.value.connection_invalidated


async def test_a_value_that_only_the_driver_knows_is_named_by_its_row(db):
    """Of a type that nobody looks at before; the value is not shown."""
    async with db.begin() as session:
        with pytest.raises(RowError, match="row 2: the driver does not take one of") as error:
            await fastlane.copy_in(session, HOSTS, [{"at": "::1"}, {"at": "secret"}])
        assert await fastlane.copy_in(session, HOSTS, [{"at": "::1"}]) == 1

    assert "secret" not in str(error.value)


@pytest.mark.parametrize("snapshot", [False, True])
async def test_read_refuses_to_copy_in(db, snapshot):
    """Before anything is sent."""
    async with db.read(snapshot=snapshot) as session:
        with pytest.raises(ReadOnlyError, match=r"COPY cards \(name, card_kind.*inside read"):
            await fastlane.copy_in(session, Card, [row()])
        with pytest.raises(ReadOnlyError):
            await fastlane.copy_out(session, NAMES.with_for_update(), io.BytesIO())


class Looking(Base):
    """Defaults that COPY cannot have."""

    __tablename__ = "looking"

    id: Mapped[int] = mapped_column(primary_key=True)
    twice: Mapped[int] = mapped_column(
        default=lambda context: context.get_current_parameters()["id"] * 2
    )


class OfSql(Base):
    """A default that the server would have to run."""

    __tablename__ = "of_sql"

    id: Mapped[int] = mapped_column(Sequence("of_sql_ids"), primary_key=True)
    length: Mapped[int] = mapped_column(default=func.length("abc"))


@pytest.mark.parametrize("model", [Looking, OfSql])
async def test_a_default_that_needs_a_statement_is_refused(db, model):
    """A value in the row is taken instead."""
    async with db.begin() as session:
        with pytest.raises(ConfigurationError, match=r"the default of .* COPY"):
            await fastlane.copy_in(session, model, [{"id": 1}])
        whole = dict.fromkeys(model.__table__.columns.keys(), 1)
        assert await fastlane.copy_in(session, model, [whole]) == 1


class Animal(Base):
    """Several classes in one table."""

    __tablename__ = "animals"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}  # noqa: RUF012

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]


class Dog(Animal):
    """One of them."""

    __mapper_args__ = {"polymorphic_identity": "dog"}  # noqa: RUF012


class Cat(Animal):
    """One with a table of its own beside."""

    __tablename__ = "cats"
    __mapper_args__ = {"polymorphic_identity": "cat"}  # noqa: RUF012

    id: Mapped[int] = mapped_column(ForeignKey(Animal.id), primary_key=True)
    lives: Mapped[int]


async def test_a_subclass_says_what_it_is(db):
    """A serial key is the server's; two tables cannot be copied into at once."""
    async with db.begin() as session:
        await session.run_sync(lambda sync: Base.metadata.create_all(sync.connection()))
        await fastlane.copy_in(session, Dog, [{}, {}])
        [dog, _] = (await session.scalars(select(Animal).order_by(Animal.id))).all()
        with pytest.raises(ConfigurationError, match="columns in 2 tables"):
            await fastlane.copy_in(session, Cat, [{"lives": 9}])
        with pytest.raises(RowError, match="has no value"):
            await fastlane.copy_in(session, ODD, [{}])
        with pytest.raises(ConfigurationError, match="neither a mapped class nor a table"):
            await fastlane.copy_in(session, Name, [{"lives": 9}])
    assert (type(dog), dog.id) == (Dog, 1)


@contextmanager
def peak():
    """Give a function that says how many bytes more there were at most than at the beginning."""
    gc.collect()  # what others have left is no part of it, nor may it be collected meanwhile
    tracemalloc.start()
    try:
        yield lambda: most
    finally:
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()


async def test_memory_stays_what_it_is(db):
    """However many rows come, a few are held."""
    async with db.begin() as session:
        await fastlane.copy_in(session, Card, [row()])
        rows = (row(str(number) * 10) for number in range(16_000))
        with peak() as of_writing:
            await fastlane.copy_in(session, Card, rows)
        with peak() as of_reading:
            async for _ in fastlane.stream(session, NAMES, into=Name, batch=500):
                pass

    assert of_writing() < 4_000_000  # all rows are 11.4 MB
    assert of_reading() < 1_500_000  # all rows are 4.4 MB


async def test_copy_out_writes_to_files_and_functions(db, tmp_path):
    """A path, a binary file, an asynchronous function; CSV has the names first."""
    pieces = []

    async def sink(piece):
        pieces.append(piece)

    file = io.BytesIO()
    async with db.begin() as session:
        await fastlane.copy_in(session, Card, [row("Ant"), row('B"e,a\nr')])
        statement = select(Card.name, Card.kind, Card.data).where(Card.kind == Kind.BEAST)
        statement = statement.order_by(Card.name)
        for to in (tmp_path / "cards.csv", file, sink):
            assert await fastlane.copy_out(session, statement, to) == 2

    text_ = (tmp_path / "cards.csv").read_bytes()
    assert file.getvalue() == b"".join(pieces) == text_
    read = list(csv.DictReader(io.StringIO(text_.decode(), newline="")))
    assert [each["name"] for each in read] == ["Ant", 'B"e,a\nr']
    assert read[0]["card_kind"] == "beast"


async def test_copy_out_in_read(db):
    """It is one statement, which needs no transaction."""
    async with db.begin() as session:
        await fastlane.copy_in(session, Card, [row()])
    for format_, begins in (("csv", b"name\nAnt\n"), ("text", b"Ant\n"), ("binary", b"PGCOPY\n")):
        file = io.BytesIO()
        async with db.read() as session:
            count = await fastlane.copy_out(session, NAMES, file, format=format_)
        assert count == 1
        assert file.getvalue().startswith(begins)


async def test_what_is_copied_out_can_be_copied_in(db, outside):
    """The server's own binary form, and every value is as it was."""
    file = io.BytesIO()
    async with db.begin() as session:
        rows = [
            {"id": number, "text": f"{number}\\\t\n", "data": {"a": number}} for number in (1, 2)
        ]
        await fastlane.copy_in(session, Everything, rows)
        before = await fastlane.fetch(session, select(Everything), into=as_dict)
        await fastlane.copy_out(session, select(Everything), file, format="binary")
        await session.execute(text("TRUNCATE everything"))
    file.seek(0)
    await outside.copy_to_table("everything", source=file, format="binary")
    async with db.read() as session:
        assert await fastlane.fetch(session, select(Everything), into=as_dict) == before


async def test_values_in_copy_out_go_through_their_types(db):
    """A parameter becomes a literal of the server's."""
    file = io.BytesIO()
    async with db.begin() as session:
        await fastlane.copy_in(session, Card, [row("it's"), row("Bear")])
        name = literal("it's")  # which is one parameter at two places
        wanted = NAMES.where(Card.name == name, Card.name == name, Card.kind.in_([Kind.BEAST]))
        assert await fastlane.copy_out(session, wanted, file, format="text") == 1
    assert file.getvalue() == b"it's\n"
