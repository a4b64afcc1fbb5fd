"""Todo on the databases of the test kit and on SQLite files."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from holdfast import migrate
from holdfast.database import Database
from holdfast.testing import Clone
from todo.core import config, database
from todo.core.start import ALEMBIC_INI
from todo.models import Task

APP = ALEMBIC_INI.parent
VARIABLES = ("DATABASE_URL", "DATABASE_OWNER_URL", "TEST_DATABASE_URL", "DIRECT_DATABASE_URL")


@pytest.fixture(scope="session")
def make_database() -> Callable[[str], Database]:
    """Give the application's own way to make its database."""
    return database.make_database


@pytest.fixture
async def clean_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[pytest.MonkeyPatch]:
    """Leave no setting of the machine, no `.env` and nobody's tasks in the way."""
    for name in [*VARIABLES, *(name for name in os.environ if name.startswith("TODO_"))]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.chdir(tmp_path)
    config.get_settings.cache_clear()
    yield monkeypatch
    await database.close_database()
    config.get_settings.cache_clear()


@pytest.fixture
def on_clone(clean_environment: pytest.MonkeyPatch, clone: Clone) -> Clone:
    """Let the application make its database itself, from the URLs in its environment."""
    clean_environment.setenv("DATABASE_URL", clone.app)
    clean_environment.setenv("DATABASE_OWNER_URL", clone.owner)
    return clone


@pytest.fixture
def shared_db(clean_environment: pytest.MonkeyPatch, db: Database) -> Iterator[Database]:
    """Let the application's own functions use the test's database, in its one transaction."""
    clean_environment.setattr(database, "make_database", lambda _url, **_options: db)
    yield database.get_database()
    database.get_database.cache_clear()  # the kit closes it


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a migrated SQLite file to be copied."""
    file = tmp_path_factory.mktemp("migrated") / "todo.db"

    async def make() -> None:
        async with Database(f"sqlite:///{file}") as db:
            await migrate.upgrade(db, ALEMBIC_INI)

    asyncio.run(make())
    return file


@pytest.fixture
def file_url(migrated_file: Path, tmp_path: Path) -> str:
    """Give the URL of a migrated SQLite file of the test's own."""
    file = tmp_path / "todo.db"
    file.write_bytes(migrated_file.read_bytes())
    return f"sqlite:///{file}"


@pytest.fixture(params=["sqlite", "postgresql"])
def either_url(request: pytest.FixtureRequest) -> str:
    """Give the URL of a migrated database of the test's own, once for each engine."""
    if request.param == "sqlite":
        return str(request.getfixturevalue("file_url"))
    clone: Clone = request.getfixturevalue("clone")
    return clone.app


@pytest.fixture
async def either(either_url: str) -> AsyncIterator[Database]:
    """Give such a database, open."""
    async with database.make_database(either_url) as db:
        yield db


@pytest.fixture
def ann() -> uuid.UUID:
    """Give the id of a user whom no other test has."""
    return uuid.uuid4()


@pytest.fixture
def bob() -> uuid.UUID:
    """Give the id of another one."""
    return uuid.uuid4()


@pytest.fixture
def make_task(ann: uuid.UUID) -> Callable[..., Task]:
    """Give a function that makes a valid task of Ann's."""

    def make(**values: object) -> Task:
        return Task(**{"user_id": ann, "title": "Buy milk"} | values)

    return make
