"""A row that cannot be copied is named by its table and key, and nothing is in the target."""

import sqlite3
import uuid
from contextlib import closing

import pytest
from tests.transfer.conftest import Pair
from tests.transfer.shop import Base

from holdfast.errors import TransferError

KEY = uuid.UUID(int=1)
# What SQLite takes, and what is said of it.
VALUES = [
    ("flag", "2", "flag: its type does not take an integer as it is: KeyError"),
    ("flag", "'no'", "flag: it holds a text, which its type does not know"),
    ("share", "'much'", "share: it holds a text"),
    ("price", "'much'", "price: its type does not take a text as it is: InvalidOperation"),
    ("price", "12345678901.0", "the target does not take it: numeric field overflow"),
    ("held", "'text'", "held: it holds a text"),
    ("held", "5", "held: it holds an integer"),
    ("local", "'yesterday'", "local: its type does not take a text as it is: ValueError"),
    ("local", "'2026-01-01 00:00:00+01:00'", "the driver does not take one of its values"),
    ("zoned", "5", "zoned: it holds an integer"),
    ("zoned", "'soon'", "zoned: its type does not take a text as it is: ValueError"),
    ("day", "'2026-02-30'", "day: its type does not take a text as it is: ValueError"),
    ("hour", "'25:00:00'", "hour: its type does not take a text as it is: ValueError"),
    ("span", "'long'", "span: its type does not take a text as it is: ValueError"),
    ("guid", "'x'", "guid: its type does not take a text as it is: ValueError"),
    ("data", "'{'", "data: its type does not take a text as it is: JSONDecodeError"),
    ("data", "X'7B7D'", "data: it holds a blob"),
    ("data", """'{"a": NaN}'""", "the target does not take it: invalid input syntax for type json"),
    ("data", """'{"a": "\\u0000"}'""", "the target does not take it: unsupported Unicode escape"),
    ("data", """'{"a": "\\ud800"}'""", "it has a text with half a character"),
    ("mood", "'SOSO'", "the target does not take it: invalid input value for enum"),
    ('"order"', "'longer than ten'", "the target does not take it: value too long for type"),
    ('"order"', "'a' || char(0)", "order: has a NUL character at index 1"),
    ('"order"', "CAST(X'C328' AS TEXT)", "order: it holds a text that is no UTF-8"),
    ('"order"', "X'61'", "order: it holds a blob"),
]


async def broken(pair: Pair, column: str, value: str) -> TransferError:
    """Copy three rows, of which the middle one has something."""
    await pair.migrate(pair.source)
    insert = f"INSERT INTO everything (id, {column}) VALUES"
    await pair.run(
        pair.source, f"{insert} (1, NULL)", f"{insert} (2, {value})", f"{insert} (3, NULL)"
    )
    with pytest.raises(TransferError) as refused:
        await pair.copy()
    return refused.value


async def require_empty(pair: Pair) -> None:
    """See that nothing is there, and that it can be filled afterwards."""
    for name in Base.metadata.tables:
        assert await pair.ask(pair.target, f'SELECT count(*) FROM "{name}"') == [(0,)]


@pytest.mark.parametrize(("column", "value", "said"), VALUES)
async def test_a_value_that_is_none_of_its_type(upward, column, value, said):
    """SQLite keeps anything in any column; nothing is made to fit."""
    error = await broken(upward, column, value)

    assert (error.table, error.key) == ("everything", {"id": 2})
    assert str(error).startswith("everything, id 2: ")
    assert said in str(error)
    assert str(error).endswith("No row was copied")
    await require_empty(upward)


@pytest.mark.parametrize("value", ["'seven'", "1.5", "5000000000"])
async def test_an_integer_that_is_none(upward, value):
    """The driver would write 1 for 1.5."""
    await upward.migrate(upward.source)
    await upward.run(upward.source, f'INSERT INTO "Order lines" ("select") VALUES (1), ({value})')

    with pytest.raises(TransferError, match=r"^Order lines: row 2 as they are read: ") as refused:
        await upward.copy()
    assert refused.value.table == "Order lines"
    await require_empty(upward)


