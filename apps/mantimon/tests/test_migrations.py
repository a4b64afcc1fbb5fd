"""The migrations: Alembic's plain command, Holdfast's, from code, and the same tables as models."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from holdfast import migrate
from holdfast.database import Database
from mantimon.db.models import Base

APP = Path(__file__).parent.parent
ALEMBIC_INI = APP / "alembic.ini"
TABLES = {
    "users",
    "collections",
    "decks",
    "campaign_progress",
    "active_games",
    "game_history",
}
# Everything that the catalogue says about tables, in a form that two databases can share.
CATALOGUE = {
    "columns": """
        SELECT table_name, column_name, data_type, character_maximum_length, column_default,
               is_nullable
        FROM information_schema.columns WHERE table_schema = 'public'""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'""",
    "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
}


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
    """Give the tables of a database, but for Alembic's own."""
    async with Database(url) as db, db.engine.connect() as connection:
        found = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    return set(found) - {"alembic_version"}


async def catalogue(url):
    """Give all that the database says about its tables."""
    async with Database(url) as db, db.read() as session:
        return {
            what: {
                tuple(row) for row in await session.execute(text(sql)) if "alembic" not in row[0]
            }
            for what, sql in CATALOGUE.items()
        }


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


async def test_alembic_sees_no_difference(migrated):
    """Autogenerate would write an empty migration."""

    def compare(connection):
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        return compare_metadata(context, Base.metadata)

    async with Database(migrated.owner) as db, db.engine.connect() as connection:
        assert await connection.run_sync(compare) == []


@pytest.mark.parametrize("what", CATALOGUE)
async def test_migration_makes_what_the_models_say(migrated, database_url, what):
    """Columns, constraints (CHECKs too, by name) and indexes are those of the models."""
    async with Database(database_url) as db, db.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)

    from_models = (await catalogue(database_url))[what]
    from_migration = (await catalogue(migrated.owner))[what]

    assert from_migration == from_models
    assert len(from_models) > 10


async def test_every_constraint_has_its_name_once(migrated):
    """No name repeats its prefix or is cut: the name in the code is the one in an error."""
    found = await catalogue(migrated.owner)

    assert {table for table, _, _ in found["constraints"]} == TABLES
    for table, name, _ in found["constraints"]:
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
        assert "holdfast" not in source, file


def test_there_is_one_head():
    """The history has no branches."""
    heads = [each.revision for each in migrate.history(ALEMBIC_INI) if each.is_head]

    assert heads == ["001"]


def test_no_url_in_the_configuration():
    """alembic.ini has no URL, and so no password."""
    assert "://" not in ALEMBIC_INI.read_text(encoding="utf-8")
