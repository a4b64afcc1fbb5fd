"""`stream`: rows one by one, a batch in memory, in the session's transaction."""

import asyncio
import gc
from contextlib import aclosing

import pytest
from sqlalchemy import Integer, bindparam, func, literal, select, text
from sqlalchemy.exc import ResourceClosedError
from tests.fastlane.conftest import TYPES, Card, Kind, Name

from holdfast import fastlane
from holdfast.errors import ConfigurationError, ReadOnlyError

ALL = select(Card.name, Card.kind, Card.data).order_by(Card.name)
NUMBERS = select(func.generate_series(1, bindparam("last", type_=Integer)).label("number"))
PORTALS = "SELECT count(*) FROM pg_cursors WHERE name <> ''"


def number(number):
    return number


@pytest.mark.parametrize("into", TYPES)
async def test_rows_are_of_the_callers_type(db, cards, into):
    """The same as `fetch` gives."""
    async with db.read(snapshot=True) as session:
        rows = [row async for row in fastlane.stream(session, ALL, into=into)]

    assert rows == [into(name=name, kind=Kind.BEAST, data={"of": name}) for name in cards]


@pytest.mark.parametrize("last", [0, 1, 9, 10, 11, 20, 25])
async def test_every_row_comes_once_and_in_order(db, last):
    """However batches fall."""
    async with db.begin() as session:
        rows = fastlane.stream(session, NUMBERS, {"last": last}, into=number, batch=10)
        assert [row async for row in rows] == list(range(1, last + 1))
        assert await session.scalar(text(PORTALS)) == 0


async def test_a_batch_is_all_that_is_asked_for(db):
    """The server makes no more rows than are read."""
    async with db.begin() as session:
        await session.execute(text("CREATE SEQUENCE made"))
        made = func.nextval("made").label("number")
        rows = select(made).select_from(func.generate_series(1, 1000).alias())
        async with aclosing(fastlane.stream(session, rows, into=number, batch=10)) as stream:
            assert [await anext(stream) for _ in range(15)] == list(range(1, 16))
        assert await session.scalar(text("SELECT last_value FROM made")) == 20
        assert await session.scalar(text(PORTALS)) == 0


async def test_the_session_works_on_meanwhile(db, cards):
    """Statements, writes and other streams between two batches."""
    async with db.begin() as session:
        async for row in fastlane.stream(session, ALL.with_only_columns(Card.name), into=Name,
                                         batch=1):  # fmt: skip
            session.add(Card(name=row.name * 2, kind=Kind.SPELL, data={}))
            await session.flush()
            inner = fastlane.stream(session, NUMBERS, {"last": 3}, into=number, batch=2)
            assert [each async for each in inner] == [1, 2, 3]

    async with db.read() as session:
        assert await session.scalar(select(func.count()).select_from(Card)) == 4


async def test_read_needs_a_snapshot(db, sent):
    """In AUTOCOMMIT there is no transaction for the rows to live in."""
    async with db.read() as session:
        with pytest.raises(ConfigurationError, match=r"read\(snapshot=True\)"):
            await anext(fastlane.stream(session, ALL, into=dict_of))


def dict_of(**values):
    return values


async def test_read_refuses_what_locks(db, cards):
    """As for any statement."""
    async with db.read(snapshot=True) as session:
        with pytest.raises(ReadOnlyError):
            await anext(fastlane.stream(session, ALL.with_for_update(), into=dict_of))


async def test_a_batch_has_at_least_one_row(db):
    """Nothing is sent otherwise."""
    async with db.begin() as session:
        with pytest.raises(ConfigurationError, match="batch is 0"):
            await anext(fastlane.stream(session, ALL, into=dict_of, batch=0))


async def test_who_stops_early_leaves_the_connection_to_others(db):
    """A loop that is left is closed by Python at some time, which disturbs nobody."""
    async with db.begin() as session:
        async for row in fastlane.stream(session, NUMBERS, {"last": 99}, into=number, batch=2):
            if row == 3:
                break
        sums = [await session.scalar(select(literal(7))) for _ in range(20)]
        gc.collect()
        await asyncio.sleep(0)
        assert [*sums, await session.scalar(select(literal(7)))] == [7] * 21


async def test_a_stream_ends_with_its_transaction(db):
    """The connection may be somebody else's by then."""
    stream = None
    async with db.begin() as session:
        stream = fastlane.stream(session, NUMBERS, {"last": 9}, into=number, batch=2)
        assert [await anext(stream), await anext(stream)] == [1, 2]
    with pytest.raises(ResourceClosedError, match="read it to its end inside"):
        await anext(stream)

    async with db.session() as session:
        stream = fastlane.stream(session, NUMBERS, {"last": 9}, into=number, batch=2)
        assert [await anext(stream), await anext(stream)] == [1, 2]
        await session.commit()
        await session.scalar(select(literal(7)))
        with pytest.raises(ResourceClosedError):
            await anext(stream)
        assert await session.scalar(select(literal(7))) == 7
