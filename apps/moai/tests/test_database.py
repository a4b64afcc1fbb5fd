"""The database module: its names, its sessions, and tables that any number of processes make."""

import asyncio
import inspect
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from holdfast import migrate
from holdfast.database import Database
from holdfast.errors import ConfigurationError, MigrationError, TransactionAbortedError
from moai.core import database
from moai.core.database import (
    ALEMBIC_INI,
    close_db,
    create_tables,
    get_database,
    get_session,
    init_db,
)
from moai.core.models import Project
from moai.errors import NotInitializedError

MIGRATIONS = ALEMBIC_INI.parent / "src/moai/core/migrations"
DEFAULT = "sqlite+aiosqlite:///./moai.db"
IN_MEMORY = "sqlite+aiosqlite:///:memory:"


def python(code, **environ):
    """Start a Python program in the current folder."""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process):
    """Wait until a program has ended well; give what it printed."""
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    return out


async def count():
    async with get_session() as session:
        return await session.scalar(select(func.count()).select_from(Project))


async def add_and_fail(error):
    """Add something, see it stored inside the transaction, and fail."""
    async with get_session() as session:
        session.add(Project(name="Caching"))
        await session.flush()
        raise error


# MOAI-7 and MOAI-8


def test_the_url_is_a_file_here_by_default(clean_environment):
    """Without any configuration it is ./moai.db, and nothing is opened for knowing that."""
    assert database.DATABASE_URL == DEFAULT
    init_db()

    assert database.engine.url.render_as_string() == "sqlite+aiosqlite:///./moai.db"
    assert list(Path().iterdir()) == []


def test_the_environment_comes_before_the_default(clean_environment):
    """Also when it is set after the module was imported; an empty one says nothing."""
    clean_environment.setenv("MOAI_DATABASE_URL", "sqlite+aiosqlite:///./other.db")
    init_db()
    assert database.engine.url.database == "./other.db"

    clean_environment.setenv("MOAI_DATABASE_URL", "")
    init_db()
    assert database.engine.url.database == "./moai.db"


def test_the_argument_comes_before_the_environment(clean_environment):
    """What is said is what is meant."""
    clean_environment.setenv("MOAI_DATABASE_URL", "sqlite+aiosqlite:///./other.db")
    init_db("sqlite+aiosqlite:///./third.db")

    assert database.engine.url.database == "./third.db"


@pytest.mark.parametrize(
    ("environ", "url"),
    [({}, DEFAULT), ({"MOAI_DATABASE_URL": "postgresql://h/moai"}, "postgresql://h/moai")],
)
def test_the_module_says_which_url_it_takes(clean_environment, environ, url):
    """DATABASE_URL is the environment's where that has one, as the module is imported."""
    printed = end(python("from moai.core import database; print(database.DATABASE_URL)", **environ))

    assert printed == f"{url}\n"


IMPORTED = """
import socket, sqlite3
def refuse(*_): raise AssertionError("opened")
sqlite3.connect = sqlite3.dbapi2.connect = socket.socket.connect = refuse
from moai.core import database
assert (database.engine, database.async_session_factory) == (None, None)
database.init_db()
assert database.engine is not None
"""


@pytest.mark.parametrize("environ", [{}, {"MOAI_DATABASE_URL": "postgresql://127.0.0.1:1/moai"}])
def test_importing_and_setting_up_open_nothing(clean_environment, environ):
    """No file and no connection, whatever the database is."""
    end(python(IMPORTED, **environ))

    assert list(Path().iterdir()) == []


def test_engine_and_factory_are_there_after_init_db(clean_environment):
    """They are SQLAlchemy's own kinds, and None before."""
    assert (database.engine, database.async_session_factory) == (None, None)
    init_db()

    assert isinstance(database.engine, AsyncEngine)
    assert isinstance(database.async_session_factory(), AsyncSession)
    assert inspect.signature(init_db).return_annotation is None


def test_a_url_that_cannot_be_used_changes_nothing(clean_environment):
    """The database that was set up before stays."""
    init_db()
    before = database.engine
    with pytest.raises(ConfigurationError, match="mysql"):
        init_db("mysql://ann:hunter2@db/moai")

    assert database.engine is before


# MOAI-9


async def read_revisions(url):
    async with Database(url) as db:
        return await migrate.current(db, ALEMBIC_INI)


