"""`fetch` and `fetch_one`: a `select()` as typed rows, where the session is."""

from decimal import Decimal
from typing import NamedTuple

import pytest
from sqlalchemy import (
    Float,
    Numeric,
    bindparam,
    cast,
    delete,
    event,
    func,
    insert,
    literal,
    select,
    text,
    true,
    union_all,
)
from sqlalchemy.exc import DBAPIError, InvalidRequestError, MultipleResultsFound
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import (
    aliased,
    column_property,
    joinedload,
    load_only,
    selectinload,
    with_loader_criteria,
)
from tests.fastlane.conftest import TYPES, Card, CardTuple, Deck, Kind, Name, asyncpg_url

from holdfast import fastlane
from holdfast.database import Database
from holdfast.errors import ConfigurationError, InvalidValueError, ReadOnlyError

ALL = select(Card.name, Card.kind, Card.data).order_by(Card.name)
BY_NAME = select(Card.name).where(Card.name == bindparam("name"))
NAMES = select(Card.name).order_by(Card.name)


class Value(NamedTuple):
    """One value of a select."""

    value: object


def as_dict(**values):
    return values


def write(name):
    return Card(name=name, kind=Kind.SPELL, data={})


@pytest.mark.parametrize("into", TYPES)
async def test_rows_are_of_the_callers_type(db, cards, into):
    """A struct, dataclass, tuple or model has what the columns' types load."""
    async with db.read() as session:
        rows = await fastlane.fetch(session, ALL, into=into)

    assert rows == [into(name=name, kind=Kind.BEAST, data={"of": name}) for name in cards]


async def test_a_function_with_names_makes_rows(db, cards):
    """Any callable with named arguments will do, and one that takes any."""
    async with db.read() as session:
        names = await fastlane.fetch(session, NAMES, into=lambda name: name.upper())
        rows = await fastlane.fetch(session, NAMES, into=as_dict)

    assert names == ["ANT", "BEAR"]
    assert rows == [{"name": "Ant"}, {"name": "Bear"}]


async def test_a_default_of_the_type_needs_no_column(db, cards):
    """A field with a default may be left out of the statement."""

    def row(name, note="none"):
        return name, note

    async with db.read() as session:
        assert await fastlane.fetch(session, NAMES.limit(1), into=row) == [("Ant", "none")]


def of_cards(name, kind):
    """Take two columns."""
    return name, kind


@pytest.mark.parametrize(
    ("statement", "into", "said"),
    [
        (select(Card.name, Card.cost), Name, "Name has no field for the column 'cost'"),
        (select(Card.name), CardTuple, "no column for CardTuple's 'kind', 'data'"),
        (select(Card.name, Card.cost), of_cards, "column 'cost'; .* of_cards's 'kind'"),
        (select(Card.name, Deck.name), Name, "no field for the column 'name_1'"),
        (select(Card.cost + 1), Name, "column 1 of the statement has no name"),
        (select(text("name")), Name, "column 1 of the statement has no name"),
        (select(Card.name), 5, "into is 5"),
        (text("SELECT 1 AS name"), Name, "not TextClause"),
        (delete(Card).returning(Card.name), Name, "not .*Delete"),
    ],
)
async def test_what_does_not_match_is_an_error_before_sql(db, sent, statement, into, said):
    """Both sides are named, and nothing is sent."""
    async with db.read() as session:
        with pytest.raises(ConfigurationError, match=said):
            await fastlane.fetch(session, statement, into=into)

    assert sent == []


@pytest.mark.parametrize(
    "option", [selectinload(Deck.cards), joinedload(Deck.cards), load_only(Deck.name)]
)
async def test_options_for_loading_objects_are_refused(db, option):
    """There are no objects to load."""
    async with db.read() as session:
        with pytest.raises(ConfigurationError, match="options for loading"):
            await fastlane.fetch(session, select(Deck).options(option), into=as_dict)