async def test_what_the_servers_constraints_refuse(upward):
    """By the row that comes second, wherever it is among many."""
    await upward.migrate(upward.source, upward.target)
    await upward.run(upward.target, "ALTER TABLE everything ADD UNIQUE (share)")
    some = ", ".join(f"({number}, {number}.5)" for number in range(1, 2500))
    await upward.run(
        upward.source, f"INSERT INTO everything (id, share) VALUES {some}, (9000, 2.5), (9001, 7e9)"
    )

    with pytest.raises(TransferError, match="duplicate key value violates") as refused:
        await upward.copy()
    assert (refused.value.table, refused.value.key) == ("everything", {"id": 9000})
    assert "2.5" not in str(refused.value)
    await require_empty(upward)


@pytest.mark.parametrize(
    ("index", "said"),
    [
        ('UNIQUE INDEX odd ON everything ("order")', "UNIQUE constraint failed"),
        ("INDEX odd ON everything (json_extract(\"order\", '$'))", "malformed JSON"),
    ],
)
async def test_what_sqlites_constraints_refuse(make_pair, index, said):
    """Of a piece of rows, the one is found."""
    pair = make_pair("postgresql", "sqlite")
    await pair.migrate(pair.source, pair.target)
    await pair.run(pair.target, f"CREATE {index}")
    some = "SELECT number, number::text FROM generate_series(1, 700) AS all_of_them (number)"
    await pair.run(
        pair.source,
        f'INSERT INTO everything (id, "order") {some}',
        "INSERT INTO everything (id, \"order\") VALUES (701, '\"'), (702, '\"'), (703, '703')",
    )

    with pytest.raises(TransferError, match=said) as refused:
        await pair.copy()
    assert refused.value.table == "everything"
    assert refused.value.key == {"id": 702 if "UNIQUE" in said else 701}
    await require_empty(pair)


@pytest.mark.parametrize("value", ["'NaN'", "'NaN', 'NaN'"])
async def test_what_the_target_does_not_keep(make_pair, value):
    """It is noticed by reading back: SQLite has no NaN and makes NULL of it."""
    pair = make_pair("postgresql", "sqlite")
    await pair.migrate(pair.source)
    names = "share" if value == "'NaN'" else "share, price"
    await pair.run(
        pair.source,
        "INSERT INTO everything (id, share) SELECT number, number FROM generate_series(1, 900) "
        "AS all_of_them (number)",
        f"INSERT INTO everything (id, {names}) VALUES (5000, {value})",
    )

    with pytest.raises(TransferError, match=rf"^everything, id 5000: {names}: what the target"):
        await pair.copy()
    await require_empty(pair)


async def test_a_key_that_the_target_does_not_keep(upward):
    """Then a row is missing, and it is that one."""
    models = (
        "import sqlalchemy as sa\nfrom sqlalchemy.orm import DeclarativeBase\n"
        "class Base(DeclarativeBase): pass\n"
        "sa.Table('sizes', Base.metadata, sa.Column('size', sa.REAL, primary_key=True))"
    )
    up = "op.create_table('sizes', sa.Column('size', sa.REAL, primary_key=True))"
    upward.write(models, up)
    await upward.migrate(upward.source)
    await upward.run(upward.source, "INSERT INTO sizes VALUES (0.5), (0.1), (0.25)")

    with pytest.raises(TransferError, match=r"^sizes, size 0.1: size: what the target gives back"):
        await upward.copy()


async def test_rows_that_the_target_drops(make_pair):
    """They are counted; without a primary key, nothing tells which."""
    pair = make_pair("postgresql", "sqlite")
    await pair.migrate(pair.source, pair.target)
    await pair.run(
        pair.target,
        'DROP TABLE "Order lines"',
        'CREATE TABLE "Order lines" ("select" INTEGER UNIQUE ON CONFLICT IGNORE, "with:colon")',
    )
    await pair.run(pair.source, 'INSERT INTO "Order lines" ("select") VALUES (1), (1)')

    with pytest.raises(TransferError, match=r"^Order lines: the target gives back other rows"):
        await pair.copy()


