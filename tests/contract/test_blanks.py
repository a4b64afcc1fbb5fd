"""What is blank for Python is blank for the database, and nothing else is."""

import sys

import pytest
from sqlalchemy import MetaData, func, inspect, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from holdfast import models
from holdfast.errors import InvalidValueError
from holdfast.models import BLANKS, NAMING_CONVENTION, NotBlank, UUIDKey, is_blank


class Base(models.Base):
    """What the tables here are made from."""

    __abstract__ = True
    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class Task(UUIDKey, Base):
    """One with a title."""

    __tablename__ = "tasks"
    title: Mapped[str] = mapped_column(NotBlank(200))
    note: Mapped[str | None] = mapped_column(NotBlank(name="says_something"))


@pytest.fixture(autouse=True)
async def made(tables):
    """Make the tables."""
    await tables(Base)


# Python's spaces, what only looks like one, and what some libraries take for one.
CHARACTERS = [
    *(chr(each) for each in range(1, sys.maxunicode) if chr(each).isspace()),
    *BLANKS,
    *"\u180e\u200c\u200d\u00ad\u034f\u2061\u2800\u3164\u115f\uffa0_.-0a\x01\x08\x0e\x7f\x80",
]
INSERT = "INSERT INTO tasks (id, title) VALUES ('00000000000070008000000000000000', :title)"


async def test_both_agree_on_every_character(db):
    """By themselves, doubled, and around a text that is not blank."""
    for character in dict.fromkeys(CHARACTERS):
        for title in (character, character * 2, f" {character}\t", f"{character}x{character}"):
            refused = not await _takes(db, title)
            assert refused == is_blank(title), ascii(title)


async def _takes(db, title):
    """Tell whether the database itself takes a title."""
    async with db.session() as session:
        try:
            await session.execute(text(INSERT), {"title": title})
        except IntegrityError as error:
            return "ck_tasks_title_not_blank" not in str(error)
    return True


async def test_an_empty_text_is_refused_by_both(db):
    """And nothing is no text."""
    assert not await _takes(db, "")
    assert is_blank("")
    async with db.begin() as session:
        session.add(Task(title="x", note=None))


@pytest.mark.parametrize("title", ["", " ", "\t\n", "\u200b\ufeff", "\u3000"])
async def test_a_blank_text_is_refused_on_assigning_and_on_writing(db, title):
    """The field is named, and the old text stays."""
    task = Task(title="x")

    with pytest.raises(InvalidValueError, match=r"^Task\.title is empty or blank"):
        task.title = title
    assert task.title == "x"
    with pytest.raises(InvalidValueError, match=r"^Task\.title is empty or blank"):
        Task(title=title)
    with pytest.raises(InvalidValueError, match="is empty or blank"):
        async with db.begin() as session:
            await session.execute(Task.__table__.insert().values(title=title))


async def test_a_text_is_stored_as_it_is(db):
    """With the blanks around it."""
    async with db.begin() as session:
        session.add(task := Task(title=" \u00a0x\n"))
    async with db.read() as session:
        assert (await session.get_one(Task, task.id)).title == " \u00a0x\n"


SEARCHES = [
    Task.title.contains(" "),
    Task.title.startswith(""),
    Task.title + " " + Task.title == "a b a b",
    Task.title != "",
    func.coalesce(Task.note, "") == "",
]


@pytest.mark.parametrize("search", SEARCHES, ids=range(len(SEARCHES)))
async def test_what_is_looked_for_may_be_blank(db, search):
    """It is a part of a text, or one that no row has."""
    async with db.begin() as session:
        session.add(Task(title="a b"))

    async with db.read() as session:
        assert await session.scalar(select(Task.title).where(search)) == "a b"


async def test_the_constraints_have_their_names(db):
    """That of the column, or the one that was given; a copy of the table has each once."""
    expected = {"ck_tasks_title_not_blank", "ck_tasks_says_something"}

    async with db.engine.connect() as connection:
        found = await connection.run_sync(lambda c: inspect(c).get_check_constraints("tasks"))
    assert {each["name"] for each in found} == expected
    copied = Task.__table__.to_metadata(MetaData(naming_convention=NAMING_CONVENTION))
    names = [each.name for each in copied.constraints if "ck_" in (each.name or "")]
    assert sorted(names) == sorted(expected)