async def test_a_class_stands_for_its_columns(db, cards):
    """Attributes are the names, and what would be joined for objects is not."""
    async with db.begin() as session:
        session.add(Deck(name="first"))
    deck = aliased(Deck)
    async with db.read() as session:
        [card, _] = await fastlane.fetch(
            session, select(Card).where(Card.cost == 1).order_by(Card.name), into=as_dict
        )
        [row] = await fastlane.fetch(
            session, select(deck).where(deck.name == "first"), into=as_dict
        )

    assert card["kind"] is Kind.BEAST
    assert set(card) == set(Card.__mapper__.column_attrs.keys())
    assert set(row) == {"id", "name"}


async def test_criteria_are_kept(db, cards):
    """An option that adds to WHERE is no option for loading."""
    only = with_loader_criteria(Card, Card.name == "Ant")
    async with db.read() as session:
        for statement in (select(Card), select(Card.name)):
            rows = await fastlane.fetch(session, statement.options(only), into=as_dict)
            assert [row["name"] for row in rows] == ["Ant"]


async def test_a_value_of_the_model_stays_in_its_place(db, cards):
    """An expression of the class has a value of its own, which no value of the statement takes."""

    class Dear(Card):
        dear = column_property(Card.__table__.c.cost * 10)

    async with db.read() as session:
        for name in cards:
            statement = select(Dear).where(Dear.name == name)
            [row] = await fastlane.fetch(session, statement, into=as_dict)
            assert (row["name"], row["dear"]) == (name, 10)


async def test_values_are_those_of_this_statement(db, cards):
    """Statements of one form share what was prepared, and nothing else."""
    async with db.read() as session:
        for names in (["Ant"], ["Bear"], ["Ant", "Bear"], []):
            statement = NAMES.where(Card.name.in_(names), Card.cost > len(names) - 3)
            assert await fastlane.fetch(session, statement, into=lambda name: name) == names
        for name in cards:
            [row] = await fastlane.fetch(session, BY_NAME, {"name": name}, into=Name)
            assert row == Name(name)
            given = BY_NAME.params(name=name)
            assert await fastlane.fetch(session, given, into=Name) == [Name(name)]


async def test_values_go_through_their_types(db, cards):
    """An enum as a value, in a list and as a parameter."""
    in_list = NAMES.where(Card.kind.in_([Kind.BEAST, Kind.SPELL]))
    parameter = NAMES.where(Card.kind.in_(bindparam("kinds", expanding=True)))
    async with db.read() as session:
        for statement in (NAMES.where(Card.kind == Kind.BEAST), in_list):
            assert await fastlane.fetch(session, statement, into=Name) == [*map(Name, cards)]
        found = await fastlane.fetch(session, parameter, {"kinds": [Kind.SPELL]}, into=Name)
        assert found == []
        with pytest.raises(InvalidValueError, match=r"cards\.card_kind is no Kind"):
            await fastlane.fetch(session, NAMES.where(Card.kind == "dragon"), into=Name)


async def test_parameters_must_be_the_statements(db):
    """One too many is named, and so is a missing one."""
    async with db.read() as session:
        with pytest.raises(ConfigurationError, match="no parameter 'nmae'; it has 'name'"):
            await fastlane.fetch(session, BY_NAME, {"nmae": "Ant"}, into=Name)
        with pytest.raises(InvalidRequestError, match="name"):
            await fastlane.fetch(session, BY_NAME, into=Name)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (func.avg(Card.cost), Decimal(1)),
        (cast(literal(1.5), Numeric(10, 2)), Decimal("1.50")),
        (cast(literal(1.5), Float), 1.5),
        (func.count(), 2),
        (cast(literal(1.5), Float(asdecimal=True)), Decimal("1.5")),
        (func.coalesce(func.max(Card.note), None), None),
    ],
)
async def test_numbers_are_what_sqlalchemy_gives(db, cards, expression, value):
    """Whatever the server's type is, the type of the expression decides."""
    statement = select(expression.label("value")).select_from(Card).limit(1)
    async with db.read() as session:
        [row] = await fastlane.fetch(session, statement, into=Value)
        plain = await session.scalar(statement)

    assert (row.value, type(row.value)) == (value, type(value)) == (plain, type(plain))


