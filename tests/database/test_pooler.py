"""Behind PgBouncer in transaction mode: limits hold, and migrations go past it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from proofs.pgbouncer import pgbouncer
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from tests.database.conftest import with_driver

from holdfast import migrate
from holdfast.database import Database, DatabasePolicy
from holdfast.urls import parse

with_drivers = pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
LIMITS = "SELECT current_setting('statement_timeout'), current_setting('lock_timeout')"
STATE = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
ENV = """
from sqlalchemy import MetaData

from holdfast import migrate

migrate.run_env(MetaData())
"""
REVISION = """
from alembic import op

revision = "one"
down_revision = None


def upgrade():
    op.execute("CREATE TABLE notes (id integer)")
    op.execute("CREATE TABLE who AS SELECT pg_backend_pid() AS pid")
    op.execute("SELECT pg_advisory_lock(7)")


def downgrade():
    op.execute("DROP TABLE notes, who")
"""


@pytest.fixture
async def pooled(database_url: str) -> AsyncIterator[str]:
    """Give the URL of an empty database behind a pooler with two connections to the server."""
    async with pgbouncer(database_url) as url:
        yield url


@with_drivers
async def test_limits_hold_in_each_transaction(pooled, driver):
    """They are set LOCAL, so that the next client of the server's connection has its own."""
    policy = DatabasePolicy(statement_timeout=7, lock_timeout=3)
    async with Database(with_driver(pooled, driver), policy=policy) as db:
        for _ in range(2):
            async with db.begin() as session:
                assert tuple((await session.execute(text(LIMITS))).one()) == ("7s", "3s")
        async with db.read(snapshot=True) as session:
            assert tuple((await session.execute(text(LIMITS))).one()) == ("7s", "3s")
        async with db.engine.begin() as connection:
            assert tuple((await connection.execute(text(LIMITS))).one()) == ("7s", "3s")
        async with db.read() as session:
            assert tuple((await session.execute(text(LIMITS))).one()) == ("0", "0")


@with_drivers
async def test_a_slow_statement_is_ended(pooled, driver):
    """By the server, through the pooler."""
    policy = DatabasePolicy(statement_timeout=0.05)
    async with Database(with_driver(pooled, driver), policy=policy) as db:
        with pytest.raises(DBAPIError, match="statement timeout"):
            async with db.begin() as session:
                await session.execute(text("SELECT pg_sleep(60)"))


@with_drivers
async def test_a_cancelled_statement_ends_on_the_server(pooled, driver, look):
    """PgBouncer passes the request on."""
    running = f"{STATE} AND query = 'SELECT pg_sleep(60)'"
    active = f"{running} AND state = 'active'"
    async with Database(with_driver(pooled, driver)) as db:

        async def sleep() -> None:
            async with db.begin() as session:
                await session.execute(text("SELECT pg_sleep(60)"))

        task = asyncio.create_task(sleep())
        async with asyncio.timeout(10):
            while await look(active) != [1]:
                pass
            task.cancel()
            while await look(active) != [0]:
                pass


@with_drivers
async def test_migrations_go_past_the_pooler(pooled, database_url, driver, tmp_path: Path):
    """Where the way past it is known, they are on a connection of their own."""
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s\n")
    (tmp_path / "env.py").write_text(ENV)
    (tmp_path / "versions").mkdir()
    (tmp_path / "versions" / "one.py").write_text(REVISION)
    url = parse(with_driver(pooled, driver), direct=with_driver(database_url, driver))
    async with Database(url) as db:
        async with db.direct() as direct:
            assert direct.url == url.direct

        moved = await migrate.upgrade(db, tmp_path / "alembic.ini")

        assert moved.after == ("one",)
        # A lock of the session would stay with a connection of the pooler; this one is closed.
        gone = text("SELECT count(*) FROM who JOIN pg_stat_activity USING (pid)")
        async with db.read() as session, asyncio.timeout(10):
            while await session.scalar(gone):
                pass


async def test_a_database_without_a_pooler_is_its_own_way(database_url):
    """There is nothing to go past."""
    async with Database(database_url) as db, db.direct() as direct:
        assert direct is db
