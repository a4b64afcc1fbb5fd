"""What is copied in is what is read: every type, any value."""

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select
from tests.fastlane.conftest import Everything, Kind, Mood

from holdfast import fastlane

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
ZONES = st.integers(-12 * 60, 14 * 60).map(lambda at: timezone(timedelta(minutes=at)))
ROW = st.fixed_dictionaries(
    {
        "text": st.none() | TEXT,
        "kind": st.none() | st.sampled_from(Kind),
        "mood": st.none() | st.sampled_from(Mood),
        "data": JSON,
        "at": st.none() | st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=ZONES),  # noqa: DTZ001
        "key": st.none() | st.uuids(),
        "amount": st.none() | st.decimals(-(10**30), 10**30, allow_nan=False),
        "ratio": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "raw": st.none() | st.binary(),
        "tags": st.none() | st.lists(TEXT, max_size=3),
        "took": st.none() | st.timedeltas(timedelta(-9999), timedelta(9999)),
        "is_new": st.none() | st.booleans(),
    }
)


def as_dict(**values):
    return values


async def read(session, read_by):
    statement = select(Everything).order_by(Everything.id)
    if read_by == "stream":
        return [row async for row in fastlane.stream(session, statement, into=as_dict, batch=2)]
    return await fastlane.fetch(session, statement, into=as_dict)


@pytest.mark.parametrize("read_by", ["fetch", "stream"])
async def test_every_value_comes_back(db, read_by):
    """As it went in, whatever characters, signs and zones it has; as the ORM would have it."""
    async with db.begin() as session:
        for some in collect():
            await session.execute(delete(Everything))
            numbered = [{"id": number, **row} for number, row in enumerate(some)]
            assert await fastlane.copy_in(session, Everything, numbered) == len(some)
            assert await read(session, read_by) == numbered
            plain = (await session.execute(select(Everything.__table__))).mappings().all()
            assert [dict(row) for row in plain] == numbered


async def test_a_plain_insert_stores_the_same(db):
    """The server cannot tell how a row came."""
    async with db.begin() as session:
        for some in collect():
            numbered = [{"id": number, **row} for number, row in enumerate(some)]
            await session.execute(delete(Everything))
            await session.execute(insert(Everything.__table__), numbered)
            assert await read(session, "fetch") == numbered


def collect():
    """Draw what properties are tried on; a test with a loop cannot be run again and again."""
    drawn = []

    @settings(max_examples=30, suppress_health_check=list(HealthCheck), database=None)
    @given(st.lists(ROW, min_size=1, max_size=4))
    def draw(rows):
        drawn.append(rows)

    draw()
    return drawn


async def test_json_null_and_no_value(db):
    """None is SQL NULL, as the type says; a value that is null within stays."""
    rows = [{"id": 1, "data": None}, {"id": 2, "data": {"a": None}}, {"id": 3, "data": []}]
    async with db.begin() as session:
        await fastlane.copy_in(session, Everything, rows)
        found = await fastlane.fetch(
            session,
            select(Everything.id).where(Everything.data.is_(None)),
            into=lambda id: id,  # noqa: A006
        )
    assert found == [1]


def test_what_was_drawn_is_varied():
    """The strategies reach the values that are meant."""
    values = [row for rows in collect() for row in rows]

    assert any(row["at"] and row["at"].tzinfo is not UTC for row in values)
    assert any(row["amount"] and row["amount"] != Decimal(int(row["amount"])) for row in values)
    assert any(json.dumps(row["data"]) != "null" for row in values)