async def test_unions_and_ctes_are_selects(db, cards):
    """Whatever gives columns by name."""
    both = union_all(select(Card.name), select((Card.name + "!").label("name")))
    of_cte = select(NAMES.cte().c.name)
    async with db.read() as session:
        assert len(await fastlane.fetch(session, both, into=Name)) == 4
        assert len(await fastlane.fetch(session, of_cte, into=Name)) == 2


async def test_one_row_none_or_an_error(db, cards):
    """More than one is said to be more, rather than one of them given."""
    async with db.read() as session:
        one = await fastlane.fetch_one(session, BY_NAME, {"name": "Ant"}, into=Name)
        none = await fastlane.fetch_one(session, BY_NAME, {"name": "Zoo"}, into=Name)
        with pytest.raises(MultipleResultsFound, match="2 rows"):
            await fastlane.fetch_one(session, NAMES, into=Name)

    assert (one, none) == (Name("Ant"), None)


async def test_it_is_in_the_sessions_transaction(db, cards):
    """It sees what the session added, and what it locks is free again after a rollback."""

    async def block():
        async with db.begin() as session:
            session.add(write("Cat"))
            rows = await fastlane.fetch(session, NAMES.with_for_update(), into=Name)
            assert rows[-1] == Name("Cat")
            raise KeyError

    with pytest.raises(KeyError):
        await block()
    async with db.read() as session:
        assert len(await fastlane.fetch(session, NAMES, into=Name)) == 2


async def test_autoflush_can_be_switched_off(db):
    """As for any statement of the session."""
    async with db.begin() as session:
        session.add(write("Cat"))
        with session.no_autoflush:
            assert await fastlane.fetch(session, NAMES, into=Name) == []


async def test_a_transaction_of_another_engine_is_begun_first(db, cards, outside):
    """What was written as the first thing is taken back with the rest."""
    engine = create_async_engine(db.engine.url)
    gone = delete(Card).returning(Card.name).cte()
    async with AsyncSession(engine) as session:
        rows = await fastlane.fetch(session, select(gone.c.name), into=Name)
        await session.rollback()
    await engine.dispose()

    assert len(rows) == 2
    assert await outside.fetchval("SELECT count(*) FROM cards") == 2


@pytest.mark.parametrize("snapshot", [False, True])
async def test_read_refuses_what_writes(db, cards, snapshot):
    """A select that deletes is refused as it is from the session itself."""
    gone = delete(Card).returning(Card.name).cte()
    for statement in (select(gone.c.name), NAMES.with_for_update()):
        async with db.read(snapshot=snapshot) as session:
            with pytest.raises(ReadOnlyError):
                await fastlane.fetch(session, statement, into=Name)
    async with db.read(snapshot=snapshot) as session:
        session.add(cat := write("Cat"))
        with pytest.raises(ReadOnlyError, match="a changed Card"):
            await fastlane.fetch(session, NAMES, into=Name)
        session.expunge(cat)


async def test_an_engine_reads_without_a_transaction(db, cards, sent):
    """One statement on a connection of its own; one that writes needs a session."""
    rows = await fastlane.fetch(db.engine, NAMES, into=Name)
    one = await fastlane.fetch_one(db.engine, BY_NAME, {"name": "Ant"}, into=Name)
    gone = insert(Deck).values(name="x").returning(Deck.name).cte()
    with pytest.raises(ConfigurationError, match="the statement writes"):
        await fastlane.fetch(db.engine, select(gone.c.name), into=Name)

    assert (rows, one) == ([*map(Name, cards)], Name("Ant"))
    assert len(sent) == 2


async def test_events_see_it(db, cards, sent):
    """Who counts, times or changes statements sees those of the driver."""
    ended = []

    @event.listens_for(db.engine.sync_engine, "after_cursor_execute")
    def note(_conn, _cursor, sql, parameters, _context, _many):
        ended.append((sql, parameters))

    @event.listens_for(db.engine.sync_engine, "before_cursor_execute", retval=True)
    def comment(_conn, _cursor, sql, parameters, _context, _many):
        return f"{sql} -- said", parameters

    async with db.begin() as session:
        await fastlane.fetch(session, BY_NAME, {"name": "Ant"}, into=Name)

    [(sql, parameters)] = ended
    assert sql == f"{sent[-1]} -- said"
    assert parameters == ("Ant",)


