"""Whether a database is where the migrations end."""

from pathlib import Path

import pytest
from sqlalchemy import text

from holdfast import migrate
from holdfast.database import Database
from holdfast.events import Check


async def checked(url: str, ini: Path) -> Check:
    async with Database(url) as db:
        [check] = await migrate.check(db, ini)
    assert bool(check.advice) != check.ok
    return check


async def moved(url: str, ini: Path, to: str) -> None:
    async with Database(url) as db:
        await migrate.upgrade(db, ini, to)


async def test_behind_and_at_the_newest(any_url, project):
    """It counts what is to be done, and says when nothing is."""
    project.add("a")
    project.add("b", down="a")
    project.add("c", down="b")

    before = await checked(any_url, project.ini)
    assert (before.state, before.said) == ("failed", "at nothing, 3 behind c")
    await moved(any_url, project.ini, "a")
    between = await checked(any_url, project.ini)
    assert (between.state, between.said) == ("failed", "at a, 2 behind c")
    assert between.advice == "holdfast migrate"
    await moved(any_url, project.ini, "head")
    after = await checked(any_url, project.ini)
    assert (after.state, after.said) == ("ok", "c, the newest")


async def test_looking_changes_nothing(database_url, project):
    """Not even the version table is made."""
    project.add("a")
    await checked(database_url, project.ini)

    async with Database(database_url) as db, db.read() as session:
        found = await session.scalar(
            text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        )
    assert found == 0


async def test_a_revision_of_newer_code(database_url, project):
    """A revision that no file has is told of: somebody deployed older code."""
    project.add("a")
    await moved(database_url, project.ini, "head")
    project.versions[0].unlink()
    project.add("z")

    check = await checked(database_url, project.ini)

    assert check.state == "failed"
    assert "the database is at revision 'a', and no file beside " in check.said


async def test_two_heads(database_url, project):
    """Branches that were not merged are told of."""
    for name in ("a", "b"):
        project.add(name)

    assert "there are 2 heads: a, b" in (await checked(database_url, project.ini)).said


async def test_no_migration_yet(database_url, project):
    """Without a file there is nothing to be behind of."""
    check = await checked(database_url, project.ini)

    assert (check.state, check.said) == ("ok", "there is no migration yet")


@pytest.mark.parametrize("missing", ["alembic.ini", "server"])
async def test_what_cannot_be_looked_at(database_url, project, missing, tmp_path):
    """It is a failed check, not an exception."""
    project.add("a")
    ini = tmp_path / "none.ini" if missing == "alembic.ini" else project.ini
    url = "postgresql://app@127.0.0.1:1/shop" if missing == "server" else database_url
    [check] = await migrate.check(Database(url), ini)

    assert check.state == "failed"
    assert check.advice
