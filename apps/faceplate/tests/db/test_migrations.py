"""The migrations: by command, from code and on start, all or nothing, once for eight processes."""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from faceplate.db.session import get_session
from faceplate.db.start import ALEMBIC_INI, migrate_database, running
from faceplate.models import Conversation, User
from holdfast import migrate
from holdfast.database import Database
from holdfast.errors import MigrationError
from holdfast.testing.migrations import *  # noqa: F403

APP = Path(__file__).parents[2]
VERSIONS = APP / "src/faceplate/db/migrations/versions"
TABLES = {"users", "conversations", "messages", "mcp_configs"}
VERSION = text("SELECT version_num FROM faceplate.alembic_version")
CONSTRAINTS = """
    SELECT relname, conname FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid
    WHERE connamespace = 'faceplate'::regnamespace AND contype <> 'n'
        AND relname <> 'alembic_version'
"""
STARTING = """
import asyncio
from faceplate.db.session import get_session
from faceplate.db import start
from sqlalchemy import text

def told(migrate):
    async def migrated():
        moved = await migrate()
        print(moved.before, end=" ")
    return migrated

async def main():
    start.migrate_database = told(start.migrate_database)
    async with start.running(), get_session() as session:
        print(await session.scalar(text("SELECT count(*) FROM faceplate.users")))

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def _schema_is_there(request):
    """Let the kit's way down end where it began: the schema stays, with the version table in it."""
    if "alembic_runner" in request.fixturenames:
        asyncio.run(make_schema(request.getfixturevalue("empty_clone").owner))


async def make_schema(url):
    async with Database(url) as db, db.begin() as session:
        await session.execute(text("CREATE SCHEMA faceplate"))