async def test_a_listener_of_the_session_is_not_passed_by(db):
    """One that may add criteria would not see the statement."""
    async with db.session() as session:
        event.listen(session.sync_session, "do_orm_execute", lambda _state: None)
        with pytest.raises(ConfigurationError, match="do_orm_execute"):
            await fastlane.fetch(session, NAMES, into=Name)


async def test_schemas_are_translated(db):
    """As the connection has it, and not as another had it."""
    async with db.begin() as session:
        await session.execute(text("CREATE SCHEMA other"))
        await session.execute(text("CREATE TABLE other.cards AS SELECT 'Elk' AS name"))
    other = db.engine.execution_options(schema_translate_map={None: "other"})
    async with AsyncSession(other) as there, db.read() as here:
        assert await fastlane.fetch(there, NAMES, into=Name) == [Name("Elk")]
        assert await fastlane.fetch(here, NAMES, into=Name) == []


async def test_without_prepared_statements(database_url, db, cards):
    """As behind a pooler: nothing has a name on the server."""
    engine = create_async_engine(
        asyncpg_url(database_url),
        connect_args={"statement_cache_size": 0, "prepared_statement_cache_size": 0},
    )
    async with AsyncSession(engine) as session:
        assert await fastlane.fetch(session, NAMES, into=Name) == [*map(Name, cards)]
        assert [row async for row in fastlane.stream(session, NAMES, into=Name)] == [
            *map(Name, cards)
        ]
        row = {"name": "Cat", "kind": Kind.SPELL, "data": {"a": [1]}}
        assert await fastlane.copy_in(session, Card, [row]) == 1
        assert await fastlane.fetch_one(session, BY_NAME, {"name": "Cat"}, into=Name)
        named = await session.scalar(text("SELECT count(*) FROM pg_prepared_statements"))
    await engine.dispose()

    assert named == 0


async def test_a_changed_table_is_read_on(db, cards):
    """A plan that the server no longer takes is made anew, where no transaction is lost by it."""
    async with db.read() as session:
        await fastlane.fetch(session, NAMES, into=Name)
        async with db.begin() as other:
            await other.execute(text("ALTER TABLE cards ALTER name TYPE varchar(99)"))
        assert len(await fastlane.fetch(session, NAMES, into=Name)) == 2


@pytest.mark.parametrize("driver", ["psycopg", "sqlite"])
async def test_other_drivers_are_refused(database_url, tmp_path, driver):
    """The error says what to use instead."""
    urls = {
        "psycopg": database_url.replace("postgresql://", "postgresql+psycopg://", 1),
        "sqlite": f"sqlite:///{tmp_path}/cards.db",
    }
    db = Database(urls[driver])
    for block in (db.read, db.session):
        async with block() as session:
            for call in (
                fastlane.fetch(session, NAMES, into=Name),
                fastlane.fetch(db.engine, NAMES, into=Name),
                fastlane.copy_in(session, Card, [{"name": "a", "kind": Kind.BEAST, "data": {}}]),
                fastlane.copy_out(session, NAMES, tmp_path / "out.csv"),
                anext(fastlane.stream(session, NAMES, into=Name)),
            ):
                with pytest.raises(
                    ConfigurationError, match=r"asyncpg only.*session\.execute.*session\.stream"
                ):
                    await call
    await db.close()


async def test_a_failed_statement_is_sqlalchemys_error(db):
    """Class, SQLSTATE and hidden values are those of `session.execute`."""
    wrong = select((1 / (func.length(literal("secret")) - 6)).label("value")).where(true())
    async with db.session() as session:
        with pytest.raises(DBAPIError) as plain:
            await session.execute(wrong)
        await session.rollback()
        with pytest.raises(DBAPIError) as lane:
            await fastlane.fetch(session, wrong, into=Value)
        await session.rollback()
        assert await fastlane.fetch(session, NAMES, into=Name) == []

    assert type(lane.value) is type(plain.value)
    assert type(lane.value.orig) is type(plain.value.orig)
    assert lane.value.orig.sqlstate == plain.value.orig.sqlstate == "22012"
    assert lane.value.connection_invalidated is False
    assert "secret" not in str(lane.value)
