"""Any value for any column: stored and the same again, or refused, by all engines alike.

The long form, with HOLDFAST_FUZZ values for each column, is a part of `make soak`.
"""

import asyncio
import math
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, time, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection
from tests.contract.conftest import _empty
from tests.contract.test_values import Base, Mood, Thing

from holdfast.database import Database
from holdfast.errors import InvalidValueError
from holdfast.testing import Clone
from holdfast.testing.running import run

VALUES = int(os.environ.get("HOLDFAST_FUZZ", "60"))
AT_ONCE = 20
HEALTH = list(HealthCheck)

HOSTILE = st.text(st.characters() | st.sampled_from("\0\ud800\udfff😀\\u0")) | st.sampled_from(
    ["\\u0000", "\\ud800", "'", '"', "$1", ":x", "%s", "é" * 6, "null", "NaN", "good", "GOOD", "a"]
)
WHOLE = st.integers(-(2**70), 2**70) | st.sampled_from(
    [each for bits in (15, 31, 63) for each in (2**bits, 2**bits - 1, -(2**bits), -(2**bits) - 1)]
)
ZONES = st.integers(-23 * 60, 23 * 60).map(lambda at: timezone(timedelta(minutes=at)))
SCALARS = st.one_of(
    *(st.none(), st.booleans(), WHOLE, st.floats(), st.decimals(), st.decimals(places=3)),
    *(HOSTILE, st.binary(max_size=20), st.sampled_from(Mood)),
    *(st.datetimes(timezones=st.none() | st.just(UTC) | ZONES), st.dates(), st.timedeltas()),
    st.times(timezones=st.none() | st.just(UTC)),
    *(st.uuids(), st.uuids().map(str), st.uuids().map(lambda it: it.hex)),
)
JSON = st.recursive(
    # JSONB has numbers of base ten: large floats come back as ints, which is SQLAlchemy's to say.
    SCALARS.filter(lambda it: not isinstance(it, float) or not 1e15 < abs(it) < math.inf),
    lambda of: st.lists(of, max_size=3) | st.dictionaries(HOSTILE, of, max_size=3),
    max_leaves=6,
)


def as_it_is(value: Any) -> Any:
    return value


def of_price(value: Any) -> Decimal:
    exact = value if isinstance(value, int | Decimal) else repr(value)
    return Decimal(exact).quantize(Decimal("0.01"), ROUND_HALF_UP)


def of_local(value: Any) -> datetime:
    return value if isinstance(value, datetime) else datetime.combine(value, time.min)


def of_mood(value: Any) -> Mood:
    return value if isinstance(value, Mood) else Mood[value]


# What each column is tried with, and what comes back of what it takes; None where SQLAlchemy's
# types for the engines give back another thing: zones and digits that SQLite has no room for.
COLUMNS: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], Any] | None]] = {
    **dict.fromkeys(("text", "name", "small", "whole", "big", "wide"), (SCALARS, as_it_is)),
    **dict.fromkeys(("flag", "at", "instant", "day", "hour", "took", "key"), (SCALARS, as_it_is)),
    **dict.fromkeys(("raw", "word"), (SCALARS, as_it_is)),
    **dict.fromkeys(("data", "plain"), (JSON, as_it_is)),
    **dict.fromkeys(("real", "exact", "zoned"), (SCALARS, None)),
    "ratio": (SCALARS, float),
    "price": (SCALARS, of_price),
    "local": (SCALARS, of_local),
    "digits": (SCALARS, lambda value: str(uuid.UUID(value))),
    "mood": (SCALARS, of_mood),
    "status": (SCALARS, lambda value: value if isinstance(value, Mood) else Mood(value)),
    "lower": (st.none() | HOSTILE, str.lower),
}

Outcome = tuple[str, Any]


class Engine:
    """A database, and how many statements it was sent."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.sent = 0
        event.listen(db.engine.sync_engine, "before_cursor_execute", self._count)

    async def outcomes(self, key: str, values: Sequence[Any]) -> list[Outcome]:
        """Store each value and read it again; all of it is taken back."""
        async with self.db.engine.connect() as connection:
            return [await self._outcome(connection, key, each) for each in enumerate(values)]

    async def _outcome(
        self, connection: AsyncConnection, key: str, numbered: tuple[int, Any]
    ) -> Outcome:
        number, value = numbered
        column, sent = getattr(Thing, key), self.sent
        try:
            await connection.execute(insert(Thing).values({"id": number, key: value}))
        except InvalidValueError as error:
            return ("refused" if self.sent == sent else "sent, and refused"), str(error)
        return "stored", await connection.scalar(select(column).where(Thing.id == number))

    def _count(self, *_statement: object) -> None:
        self.sent += 1


@pytest.fixture(scope="module")
def engines(
    postgresql_wheel: Clone, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., list[list[Outcome]]]]:
    """Give what tries values on each engine and driver, with the same tables."""
    of_sqlite = f"sqlite:///{tmp_path_factory.mktemp('fuzz')}/fuzz.db"
    run(_empty(postgresql_wheel.owner))
    with asyncio.Runner() as runner:
        opened = runner.run(_opened(of_sqlite, postgresql_wheel.owner))

        def outcomes(key: str, values: Sequence[Any]) -> list[list[Outcome]]:
            return [runner.run(each.outcomes(key, values)) for each in opened]

        yield outcomes
        for each in opened:
            runner.run(each.db.close())


async def _opened(of_sqlite: str, of_postgresql: str) -> list[Engine]:
    urls = [of_postgresql, of_postgresql.replace("postgresql", "postgresql+psycopg"), of_sqlite]
    opened = [Database(url) for url in urls]
    for each in opened:
        await each.open()
    for each in opened[1:]:
        async with each.engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
    return [Engine(each) for each in opened]


@pytest.mark.parametrize("key", COLUMNS)
def test_any_value(engines, key):
    """What is stored comes back, and what is refused is so in the same words, with nothing sent."""
    strategy, back = COLUMNS[key]

    @settings(max_examples=VALUES // AT_ONCE, deadline=None, suppress_health_check=HEALTH)
    @given(st.lists(strategy, min_size=AT_ONCE, max_size=AT_ONCE))
    def try_them(values: list[Any]) -> None:
        first, *others = engines(key, values)
        for value, outcome, *same in zip(values, first, *others, strict=True):
            if outcome[0] == "refused" or back is not None:
                assert same == [outcome] * len(same), (value, outcome, same)
            assert {each for each, _ in (outcome, *same)} <= {"stored"} or outcome[0] == "refused"
            if outcome[0] == "stored" and back is not None:
                assert outcome[1] == (None if value is None else back(value)), value

    try_them()
