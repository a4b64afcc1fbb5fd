import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from holdfast import migrate
from holdfast.database import Database
from holdfast.errors import MigrationError
from holdfast.migrate import noop

ENV = "from holdfast import migrate\nfrom sqlalchemy import MetaData\nmigrate.run_env(MetaData())\n"
SCRIPT = "revision = {revision!r}\ndown_revision = {down!r}\n{more}\ndef upgrade(): pass\n"
PROGRAM = """
import asyncio, sys
from holdfast import migrate
from holdfast.database import Database
from holdfast.errors import MigrationError

async def main():
    async with Database(sys.argv[1]) as db:
        await migrate.upgrade(db, sys.argv[2])

asyncio.run(main())
print("alembic" in sys.modules)
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "m" / "versions").mkdir(parents=True)
    (tmp_path / "m" / "env.py").write_text(ENV)
    path = tmp_path / "alembic.ini"
    path.write_text("[alembic]\nscript_location = %(here)s/m\npath_separator = os\n")
    return path


def _write(config: Path, revision: str, down: object = None, more: str = "") -> None:
    file = config.parent / "m" / "versions" / f"{revision}.py"
    file.write_text(SCRIPT.format(revision=revision, down=down, more=more))


def _run(program: str, url: str, config: Path) -> str:
    command = [sys.executable, "-c", program, url, str(config)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _loads_alembic(url: str, config: Path) -> bool:
    return _run(PROGRAM, url, config) == "True"


async def test_nothing_to_do_is_found_without_alembic(database_url, config):
    """At the newest revision Alembic is not even imported; before it is."""
    _write(config, "a")
    _write(config, "b", "a")

    assert _loads_alembic(database_url, config)
    assert not _loads_alembic(database_url, config)


async def test_a_new_file_is_seen(database_url, config):
    """A migration added after the last run is run."""
    _write(config, "a")
    async with Database(database_url) as db:
        await migrate.upgrade(db, config)
        _write(config, "b", "a")
        moved = await migrate.upgrade(db, config)

    assert (moved.before, moved.after) == (("a",), ("b",))


@pytest.mark.parametrize(
    "more", ["branch_labels = ('x',)", "SCHEMA = dict(schema='shop')", "depends_on = None or ()"]
)
async def test_what_is_out_of_the_ordinary_is_left_to_alembic(database_url, config, more):
    """Labels, dependencies and schemas are Alembic's to judge."""
    _write(config, "a", None, more)
    _loads_alembic(database_url, config)

    assert _loads_alembic(database_url, config)


async def test_revisions_in_a_tuple_are_seen(database_url, config):
    """A file that Alembic can read and the quick look cannot is no reason to see nothing new."""
    _write(config, "a")
    async with Database(database_url) as db:
        await migrate.upgrade(db, config)
        second = config.parent / "m" / "versions" / "b.py"
        second.write_text("revision, down_revision = 'b', 'a'\ndef upgrade(): pass\n")
        moved = await migrate.upgrade(db, config)

    assert (moved.before, moved.after) == (("a",), ("b",))


async def test_where_python_cannot_parse_alembic_looks(database_url, config, monkeypatch):
    """Python 3.11 may fail to, with an error of its own, where two threads do so at once."""

    def parse(_source: str) -> None:
        raise SystemError("AST constructor recursion depth mismatch (before=54, after=47)")

    _write(config, "a")
    monkeypatch.setattr(noop, "ast", SimpleNamespace(parse=parse))

    async with Database(database_url) as db:
        assert (await migrate.upgrade(db, config)).after == ("a",)


async def test_two_heads_are_still_an_error(database_url, config):
    """Two heads are not taken for one, although the database may be at both."""
    _write(config, "a")
    async with Database(database_url) as db:
        await migrate.upgrade(db, config)
        _write(config, "b", "a")
        _write(config, "c", "a")
        with pytest.raises(MigrationError, match="heads"):
            await migrate.upgrade(db, config)


UNCHANGED = """
import asyncio, sys
from holdfast import migrate
moved = asyncio.run(migrate.unchanged(sys.argv[1], sys.argv[2]))
print(moved.after if moved else None, "sqlalchemy" in sys.modules)
"""


async def test_unchanged_says_what_upgrade_would(database_url, config):
    """The driver's answer is the same, place included."""
    _write(config, "a")
    assert await migrate.unchanged(database_url, config) is None

    async with Database(database_url) as db:
        await migrate.upgrade(db, config)
        again = await migrate.upgrade(db, config)
    unchanged = await migrate.unchanged(database_url, config)

    assert unchanged is not None
    assert (unchanged.place, unchanged.before, unchanged.after) == (again.place, ("a",), ("a",))


async def test_unchanged_needs_no_sqlalchemy(database_url, config):
    """The question is answered before SQLAlchemy would be imported."""
    _write(config, "a")
    async with Database(database_url) as db:
        await migrate.upgrade(db, config)

    assert _run(UNCHANGED, database_url, config) == "('a',) False"


@pytest.mark.parametrize("more", ["depends_on = ('c',)\n", "SCHEMA = dict(schema='s')\n"])
async def test_what_the_driver_cannot_tell(database_url, config, more, tmp_path):
    """A folder that is out of the ordinary, and a server that does not answer, give None."""
    _write(config, "a")
    async with Database(database_url) as db:
        await migrate.upgrade(db, config)

    assert await migrate.unchanged(f"postgresql://app@/x?host={tmp_path}", config) is None
    _write(config, "a", more=more)
    assert await migrate.unchanged(database_url, config) is None


def test_a_fingerprint_is_of_every_file(project):
    """A migration, SQL that it reads, env.py and the alembic.ini: each changes it, and back."""
    project.add("a")
    before = migrate.fingerprint(project.ini)
    for file in (*project.versions, project.folder / "migrations/env.py", project.ini):
        text = file.read_text()
        file.write_text(text + "# more")
        assert migrate.fingerprint(project.ini) != before, file
        file.write_text(text)
    assert migrate.fingerprint(project.ini) == before

    (project.folder / "migrations/versions/a.sql").write_text("SELECT 1")
    assert migrate.fingerprint(project.ini) != before


def test_a_fingerprint_finds_migrations_that_are_elsewhere(project):
    """Where only Alembic can tell, it is asked."""
    project.add("a")
    elsewhere = project.folder / "elsewhere"
    project.versions[0].parent.rename(elsewhere)
    project.ini.write_text(f"{project.ini.read_text()}version_locations = {elsewhere}\n")
    before = migrate.fingerprint(project.ini)
    with (elsewhere / "a.py").open("a") as file:
        file.write("# more")

    assert migrate.fingerprint(project.ini) != before
