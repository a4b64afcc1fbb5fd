"""What an SQLite database says of itself: each thing that is wrong is caused for real once."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from sqlalchemy import event

from holdfast.database import Database, DatabasePolicy, embedded
from holdfast.events import Check, Events

NAMES = ["reached", "server", "journal_mode", "foreign_keys", "integrity", "writes"]


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    policy = DatabasePolicy(lock_timeout=0.1)
    db = Database(url, policy=policy, events=Events(lambda _: None))
    try:
        yield db
    finally:
        await db.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Give a database with some pages."""
    path = tmp_path / "notes.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE notes (body text)")
        connection.executemany("INSERT INTO notes VALUES (?)", [("x" * 900,)] * 100)
        connection.commit()
    return path


def by_name(checks) -> dict[str, Check]:
    return {each.name: each for each in checks}


async def test_all_is_well(file):
    """File, version, journal, foreign keys, integrity and writing are told, and nothing else."""
    async with opened(f"sqlite:///{file}") as db:
        checks = await db.examine()
        quick = await db.check()

    assert [each.name for each in checks] == NAMES
    assert {each.state for each in (*checks, *quick)} == {"ok"}
    assert by_name(checks)["journal_mode"].said == "wal"


async def test_looking_changes_nothing(file):
    """The write that is tried is taken back: nobody else sees a change."""
    with closing(sqlite3.connect(file)) as other:
        before = other.execute("PRAGMA data_version").fetchone()
        async with opened(f"sqlite:///{file}") as db:
            await db.examine()

        assert other.execute("PRAGMA data_version").fetchone() == before


async def test_in_memory():
    """It has no file and no journal beside it."""
    async with opened("sqlite://") as db:
        checks = await db.examine()

    assert [each.name for each in checks] == NAMES
    assert {each.state for each in checks} == {"ok"}
    assert by_name(checks)["foreign_keys"].said == "on"


@pytest.mark.parametrize("way", ["check", "examine"])
async def test_no_file(tmp_path, way):
    """It is not made by looking."""
    async with opened(f"sqlite:///{tmp_path}/none.db") as db:
        [check] = await getattr(db, way)()

    assert (check.name, check.state) == ("reached", "failed")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("way", ["check", "examine"])
async def test_no_folder(tmp_path, way):
    """It is named, for neither SQLite nor a migration would make it."""
    async with opened(f"sqlite:///{tmp_path}/none/notes.db") as db:
        [check] = await getattr(db, way)()

    assert (check.name, check.state) == ("reached", "failed")
    assert f"there is no folder {tmp_path}/none, and SQLite makes none: make it" in check.said
    assert list(tmp_path.iterdir()) == []


async def test_no_database(tmp_path):
    """A file that is something else is told of in SQLite's words."""
    (tmp_path / "notes.db").write_text("something else" * 100)
    async with opened(f"sqlite:///{tmp_path}/notes.db") as db:
        [check] = await db.examine()

    assert check.state == "failed"
    assert "file is not a database" in check.said


async def test_a_damaged_file(file):
    """A page that was overwritten is found."""
    with file.open("r+b") as opened_file:
        opened_file.seek(4096 * 5)
        opened_file.write(b"\xff" * 4096)
    async with opened(f"sqlite:///{file}") as db:
        checks = by_name(await db.examine())

    assert checks["integrity"].state == "failed"
    assert "backup" in checks["integrity"].advice


async def test_a_large_file(file, monkeypatch):
    """Looking through it ends after a while, and the rest is told all the same."""
    monkeypatch.setattr(embedded, "_LOOKS_FOR", 0)
    async with opened(f"sqlite:///{file}") as db:
        checks = by_name(await db.examine())

    assert {name: each.state for name, each in checks.items() if each.state != "ok"} == {
        "integrity": "warning"
    }


async def test_an_old_sqlite(file, monkeypatch):
    """A version that is not supported is told of."""
    monkeypatch.setattr(embedded, "OLDEST", (99, 0))
    async with opened(f"sqlite:///{file}") as db:
        checks = by_name(await db.examine())

    assert checks["server"].state == "failed"
    assert "99.0" in checks["server"].advice


async def test_only_reading(file):
    """Where writing is not allowed, the lock to write cannot be had."""
    async with opened(f"sqlite:///file:{file}?mode=ro&uri=true") as db:
        checks = by_name(await db.examine())

    assert {name for name, each in checks.items() if not each.ok} == {"writes"}
    assert "readonly" in checks["writes"].said


async def test_somebody_else_writes(file):
    """A lock that is held for longer than `lock_timeout` is told of."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        async with opened(f"sqlite:///{file}") as db:
            checks = by_name(await db.examine())

    assert checks["writes"].said == "database is locked"


async def test_what_the_application_undid(file):
    """Pragmas that were set otherwise are told with what follows."""
    async with opened(f"sqlite:///{file}") as db:

        @event.listens_for(db.engine.sync_engine, "connect")
        def undo(connection, _entry):
            cursor = connection.cursor()
            cursor.execute("PRAGMA foreign_keys=OFF")
            cursor.execute("PRAGMA journal_mode=DELETE")
            cursor.close()

        checks = by_name(await db.examine())

    wrong = {name: each.said for name, each in checks.items() if not each.ok}
    assert wrong == {
        "journal_mode": "delete: readers and the writer wait for each other",
        "foreign_keys": "off: a row may refer to one that is not there",
    }