def command(*words, url, **environ):
    """Run a command in the application's folder, as somebody would by hand."""
    given = {**os.environ, "DATABASE_URL": url, **environ}
    if "DATABASE_OWNER_URL" not in environ:
        given.pop("DATABASE_OWNER_URL", None)
    run = subprocess.run(words, cwd=APP, env=given, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def installed(name):
    return str(Path(sys.executable).with_name(name))


async def tables(url, schema="faceplate"):
    """Give the tables of a schema, but for Alembic's own."""
    async with Database(url) as db, db.engine.connect() as connection:
        found = await connection.run_sync(lambda sync: inspect(sync).get_table_names(schema=schema))
    return set(found) - {"alembic_version"}


@pytest.mark.parametrize(
    ("up", "down"),
    [
        ((installed("alembic"), "upgrade", "head"), (installed("alembic"), "downgrade", "base")),
        (
            (sys.executable, "-m", "faceplate", "migrate"),
            (installed("alembic"), "downgrade", "base"),
        ),
    ],
    ids=["alembic", "faceplate"],
)
async def test_up_down_up_by_command(database_url, up, down):
    """Each command makes all tables in an empty database, removes all, and makes them again."""
    for words, expected in ((up, TABLES), (down, set()), (up, TABLES)):
        await asyncio.to_thread(command, *words, url=database_url)
        assert await tables(database_url) == expected
    assert await tables(database_url, "public") == set()


async def test_the_first_migration_takes_less_than_five_seconds(database_url):
    """From an empty database to all tables, Alembic's import included; the figure is printed."""
    began = time.perf_counter()
    async with Database(database_url) as db:
        moved = await migrate.upgrade(db, ALEMBIC_INI)
    seconds = time.perf_counter() - began

    print(f"first migration: {seconds:.2f} s, of which {moved.seconds:.2f} s migrate")
    assert (moved.before, moved.after) == ((), ("001",))
    assert seconds < 5


async def test_an_existing_database_keeps_its_data(on_clone):
    """Migrating a migrated database changes nothing, and what was stored stays."""
    async with get_session() as session:
        user = User(email="ann@example.test", subject_id="ann")
        session.add(user)

    moved = await migrate_database()

    assert moved.before == moved.after == ("001",)
    async with get_session() as session:
        assert (await session.get_one(User, user.id)).email == "ann@example.test"


def test_the_first_revision_makes_the_schema():
    """The first statement of the first revision is the one that other programs rely on."""
    source = (VERSIONS / "001_initial.py").read_text(encoding="utf-8")
    upgrade = source.partition("def upgrade() -> None:\n")[2].lstrip()

    assert upgrade.startswith('op.execute("CREATE SCHEMA IF NOT EXISTS faceplate")')


async def test_a_schema_that_is_there_is_used(database_url):
    """A schema that somebody made before, as for grants, is no error."""
    await make_schema(database_url)
    async with Database(database_url) as db:
        await migrate.upgrade(db, ALEMBIC_INI)

    assert await tables(database_url) == TABLES


@pytest.mark.parametrize("before", ["empty", "first"])
async def test_a_migration_that_fails_midway_leaves_nothing(database_url, tmp_path, before):
    """When a later statement fails, nothing of the run is there, and the next one can go on."""
    config = copy_with(tmp_path, "002_broken.py", BROKEN)
    async with Database(database_url) as db:
        if before == "first":
            await migrate.upgrade(db, ALEMBIC_INI)
        with pytest.raises(MigrationError, match="everything it did was rolled back"):
            await migrate.upgrade(db, config)

        assert await tables(database_url) == (TABLES if before == "first" else set())
        (config.parent / "src/faceplate/db/migrations/versions/002_broken.py").unlink()
        assert (await migrate.upgrade(db, config)).after == ("001",)
    assert await tables(database_url) == TABLES


BROKEN = """
from alembic import op

revision, down_revision = "002", "001"


def upgrade():
    op.execute("CREATE TABLE faceplate.half (id int)")
    op.execute("ALTER TABLE faceplate.users ADD COLUMN nickname text")
    op.execute("SELECT 1 / 0")


def downgrade():
    op.execute("DROP TABLE faceplate.half")
"""


def copy_with(folder, name, source):
    """Copy the migrations with one more; give the copy's alembic.ini."""
    migrations = folder / "src/faceplate/db/migrations"
    (migrations / "versions").mkdir(parents=True)
    for file in ("env.py", "script.py.mako", "versions/001_initial.py"):
        (migrations / file).write_bytes((VERSIONS.parent / file).read_bytes())
    (migrations / "versions" / name).write_text(source)
    config = folder / "alembic.ini"
    config.write_bytes(ALEMBIC_INI.read_bytes())
    return config


async def test_eight_processes_at_once(empty_clone):
    """Eight processes that start on an empty database all succeed, and one migrates."""
    environ = {"DATABASE_OWNER_URL": empty_clone.owner, "FACEPLATE_MIGRATE_ON_START": "true"}
    runs = (
        asyncio.to_thread(command, sys.executable, "-c", STARTING, url=empty_clone.app, **environ)
        for _ in range(8)
    )
    printed = await asyncio.gather(*runs)

    assert await tables(empty_clone.owner) == TABLES
    assert Counter(printed) == {"() 0\n": 1, "('001',) 0\n": 7}
    async with Database(empty_clone.owner) as db, db.read() as session:
        assert (await session.scalars(VERSION)).all() == ["001"]


@pytest.mark.parametrize(("setting", "expected"), [("true", TABLES), ("false", set())])
async def test_a_start_migrates_where_it_is_told_to(
    clean_environment, empty_clone, setting, expected
):
    """As the role that owns the tables, whereas the application's own may not make any."""
    clean_environment.setenv("DATABASE_URL", empty_clone.app)
    clean_environment.setenv("DATABASE_OWNER_URL", empty_clone.owner)
    clean_environment.setenv("FACEPLATE_MIGRATE_ON_START", setting)

    async with running() as db:
        assert await db.ping() > 0

    assert await tables(empty_clone.owner) == expected


async def test_the_role_of_the_application_cannot_migrate(clean_environment, empty_clone):
    """Without the owner's URL the application's role is tried, and what it may not is said."""
    if empty_clone.app == empty_clone.owner:
        pytest.skip("the given server has one role for both: unset TEST_DATABASE_URL")
    clean_environment.setenv("DATABASE_URL", empty_clone.app)

    with pytest.raises(MigrationError, match="permission denied"):
        await migrate_database()


OTHER_PRODUCT = {
    "alembic.ini": "[alembic]\nscript_location = %(here)s/other\npath_separator = os\n",
    "other/env.py": (
        "from holdfast import migrate\nfrom sqlalchemy import MetaData\n"
        "migrate.run_env(MetaData())\n"
    ),
    "other/versions/001_users.py": (
        "from alembic import op\n\nrevision, down_revision = '001', None\n\n"
        "def upgrade():\n    op.execute('CREATE TABLE users (name text)')\n\n"
        "def downgrade():\n    op.execute('DROP TABLE users')\n"
    ),
}


@pytest.mark.parametrize("first", ["other", "faceplate"])
async def test_two_products_on_one_database(database_url, tmp_path, first):
    """Another product with a table, a revision and a version table of the same names is let be."""
    for name, content in OTHER_PRODUCT.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    configs = [tmp_path / "alembic.ini", ALEMBIC_INI]
    async with Database(database_url) as db:
        for config in configs if first == "other" else configs[::-1]:
            assert (await migrate.upgrade(db, config)).before == ()
        assert await tables(database_url) == TABLES
        assert await tables(database_url, "public") == {"users"}

        for config in configs:  # each one knows where it is
            assert (await migrate.upgrade(db, config)).before == ("001",)

        await migrate.downgrade(db, ALEMBIC_INI, "base")
        assert await tables(database_url) == set()
        assert await tables(database_url, "public") == {"users"}
        assert await migrate.current(db, configs[0]) == ("001",)


async def test_nothing_is_compared_with_other_schemas(database_url):
    """A new revision does not want to drop what another product has."""
    async with Database(database_url) as db:
        await migrate.upgrade(db, ALEMBIC_INI)
        async with db.begin() as session:
            await session.execute(text("CREATE TABLE public.theirs (id int)"))

        assert await migrate.revision(db, ALEMBIC_INI, "nothing is different") is None


async def test_every_constraint_has_its_name_once(clone):
    """No name repeats its prefix or is cut: the name in the code is the one in an error."""
    async with Database(clone.owner) as db, db.read() as session:
        found = (await session.execute(text(CONSTRAINTS))).all()

    assert {table for table, _ in found} == TABLES
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
        assert re.findall(r"^(?:from|import) (?:faceplate|holdfast)", source, re.MULTILINE) == []


def test_no_url_in_the_configuration():
    """alembic.ini has no URL, and so no password."""
    assert "://" not in ALEMBIC_INI.read_text(encoding="utf-8")


async def test_a_bulk_load_may_leave_the_order_to_itself(clone, make):
    """The owner of the tables can switch the trigger off, and gives the times then."""
    user = make.user()
    async with Database(clone.owner) as db:
        async with db.begin() as session:
            session.add(user)
            await session.flush()
            conversation = make.conversation(user)
            session.add(conversation)
            await session.flush()
            switch = "ALTER TABLE faceplate.messages {} TRIGGER place_message"
            await session.execute(text(switch.format("DISABLE")))
            session.add(make.message(conversation))
            await session.flush()
            await session.execute(text(switch.format("ENABLE")))
        async with db.read() as session:
            stored = await session.get_one(Conversation, conversation.id)
    assert stored.updated_at == conversation.updated_at
