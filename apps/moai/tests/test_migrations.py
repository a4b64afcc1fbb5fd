"""The migrations: the kit's tests, on SQLite too, and the same tables as the models make."""

import re

from sqlalchemy import text

from holdfast import migrate
from holdfast.database import Database
from holdfast.testing.migrations import *  # noqa: F403
from moai.core.database import ALEMBIC_INI, create_tables, get_database, init_db
from moai.core.models import Base

VERSIONS = ALEMBIC_INI.parent / "src/moai/core/migrations/versions"
TABLES = {"projects", "discussions", "rounds", "messages", "consensus"}
# On PostgreSQL: columns in their order, constraints and indexes, by name and definition.
CATALOGUE = """
    SELECT attrelid::regclass::text, attnum::text, concat_ws(' ', attname,
        format_type(atttypid, atttypmod), attnotnull::text, pg_get_expr(adbin, adrelid))
    FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace
        AND relkind = 'r') AND attnum > 0
    UNION ALL
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL
    SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
"""
NAMES = """
    SELECT conrelid::regclass::text, conname FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
        AND conrelid <> 'alembic_version'::regclass
"""


async def read_schema(url):
    """Give all that a database has of tables, in the engine's own words."""
    catalogue = CATALOGUE if url.startswith("postgresql") else "SELECT name, sql FROM sqlite_master"
    async with Database(url) as db, db.read() as session:
        return {tuple(row) for row in await session.execute(text(catalogue))}


async def test_the_models_make_the_same(clean_environment, empty_url):
    """Tables of create_tables() and migrated ones do not differ in a word, on either engine."""
    init_db(empty_url)
    await create_tables()
    made = await read_schema(empty_url)
    await migrate.downgrade(get_database(), ALEMBIC_INI, "base")
    assert {row[0] for row in await read_schema(empty_url)} < {row[0] for row in made}

    moved = await migrate.upgrade(get_database(), ALEMBIC_INI)

    assert (moved.before, moved.after) == ((), ("001",))
    assert await read_schema(empty_url) == made
    assert await migrate.revision(get_database(), ALEMBIC_INI, "nothing is different") is None


async def test_up_down_up(clean_environment, empty_url):
    """All tables are made, all removed, and made again; the rows go with them."""
    init_db(empty_url)
    for move, to, expected in (
        (migrate.upgrade, "head", TABLES),
        (migrate.downgrade, "base", set()),
        (migrate.upgrade, "head", TABLES),
    ):
        await move(get_database(), ALEMBIC_INI, to)
        schema = await read_schema(empty_url)
        assert {row[0] for row in schema} & TABLES == expected


async def test_every_constraint_has_its_name_once(clone):
    """No name repeats its prefix or is cut: the name in the code is the one in an error."""
    async with Database(clone.owner) as db, db.read() as session:
        found = (await session.execute(text(NAMES))).all()

    assert {table for table, _ in found} == TABLES == set(Base.metadata.tables)
    for table, name in found:
        kind = name.split("_")[0]
        assert name.startswith(f"{kind}_{table}"), name
        assert name.count(f"{kind}_{table}") == 1, name


def test_the_migrations_stand_alone():
    """A migration means the same for ever: it imports neither the models nor the library."""
    files = list(VERSIONS.glob("*.py"))

    assert files
    for file in files:
        source = file.read_text(encoding="utf-8")
        assert re.findall(r"^(?:from|import) (?:moai|holdfast)", source, re.MULTILINE) == []


def test_no_url_in_the_configuration():
    """alembic.ini has no URL, and so no password."""
    assert "://" not in ALEMBIC_INI.read_text(encoding="utf-8")
