"""The migrations: by command and from code, forward and back, on both engines."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from holdfast import migrate
from holdfast.database import Database
from holdfast.testing.migrations import *  # noqa: F403
from todo.core.start import ALEMBIC_INI, migrate_database
from todo.models import Task

APP = ALEMBIC_INI.parent
VERSIONS = APP / "alembic" / "versions"
FILE_NAME = re.compile(r"\d{8}_\d{6}_[a-z_]+\.py")
HEAD = "7d0c5be1f2a4"


def alembic(*words: str, url: str, folder: Path = APP) -> str:
    """Run the plain command in a folder, as somebody would by hand."""
    run = subprocess.run(
        [str(Path(sys.executable).with_name("alembic")), *words],
        cwd=folder,
        env={**os.environ, "DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request, clean_environment, tmp_path) -> str:
    """Give the URL of an empty database of either engine, as the role that migrates."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/empty.db"
    return request.getfixturevalue("empty_clone").owner


async def look(url: str) -> tuple[set[str], set[str], set[str]]:
    """Give the names of tables, and of the indexes and checks of `tasks`."""

    def ask(sync) -> tuple[set[str], set[str], set[str]]:
        found = inspect(sync)
        tables = set(found.get_table_names()) - {"alembic_version"}
        if "tasks" not in tables:
            return tables, set(), set()
        indexes = {each["name"] for each in found.get_indexes("tasks")}
        return tables, indexes, {each["name"] for each in found.get_check_constraints("tasks")}

    async with Database(url) as db, db.engine.connect() as connection:
        return await connection.run_sync(ask)


MIGRATED = (
    {"tasks"},
    {"ix_tasks_user_id", "ix_tasks_user_id_created_at_id"},
    {"ck_tasks_title_not_empty"},
)
NOTHING = (set(), set(), set())


async def test_up_down_up_by_command(empty_url):
    """`alembic upgrade head` on an empty database, `downgrade -1`, and once more."""
    for words, expected in (
        (("upgrade", "head"), MIGRATED),
        (("downgrade", "-1"), NOTHING),
        (("upgrade", "head"), MIGRATED),
    ):
        await asyncio.to_thread(alembic, *words, url=empty_url)
        assert await look(empty_url) == expected


async def test_the_models_and_the_database_agree(empty_url):
    """`alembic check` finds nothing to do."""
    await asyncio.to_thread(alembic, "upgrade", "head", url=empty_url)

    assert "No new upgrade operations" in await asyncio.to_thread(alembic, "check", url=empty_url)


async def test_times_of_bare_sql_are_as_long_as_ours(clean_environment, tmp_path):
    """SQLite compares them as texts: a page that ends at one would miss the next."""
    async with Database(f"sqlite:///{tmp_path}/tasks.db") as db:
        await migrate.upgrade(db, ALEMBIC_INI)
        async with db.begin() as session:
            await session.execute(
                text("INSERT INTO tasks (id, user_id, title) VALUES ('1', '1', 'bare')")
            )
        async with db.read() as session:
            asked = text("SELECT length(created_at), length(updated_at) FROM tasks")
            assert (await session.execute(asked)).one() == (26, 26)


async def test_no_seed_data(empty_url):
    """A new database has no tasks."""
    async with Database(empty_url) as db:
        moved = await migrate.upgrade(db, ALEMBIC_INI)
        assert (moved.before, moved.after) == ((), (HEAD,))
        async with db.read() as session:
            assert await session.scalar(text("SELECT count(*) FROM tasks")) == 0


async def test_from_code(empty_url, clean_environment):
    """As the role that owns the tables; again, there is nothing to do."""
    clean_environment.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    clean_environment.setenv("DATABASE_OWNER_URL", empty_url)

    assert (await migrate_database()).after == (HEAD,)
    again = await migrate_database()
    assert again.before == again.after == (HEAD,)


def test_file_names():
    """Each begins with the moment at which it was made."""
    files = [file.name for file in VERSIONS.glob("*.py")]

    assert files
    assert all(map(FILE_NAME.fullmatch, files))


def test_the_migrations_stand_alone():
    """A migration means the same for ever: it imports neither the models nor the library."""
    for file in VERSIONS.glob("*.py"):
        source = file.read_text(encoding="utf-8")
        assert re.findall(r"^(?:from|import) (?:todo|holdfast)", source, re.MULTILINE) == []


def test_no_url_in_the_configuration():
    """alembic.ini has no URL, and so no password."""
    assert "://" not in ALEMBIC_INI.read_text(encoding="utf-8")


async def test_a_new_revision(tmp_path, clean_environment):
    """It is named by its moment, imports SQLModel's types, and runs; nothing of the library's."""
    copy = tmp_path / "todo"
    shutil.copytree(APP / "alembic", copy / "alembic", ignore=shutil.ignore_patterns("[0-9]*.py"))
    shutil.copy(ALEMBIC_INI, copy)
    url = f"sqlite:///{tmp_path}/new.db"
    for words in (("revision", "--autogenerate", "-m", "Make all of it"), ("upgrade", "head")):
        await asyncio.to_thread(alembic, *words, url=url, folder=copy)

    [file] = (copy / "alembic" / "versions").glob("*.py")
    source = file.read_text(encoding="utf-8")
    assert re.fullmatch(r"\d{8}_\d{6}_make_all_of_it\.py", file.name)
    assert "import sqlmodel.sql.sqltypes\n" in source
    assert "sa.String(length=1000)" in source
    assert "holdfast" not in source
    assert await look(url) == MIGRATED


async def test_what_is_there_stays(clean_environment, clone, ann):
    """Migrating a migrated database changes nothing, and what was stored stays."""
    async with Database(clone.app) as db:
        async with db.begin() as session:
            session.add(task := Task(user_id=ann, title="Buy milk"))
        async with Database(clone.owner) as owner:
            await migrate.upgrade(owner, ALEMBIC_INI)
        async with db.read() as session:
            assert (await session.get_one(Task, task.id)).title == "Buy milk"
