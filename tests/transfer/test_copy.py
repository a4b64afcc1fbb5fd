"""Every row goes from either engine to either, and is what it was."""

import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import insert, update
from tests.transfer.conftest import QUIET
from tests.transfer.shop import LINES, Base, Everything, Kind, Mood, Worker, Zone

from holdfast import transfer
from holdfast.database import Database
from holdfast.errors import ConfigurationError
from holdfast.events import Events
from holdfast.testing import count_statements

TABLES = Base.metadata.tables
FIRST, SECOND = uuid.UUID(int=1), uuid.UUID(int=2)
WHEN = datetime(2026, 2, 3, 4, 5, 6, 7, tzinfo=UTC)
EVERYTHING = [
    {
        "id": 7,
        "kind": Kind.GAME,
        "mood": Mood.BAD,
        "data": {"b": [1, -1.5, 1e20, 1e-7, "é\u2028", None], "a": {"": True}},
        "plain": {"z": 0.1, "a": [12345678901234567890]},
        "flag": True,
        "share": 0.1,
        "price": Decimal("1234567.89"),
        "held": b"\0\xff",
        "local": datetime(2026, 2, 3, 4, 5, 6),  # noqa: DTZ001
        "zoned": WHEN,
        "day": date(2026, 2, 3),
        "hour": time(4, 5, 6, 7),
        "span": timedelta(days=3, microseconds=1),
        "guid": FIRST,
        "order": "o\"'é",
        "created_at": WHEN,
        "updated_at": WHEN,
    },
    {"id": 3, "flag": False, "share": -0.0, "price": Decimal("0.10"), "data": [], "order": ""},
    {"id": 2, "data": 1.0, "plain": None},
]


async def fill(url: str) -> None:
    """Write what is difficult."""
    async with Database(url, events=QUIET) as db, db.begin() as session:
        await session.execute(insert(Zone).values(id=SECOND, within=SECOND))
        await session.execute(insert(Zone).values(id=FIRST, within=SECOND))
        await session.execute(insert(Worker).values(name="Ann", zone=FIRST))
        await session.execute(update(Zone).values(manager="Ann"))
        for each in EVERYTHING:
            await session.execute(insert(Everything).values(**each))
        lines = [{"select": 1, "with:colon": "a"}] * 2 + [{"select": None, "with:colon": None}]
        await session.execute(insert(LINES), lines)


def instants(rows):
    """Give SQLite's times their zone, which it drops."""
    zoned = [each.name for each in TABLES["everything"].columns].index("zoned")
    return [
        tuple(
            each.replace(tzinfo=UTC) if at == zoned and isinstance(each, datetime) else each
            for at, each in enumerate(row)
        )
        for row in rows
    ]


async def test_every_value_arrives(pair):
    """Each type, references in a circle and to oneself, no key, a computed column, odd names."""
    await pair.migrate(pair.source)
    await fill(pair.source)

    copied = await pair.copy()

    assert {each.name: each.rows for each in copied.tables} == {
        "areas": 2, "workers": 1, "everything": 3, "Order lines": 3,
    }  # fmt: skip
    for table in TABLES.values():
        was, came = await pair.rows(pair.source, table), await pair.rows(pair.target, table)
        assert instants(came) == instants(was), table.name


async def test_a_digest_is_the_same_on_all_engines(make_pair):
    """There and back and there, and another content has another one."""
    pair = make_pair("sqlite", "postgresql")
    await pair.migrate(pair.source)
    await fill(pair.source)
    up = await pair.copy()
    files = f"{pair.source}.back"
    async with Database(pair.target, events=QUIET) as new, Database(files, events=QUIET) as old:
        down = await transfer.copy(new, old, pair.config)
    await pair.run(files, "UPDATE everything SET flag = 1 WHERE id = 3")
    other = f"{pair.source}.other"
    async with Database(files, events=QUIET) as old, Database(other, events=QUIET) as new:
        changed = await transfer.copy(old, new, pair.config)

    assert up.tables == down.tables
    differ = {
        one.name for one, other in zip(up.tables, changed.tables, strict=True) if one != other
    }
    assert differ == {"everything"}


async def test_null_stays_null(pair):
    """Of JSON, too, where the type would make a document of it; and that document stays one."""
    await pair.migrate(pair.source)
    await pair.run(
        pair.source,
        "INSERT INTO everything (id, plain) VALUES (1, NULL)",
        "INSERT INTO everything (id, plain) VALUES (2, 'null')",
    )

    await pair.copy()

    found = await pair.ask(pair.target, "SELECT id, plain IS NULL FROM everything ORDER BY id")
    assert [(key, bool(is_null)) for key, is_null in found] == [(1, True), (2, False)]


async def test_numbers_of_documents_keep_their_digits(across):
    """What the driver would make of them has fewer."""
    await across.migrate(across.source)
    document = '{"a": 0.12345678901234567890123, "b": 1E+400, "c": 1.50}'
    await across.run(
        across.source,
        f"INSERT INTO everything (id, data, plain) VALUES (1, '{document}', '{document}')",
    )

    await across.copy()

    sql = "SELECT data::text, plain::text FROM everything"
    assert await across.ask(across.target, sql) == await across.ask(across.source, sql)


async def test_an_enum_that_the_models_do_not_have_is_moved_as_it_is(upward):
    """Newer code may have stored it."""
    await upward.migrate(upward.source)
    await upward.run(upward.source, "INSERT INTO everything (id, kind) VALUES (1, 'record')")

    await upward.copy()

    assert await upward.ask(upward.target, "SELECT kind FROM everything") == [("record",)]


async def test_postgresql_gets_its_rows_by_copy(upward):
    """One statement a table, however many rows."""
    await upward.migrate(upward.source)
    await fill(upward.source)
    async with upward.opened() as (source, target):
        with count_statements(target) as counted:
            await transfer.copy(source, target, upward.config)

    sent = [each.sql for each in counted.statements]
    assert len([sql for sql in sent if sql.startswith("COPY ")]) == len(TABLES)
    assert not [sql for sql in sent if sql.startswith("INSERT INTO everything")]


async def test_it_is_told_how_far_it_is(pair):
    """Each table is written and read back, and the end is the total."""
    await pair.migrate(pair.source)
    await fill(pair.source)
    told = []

    await pair.copy(progress=told.append)

    assert [each.done for each in told] == sorted(each.done for each in told)
    assert told[-1].done == told[-1].total == 2 * 9
    assert {each.table for each in told if each.is_done} == {*TABLES}
    assert {(each.stage, each.rows) for each in told if each.table == "everything"} == {
        ("copying", 3), ("verifying", 3),
    }  # fmt: skip


async def test_an_event_tells_of_it(upward):
    """With the report itself."""
    await upward.migrate(upward.source)
    told = []
    async with (
        Database(upward.source, events=QUIET) as source,
        Database(upward.target, events=Events(told.append)) as target,
    ):
        copied = await transfer.copy(source, target, upward.config)

    assert copied in told
    assert (copied.source, copied.target) == (source.url.place, target.url.place)
    assert (copied.revision, copied.rows) == ("001", 0)
    assert copied.seconds > 0


async def test_another_driver_is_refused(upward):
    """By a sentence that says what to write."""
    url = upward.target.replace("postgresql://", "postgresql+psycopg://", 1)
    async with Database(upward.source, events=QUIET) as source, Database(url) as target:
        with pytest.raises(ConfigurationError, match="write postgresql:// in the URL"):
            await transfer.copy(source, target, upward.config)