@pytest.mark.parametrize("statement", [
    "INSERT INTO workers (name, zone) VALUES ('Ann', '{other}')",
    "INSERT INTO areas (id, within) VALUES ('{other}', '{third}')",
])  # fmt: skip
async def test_a_row_that_refers_to_none(to_any, statement):
    """As SQLite keeps them where nobody switched its foreign keys on."""
    key, other, third = (uuid.UUID(int=number).hex for number in (1, 2, 3))
    await to_any.migrate(to_any.source)
    await to_any.run(to_any.source, f"INSERT INTO areas (id, within) VALUES ('{key}', '{key}')")
    loose(to_any.source, statement.format(other=other, third=third))

    with pytest.raises(TransferError, match="to a row that areas does not") as refused:
        await to_any.copy()
    assert refused.value.table in {"workers", "areas"}
    assert list(refused.value.key.values()) in (["Ann"], [uuid.UUID(int=2)])
    await require_empty(to_any)

    loose(to_any.source, "DELETE FROM workers", f"DELETE FROM areas WHERE id = '{other}'")
    assert (await to_any.copy()).rows == 1


def loose(url: str, *statements: str) -> None:
    """Write as somebody does who keeps no foreign keys."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
        for each in statements:
            connection.execute(each)


async def test_an_interval_of_months(across):
    """Python's timedelta has none: it would arrive as 30 days."""
    await across.migrate(across.source)
    await across.run(
        across.source,
        "INSERT INTO everything (id, span) VALUES (1, '40 days'), (2, '1 month'), (3, '2 years')",
    )

    with pytest.raises(TransferError, match=r"^everything, id 2: span: it holds months"):
        await across.copy()
    await require_empty(across)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("day", "20000-01-01", "a day at or beyond the ends"),
        ("day", "0044-03-15 BC", "a day at or beyond the ends"),
        ("day", "9999-12-31", "a day at or beyond the ends"),
        ("local", "20000-01-01", "a time at or beyond the ends"),
        ("zoned", "9999-12-31 23:59:59.999999+00", "a time at or beyond the ends"),
        ("hour", "24:00", "24:00, which"),
    ],
)
async def test_a_time_that_python_does_not_have(across, column, value, said):
    """The driver would not read it, or write infinity for it."""
    await across.migrate(across.source)
    insert = f"INSERT INTO everything (id, {column}) VALUES"
    await across.run(across.source, f"{insert} (1, NULL)", f"{insert} (2, '{value}')")

    with pytest.raises(TransferError, match=f"^everything, id 2: {column}: it holds {said}"):
        await across.copy()
    await require_empty(across)


async def test_infinity(make_pair):
    """It arrives where there is one, and is not made the last day of a calendar elsewhere."""
    across, down = make_pair("postgresql", "postgresql"), make_pair("postgresql", "sqlite")
    await across.migrate(across.source)
    await across.run(
        across.source,
        "INSERT INTO everything (id, day, zoned) VALUES (1, 'infinity', '-infinity')",
    )

    with pytest.raises(TransferError, match=r"^everything, id 1: zoned: it holds a time at"):
        await down.copy()
    assert (await across.copy()).rows == 1
    sql = "SELECT CAST(day AS text), CAST(zoned AS text) FROM everything"
    assert await across.ask(across.target, sql) == [("infinity", "-infinity")]


async def test_a_value_that_the_driver_cannot_read(across):
    """Within an array it is not looked for, and the table is named."""
    across.write(
        "import sqlalchemy as sa\nfrom sqlalchemy.orm import DeclarativeBase\n"
        "class Base(DeclarativeBase): pass\n"
        "key = sa.Column('id', sa.Integer, primary_key=True)\n"
        "sa.Table('days', Base.metadata, key, sa.Column('all', sa.ARRAY(sa.Date)))",
        "op.execute('CREATE TABLE days (id int PRIMARY KEY, \"all\" date[])')",
    )
    await across.migrate(across.source)
    await across.run(across.source, "INSERT INTO days VALUES (1, '{20000-01-01}')")

    with pytest.raises(TransferError, match=r"^days: the driver cannot read a value of it: Value"):
        await across.copy()


async def test_tables_that_inherit(across):
    """What is read of the one has the rows of the other: they would arrive twice."""
    across.write(
        "import sqlalchemy as sa\nfrom sqlalchemy.orm import DeclarativeBase\n"
        "class Base(DeclarativeBase): pass\n"
        "for name in 'cities', 'capitals':\n"
        "    sa.Table(name, Base.metadata, sa.Column('id', sa.Integer, primary_key=True))",
        "op.execute('CREATE TABLE cities (id int PRIMARY KEY)'); "
        "op.execute('CREATE TABLE capitals () INHERITS (cities)')",
    )
    await across.migrate(across.source)

    with pytest.raises(TransferError, match="other tables inherit from cities, so that their"):
        await across.copy()
