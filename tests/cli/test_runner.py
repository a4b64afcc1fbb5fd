"""Functions of a session, called from commands that are not async."""

from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text

from holdfast.cli import Runner
from holdfast.database import Database
from holdfast.errors import ReadOnlyError


@pytest.fixture
def url(tmp_path):
    """Give the URL of a new file."""
    return f"sqlite:///{tmp_path}/shelf.db"


@pytest.fixture
def runner(url):
    """Give what calls functions on that file."""
    return Runner(lambda: Database(url))


async def make(session):
    """Make a table."""
    await session.execute(text("CREATE TABLE books (title text)"))


async def add(session, title, *, then=None):
    """Store a title and give what there is now."""
    await session.execute(text("INSERT INTO books VALUES (:title)"), {"title": title})
    if then:
        raise then
    return await titles(session)


async def titles(session):
    """Give what is stored."""
    return list(await session.scalars(text("SELECT title FROM books")))


def test_what_writes_is_stored(runner):
    """Each call has a transaction, which is committed when the function returns."""
    runner.do(make)

    assert runner.do(add, "Emma") == ["Emma"]
    assert runner.ask(titles) == ["Emma"]


def test_what_fails_leaves_nothing(runner):
    """The error comes out as it was."""
    runner.do(make)

    with pytest.raises(LookupError, match="no such shelf"):
        runner.do(add, "Emma", then=LookupError("no such shelf"))

    assert runner.ask(titles) == []


def test_what_only_asks_cannot_write(runner):
    """A slip that would have changed something is an error."""
    runner.do(make)

    with pytest.raises(ReadOnlyError):
        runner.ask(add, "Emma")

    assert runner.ask(titles) == []


def test_each_call_opens_and_closes(url):
    """What has to come before the call and after it is the context manager's."""
    seen = []

    @asynccontextmanager
    async def opened():
        async with Database(url) as db:
            seen.append("opened")
            yield db
            assert db.holders() == []
        seen.append("closed")

    runner = Runner(opened)
    runner.do(make)
    runner.ask(titles)

    assert seen == ["opened", "closed"] * 2