def alembic(*words, url):
    """Run Alembic's own command in another folder, on the application's database."""
    done = subprocess.run(
        [Path(sys.executable).with_name("alembic"), "-c", ALEMBIC_INI, *words],
        env={**os.environ, "MOAI_DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_create_tables_stamps_the_head(clean_environment, empty_url):
    """Alembic finds the tables at its newest revision, and has nothing to do afterwards."""
    init_db(empty_url)
    await create_tables()
    async with get_session() as session:
        session.add(Project(name="Caching"))
    assert await read_revisions(empty_url) == (migrate.head(ALEMBIC_INI),)

    await asyncio.to_thread(alembic, "upgrade", "head", url=empty_url)

    assert "(head)" in await asyncio.to_thread(alembic, "current", url=empty_url)
    assert await count() == 1


async def test_create_tables_again_changes_nothing(clean_environment, empty_url):
    """What is stored stays."""
    init_db(empty_url)
    await create_tables()
    async with get_session() as session:
        session.add(Project(name="Caching"))
    await create_tables()

    assert await count() == 1


async def test_create_tables_after_all_was_taken_back(clean_environment, empty_url):
    """Alembic leaves a table of its own, with nothing in it."""
    init_db(empty_url)
    await create_tables()
    await migrate.downgrade(get_database(), ALEMBIC_INI, "base")
    await create_tables()

    assert await count() == 0
    assert await read_revisions(empty_url) == (migrate.head(ALEMBIC_INI),)


async def test_create_tables_migrates_what_is_older(clean_environment, empty_url, tmp_path):
    """Tables of a release before are brought to this one, not taken for it."""
    init_db(empty_url)
    await create_tables()
    newer = copy_with(tmp_path, "002_notes.py", NOTES)
    clean_environment.setattr(database, "ALEMBIC_INI", newer)
    await create_tables()
    async with get_session() as session:
        await session.execute(text("INSERT INTO notes VALUES (1)"))

    clean_environment.setattr(database, "ALEMBIC_INI", ALEMBIC_INI)
    with pytest.raises(MigrationError, match="'002', and no file beside"):
        await create_tables()


NOTES = """
from alembic import op

revision, down_revision = "002", "001"


def upgrade():
    op.execute("CREATE TABLE notes (id int)")


def downgrade():
    op.execute("DROP TABLE notes")
"""


def copy_with(folder, name, source):
    """Copy the migrations with one more; give the copy's alembic.ini."""
    shutil.copytree(MIGRATIONS, folder / MIGRATIONS.relative_to(ALEMBIC_INI.parent))
    (folder / MIGRATIONS.relative_to(ALEMBIC_INI.parent) / "versions" / name).write_text(source)
    shutil.copy(ALEMBIC_INI, folder)
    return folder / "alembic.ini"


@pytest.mark.parametrize("name", ["projects", "messages"])
async def test_create_tables_leaves_all_or_nothing(clean_environment, empty_url, name):
    """Where one of the tables cannot be made, none is, and the head is not stamped."""
    init_db(empty_url)
    async with get_session() as session:
        await session.execute(text(f"CREATE TABLE {name} (theirs int)"))
    with pytest.raises(DBAPIError, match=rf"{name}\W+already exists"):
        await create_tables()

    assert await read_revisions(empty_url) == ()
    async with get_session() as session:
        await session.execute(text(f"DROP TABLE {name}"))
    await create_tables()
    assert await count() == 0


AT_ONCE = """
import asyncio, os, sys, time
from moai.core.database import close_db, create_tables, get_session, init_db
from moai.core.models import Project

async def main():
    init_db()
    await asyncio.to_thread(sys.stdin.read)
    await create_tables()
    async with get_session() as session:
        session.add(Project(name="Caching"))
    await close_db()

print("ready", flush=True)
asyncio.run(main())
"""


async def test_many_processes_create_tables_at_once(clean_environment, empty_url):
    """All of them begin at the same moment, succeed and store what they have."""
    started = [python_waiting(AT_ONCE, MOAI_DATABASE_URL=empty_url) for _ in range(4)]
    for each in started:
        assert each.stdout.readline() == "ready\n"
    for each in started:
        each.stdin.close()
    for each in started:
        assert (each.wait(), each.stderr.read()) == (0, "")
        each.stdout.close()
        each.stderr.close()

    init_db(empty_url)
    assert await count() == 4
    assert await read_revisions(empty_url) == (migrate.head(ALEMBIC_INI),)


def python_waiting(code, **environ):
    """Start a Python program that waits for the end of its standard input."""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, **environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def test_many_tasks_create_tables_at_once(clean_environment, empty_url):
    """In one process as well."""
    init_db(empty_url)
    await asyncio.gather(*(create_tables() for _ in range(5)))

    assert await count() == 0


# MOAI-10


async def test_session_commits_at_the_end(opened):
    """What was added is stored when the block ends, and can be read afterwards."""
    async with get_session() as session:
        project = Project(name="Caching")
        session.add(project)

    assert await count() == 1
    assert project.created_at
    assert not session.in_transaction()


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt(), SystemExit(1)])
async def test_session_rolls_back_on_any_exception(opened, error):
    """Nothing is stored when the block fails, and the error comes out as it was."""
    with pytest.raises(BaseException) as caught:  # noqa: PT011  -- of any kind
        await add_and_fail(error)

    assert caught.value is error
    assert await count() == 0
    assert list(get_database().holders()) == []


