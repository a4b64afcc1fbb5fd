"""All or nothing: whatever fails, dies or comes in between, no row is in the target."""

import asyncio
import gc
import os
import sqlite3
import subprocess
import sys
import tracemalloc
from contextlib import closing
from functools import partial
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from tests.transfer.conftest import ENGINES, QUIET, Pair
from tests.transfer.shop import Base
from tests.transfer.test_copy import fill

from holdfast import transfer
from holdfast.database import Database, DatabasePolicy
from holdfast.errors import TransferError
from holdfast.transfer import postgres

ROOT = Path(__file__).parents[2]
ROWS = 9  # of `fill`
slow = partial(pytest.param, marks=pytest.mark.slow)
# A statement of each thing that is done, in its order; the last one is what is before COMMIT.
STATEMENTS = [
    slow("postgresql", "CREATE TABLE areas"),
    slow("postgresql", "LOCK TABLE"),
    slow("postgresql", "DROP CONSTRAINT"),
    ("postgresql", "COPY "),
    slow("postgresql", "SELECT everything.id"),
    slow("postgresql", "ADD CONSTRAINT"),
    ("postgresql", "setval"),
    slow("sqlite", "CREATE TABLE areas"),
    slow("sqlite", "PRAGMA defer_foreign_keys"),
    ("sqlite", 'INSERT INTO "everything"'),
    slow("sqlite", "SELECT everything.id"),
    ("sqlite", "pragma_foreign_key_check"),
]
_MANY = """
INSERT INTO everything (id, "order", share, data)
WITH RECURSIVE numbers (number) AS (
    SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < {number}
)
SELECT number, number, number + 0.5, '{{"a": "' || hex(zeroblob(100)) || '"}}' FROM numbers
"""


def kill_at(pair: Pair, statement: str) -> None:
    """Copy in another process, and end it before a statement as a lack of memory does."""
    arguments = [pair.source, pair.target, str(pair.config), statement]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.transfer.copier", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as copier:
        assert copier.stdout
        assert copier.stdout.readline() == "stopped\n"
        copier.kill()


async def count(pair: Pair) -> int:
    """Count the rows of the target; it waits for whoever is still about to leave."""
    tables = " UNION ALL ".join(f'SELECT 1 FROM "{name}"' for name in Base.metadata.tables)
    [(rows,)] = await pair.ask(pair.target, f"SELECT count(*) FROM ({tables}) AS every")
    return rows


@pytest.mark.parametrize(("engine", "statement"), STATEMENTS)
async def test_a_copy_that_is_killed_leaves_nothing(make_pair, engine, statement):
    """At whatever it is; and again, it succeeds."""
    pair = make_pair("sqlite", engine)
    await pair.migrate(pair.source)
    await fill(pair.source)

    kill_at(pair, statement)

    await pair.migrate(pair.target)
    assert await count(pair) == 0
    assert (await pair.copy()).rows == await count(pair) == ROWS


async def test_a_copy_that_is_cancelled_leaves_nothing(pair):
    """Between two rows that it writes."""
    await pair.migrate(pair.source)
    await fill(pair.source)
    task = asyncio.create_task(pair.copy(progress=lambda _: task.cancel()))

    with pytest.raises(asyncio.CancelledError):
        await task

    assert await count(pair) == 0
    assert (await pair.copy()).rows == ROWS


async def test_a_connection_that_is_lost_leaves_nothing(upward):
    """It is an error of the database, as everywhere."""
    await upward.migrate(upward.source)
    await fill(upward.source)
    leave = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state <> 'idle' AND "

    def cut(_at: transfer.Progress) -> None:
        with psycopg.connect(upward.target, autocommit=True) as other:
            other.execute(f"{leave} datname = current_database() AND pid <> pg_backend_pid()")

    with pytest.raises(DBAPIError):
        await upward.copy(progress=cut)

    assert await count(upward) == 0
    assert (await upward.copy()).rows == ROWS


async def test_of_two_copies_at_once_one_is_refused(pair):
    """Whichever is second waits, and finds rows; none is there twice."""
    await pair.migrate(pair.source)
    await fill(pair.source)
    await pair.migrate(pair.target)

    done = await asyncio.gather(pair.copy(), pair.copy(), return_exceptions=True)

    [refused] = [each for each in done if isinstance(each, TransferError)]
    assert "the target has rows in" in str(refused)
    assert await count(pair) == ROWS


async def test_whoever_uses_the_target_is_waited_for_but_not_for_ever(to_any, monkeypatch):
    """And what they have written meanwhile is seen."""
    monkeypatch.setattr(postgres, "_LIMITS", postgres._LIMITS.replace("10s", "100ms"))
    await to_any.migrate(to_any.source, to_any.target)
    policy = DatabasePolicy(lock_timeout=0.1)
    async with (
        Database(to_any.source, events=QUIET) as source,
        Database(to_any.target, events=QUIET, policy=policy) as target,
    ):
        async with Database(to_any.target, events=QUIET) as other, other.begin() as session:
            await session.execute(text("INSERT INTO everything (id) VALUES (1)"))
            with pytest.raises(TransferError, match=r"is being written to|tables are in use"):
                await transfer.copy(source, target, to_any.config)
        with pytest.raises(TransferError, match="the target has rows in everything"):
            await transfer.copy(source, target, to_any.config)


async def test_the_source_is_read_at_one_moment(pair):
    """What is written there meanwhile is not in the copy, in any of its tables."""
    await pair.migrate(pair.source)
    await fill(pair.source)

    def write(_at: transfer.Progress) -> None:
        rows = ["INSERT INTO everything (id) VALUES (100 + (SELECT count(*) FROM everything))",
                'INSERT INTO "Order lines" ("select") VALUES (5)']  # fmt: skip
        if pair.source.startswith("sqlite"):
            with closing(sqlite3.connect(pair.source.removeprefix("sqlite:///"))) as other, other:
                for each in rows:
                    other.execute(each)
        else:
            with psycopg.connect(pair.source) as other:
                for each in rows:
                    other.execute(each)

    assert (await pair.copy(progress=write)).rows == await count(pair) == ROWS
    assert await pair.ask(pair.source, "SELECT count(*) > 3 FROM everything") == [(True,)]


@pytest.mark.parametrize("engine", ENGINES)
async def test_memory_does_not_grow_with_the_rows(make_pair, engine):
    """Ten times the rows take as much."""
    pair = make_pair("sqlite", engine)
    await pair.migrate(pair.source, pair.target)
    peaks = []
    for number in (1_000, 10_000):
        await pair.run(pair.source, _MANY.format(number=number))
        gc.collect()  # what others have left is no part of it
        tracemalloc.start()
        assert (await pair.copy()).rows == number
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        await pair.run(pair.source, "DELETE FROM everything")
        await pair.run(pair.target, "DELETE FROM everything")

    assert peaks[1] - peaks[0] < 1_000_000
