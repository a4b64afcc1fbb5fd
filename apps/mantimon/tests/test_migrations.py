"""The migrations: the kit's tests, Alembic's plain command, Holdfast's, and from code."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from holdfast import migrate
from holdfast.database import Database
from holdfast.testing.migrations import *  # noqa: F403

APP = Path(__file__).parent.parent
ALEMBIC_INI = APP / "alembic.ini"
TABLES = {
    "users",
    "collections",
    "decks",
    "campaign_progress",
    "active_games",
    "game_history",
    "standings",
}
CONSTRAINTS = """
    SELECT conrelid::regclass::text, conname
    FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid
    WHERE connamespace = 'public'::regnamespace AND contype <> 'n' AND NOT relispartition
        AND conrelid <> 'alembic_version'::regclass
"""
OWN = """
    SELECT relname FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
        AND relname <> 'alembic_version'
"""


def command(name, *arguments, url):
    """Run an installed command in the application's folder, as somebody would by hand."""
    environ = {**os.environ, "DATABASE_URL": url}
    environ.pop("DATABASE_OWNER_URL", None)
    run = subprocess.run(
        [Path(sys.executable).with_name(name), *arguments],
        cwd=APP, env=environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


async def tables(url):
    """Give the tables of a database, but for partitions and Alembic's own."""
    async with Database(url) as db, db.read() as session:
        return set(await session.scalars(text(OWN)))


@pytest.mark.parametrize(
    ("up", "down"),
    [
        (("alembic", "upgrade", "head"), ("alembic", "downgrade", "base")),
        (("holdfast", "migrate"), ("holdfast", "downgrade", "base")),
    ],
    ids=["alembic", "holdfast"],
)
async def test_up_down_up_by_command(database_url, up, down):
    """Either command makes all tables, removes all, and makes them again."""
    for to, expected in ((up, TABLES), (down, set()), (up, TABLES)):
        await asyncio.to_thread(command, *to, url=database_url)
        assert await tables(database_url) == expected


async def test_up_down_up_from_code(database_url):
    """The same inside a running loop, on the async engine."""
    async with Database(database_url) as db:
        for move, to, expected in (
            (migrate.upgrade, "head", TABLES),
            (migrate.downgrade, "base", set()),
            (migrate.upgrade, "head", TABLES),
        ):
            await move(db, ALEMBIC_INI, to)
            assert await tables(database_url) == expected


async def test_the_second_upgrade_changes_nothing(database_url):
    """Migrating a migrated database is no error and does nothing."""
    async with Database(database_url) as db:
        await migrate.upgrade(db, ALEMBIC_INI)
        moved = await migrate.upgrade(db, ALEMBIC_INI)

    assert moved.before == moved.after == ("001",)


async def test_eight_processes_at_once(database_url):
    """Eight plain alembic commands on an empty database all succeed, and one does the work."""
    runs = (
        asyncio.to_thread(command, "alembic", "upgrade", "head", url=database_url) for _ in range(8)
    )
    await asyncio.gather(*runs)

    assert await tables(database_url) == TABLES


async def test_every_constraint_has_its_name_once(clone):
    """No name repeats its prefix or is cut: the name in the code is the one in an error."""
    async with Database(clone.owner) as db, db.read() as session:
        found = (await session.execute(text(CONSTRAINTS))).all()

    assert {table for table, _ in found} == TABLES
    for table, name in found:
        kind = name.split("_")[0]
        assert name.startswith(f"{kind}_{table}"), name
        assert name.count(f"{kind}_{table}") == 1, name


def test_the_migration_stands_alone():
    """A migration means the same for ever: it imports neither the models nor the library."""
    files = list((APP / "src/mantimon/db/migrations/versions").glob("*.py"))

    assert files
    for file in files:
        source = file.read_text(encoding="utf-8")
        assert "mantimon" not in source.replace("Mantimon", ""), file
        assert not re.search(r"(from|import) holdfast", source), file


def test_no_url_in_the_configuration():
    """alembic.ini has no URL, and so no password."""
    assert "://" not in ALEMBIC_INI.read_text(encoding="utf-8")
