"""Behind a real PgBouncer in transaction mode: no wrong results, and no errors."""

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from proofs.pgbouncer import pgbouncer
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from holdfast.database import Database
from holdfast.errors import UnavailableError
from holdfast.urls import parse

PROCESSES, TASKS, TRANSACTIONS = 3, 3, 60
CLIENT = Path(__file__).with_name("client.py")
with_drivers = pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])


@pytest.fixture
async def pooled(database_url: str) -> AsyncIterator[str]:
    """Give the URL of an empty database behind a pooler with two connections to the server."""
    async with pgbouncer(database_url) as url:
        yield url


async def ended(url: str) -> Counter[str]:
    """Let several processes work at once, and count how their transactions ended."""
    children = [
        await asyncio.create_subprocess_exec(
            sys.executable, str(CLIENT), url, str(TRANSACTIONS), str(number),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for number in range(PROCESSES)
    ]  # fmt: skip
    for child in children:
        assert child.stdout
        assert await child.stdout.readline() == b"ready\n"
    said = await asyncio.gather(*(child.communicate(b"\n") for child in children))
    return sum((Counter(json.loads(out)) for out, _ in said), Counter())


@with_drivers
async def test_several_processes_behind_a_pooler(pooled, driver):
    """Recognised by its port, it gets no named statements: each transaction has its own results."""
    url = pooled.replace("postgresql", f"postgresql+{driver}", 1)

    assert parse(url).pooler == "transaction"
    assert await ended(url) == {"right": PROCESSES * TASKS * TRANSACTIONS}


async def test_what_happens_without(pooled):
    """With asyncpg's own settings the same processes fail: the test above can see it."""
    counted = await ended(f"{pooled}&pooler=none")

    assert counted["right"] < PROCESSES * TASKS * TRANSACTIONS


@with_drivers
async def test_limits_are_not_in_the_first_message(pooled, driver):
    """PgBouncer refuses what the caller would send; recognised, it gets only what it takes."""
    limits = {"application_name": "shop", "statement_timeout": "5000"}

    async def name(query: str) -> object:
        url = parse(pooled.replace("postgresql", f"postgresql+{driver}", 1) + query)
        told = url.connect_args(settings=limits)
        engine = create_async_engine(url.engine, connect_args=told, poolclass=NullPool)
        async with engine.connect() as connection:
            return await connection.scalar(text("SHOW application_name"))

    assert await name("") == "shop"
    with pytest.raises(DBAPIError, match="unsupported startup parameter"):
        await name("&pooler=none")


@with_drivers
async def test_a_database_behind_a_pooler(pooled, driver):
    """`Database` opens, writes and reads through it."""
    async with Database(pooled.replace("postgresql", f"postgresql+{driver}", 1)) as db:
        async with db.begin() as session:
            await session.execute(text("CREATE TABLE notes (id integer)"))
            await session.execute(text("INSERT INTO notes VALUES (1)"))
        async with db.read() as session:
            assert await session.scalar(text("SELECT count(*) FROM notes")) == 1


@with_drivers
async def test_a_pooler_that_was_not_recognised(pooled, driver):
    """Its refusal says what the URL lacks."""
    url = pooled.replace("postgresql", f"postgresql+{driver}", 1)

    with pytest.raises(UnavailableError, match=r"a pooler .* add pooler=transaction to the URL"):
        await Database(f"{url}&pooler=none").open()