async def test_session_rolls_back_when_cancelled(opened):
    """A task that is cancelled stores nothing and keeps no connection."""
    flushed = asyncio.Event()

    async def work():
        async with get_session() as session:
            session.add(Project(name="Caching"))
            await session.flush()
            flushed.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await flushed.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert list(get_database().holders()) == []
    assert await count() == 0


async def test_a_commit_that_fails_is_an_error(opened):
    """What the database refuses at the end reaches the caller, and nothing is stored."""

    async def add():
        async with get_session() as session:
            project = Project(name="Caching")
            session.add(project)
            await session.flush()
            session.expunge(project)
            session.add(Project(id=project.id, name="Twice"))

    with pytest.raises(IntegrityError):
        await add()

    assert await count() == 0


async def test_a_failed_statement_cannot_be_ignored(clean_environment, clone):
    """Going on after a failed statement does not end in a commit that stored nothing."""
    init_db(clone.app)

    async def go_on():
        async with get_session() as session:
            session.add(Project(name="Caching"))
            await session.flush()
            with suppress(DBAPIError):
                await session.execute(text("SELECT 1 / 0"))

    with pytest.raises(TransactionAbortedError):
        await go_on()

    assert await count() == 0


async def test_code_inside_may_commit(opened):
    """What was committed inside stays, whatever happens afterwards."""

    async def commit_and_fail():
        async with get_session() as session:
            session.add(Project(name="One"))
            await session.commit()
            session.add(Project(name="Two"))
            await session.flush()
            raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        await commit_and_fail()

    assert await count() == 1


# MOAI-11 and MOAI-12


@pytest.mark.parametrize("ask", [count, create_tables])
async def test_before_init_db_there_is_a_clear_error(clean_environment, ask):
    """It says what to call."""
    with pytest.raises(NotInitializedError, match=r"call moai\.core\.database\.init_db\(\) first"):
        await ask()


async def test_close_db_closes_and_init_db_opens_again(opened):
    """Closing twice is harmless, a session in between an error, and what was stored is there."""
    async with get_session() as session:
        session.add(Project(name="Caching"))
    closed = database.engine
    await close_db()
    await close_db()
    assert (database.engine, database.async_session_factory) == (None, None)
    assert closed.pool.checkedout() == 0
    with pytest.raises(NotInitializedError):
        await count()

    init_db(opened)

    assert await count() == 1


def test_the_docstring_explains_the_session_pattern():
    """Commit, rollback, closing, committing inside, and tasks."""
    said = " ".join(database.__doc__.split())

    for fact in (
        "async with get_session() as session",
        "what it did is committed",
        "all of it is rolled back",
        "the session is closed",
        "The code inside may commit",
        "A session belongs to one task",
        "init_db()",
        "close_db()",
    ):
        assert fact in said


# MOAI-13


async def test_in_memory_every_session_sees_the_same(clean_environment):
    """One after the other, and from tasks at once; closing forgets it."""
    init_db(IN_MEMORY)
    await create_tables()

    async def add(number):
        async with get_session() as session:
            session.add(Project(name=f"Project {number}"))

    await asyncio.gather(*map(add, range(10)))
    assert await count() == 10

    await close_db()
    init_db(IN_MEMORY)
    await create_tables()
    assert await count() == 0


async def test_in_memory_a_rollback_is_of_one_session(clean_environment):
    """What another one has stored stays."""
    init_db(IN_MEMORY)
    await create_tables()
    async with get_session() as session:
        session.add(Project(name="Stays"))
    with pytest.raises(RuntimeError):
        await add_and_fail(RuntimeError("no"))

    assert await count() == 1
