"""What commands print of a database, for people and for programs."""

import enum
import json
import uuid
from datetime import UTC, datetime

import pytest
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from holdfast.cli.rows import columns_of, print_json, print_page, print_row, print_rows, printable
from holdfast.paging import Page

AT = datetime(2026, 11, 23, 7, 30, 15, 123456, tzinfo=UTC)
ID = uuid.UUID("019a0000-0000-7000-8000-000000000001")
NASTY = "red \x1b[31m\x9b\u202e\x07"
SHOWN = r"red \u001b[31m\u009b\u202e\u0007"


class Base(DeclarativeBase):
    """Of these tests alone."""


class Book(Base):
    """Something that is printed."""

    __tablename__ = "books"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column("title")


class Size(enum.Enum):
    """A value that is no text."""

    SMALL = "small"


ROW = {
    "id": ID,
    "title": NASTY,
    "size": Size.SMALL,
    "new": True,
    "tags": ["a", "b"],
    "places": [{"at": 1}],
    "pages": 12,
    "at": AT,
    "note": None,
}


def test_the_columns_of_a_row():
    """By the names of the attributes."""
    assert columns_of(Book(id=ID, name="Emma")) == {"id": ID, "name": "Emma"}


def test_json_is_one_document(capsys):
    """Times, ids and enums have a form, and no character of a value reaches the terminal."""
    print_row(ROW, as_json=True)

    printed = capsys.readouterr().out
    assert json.loads(printed) == {
        **ROW, "id": str(ID), "size": "small", "at": "2026-11-23T07:30:15.123456+00:00",
    }  # fmt: skip
    assert not set("\x1b\x9b\u202e\x07") & set(printed)


def test_what_has_no_json_form_is_a_mistake():
    """It is not guessed at."""
    with pytest.raises(TypeError, match="object has no JSON form"):
        print_json({"it": object()})


def test_a_row_is_a_line_for_each_column(capsys):
    """A column without a value has none, and a text of two lines cannot look like a column."""
    print_row({**ROW, "title": f"{NASTY}\nsize  large"}, as_json=False)

    assert capsys.readouterr().out.splitlines() == [
        f"id      {ID}",
        f"title   {SHOWN}",
        "        size  large",
        "size    small",
        "new     yes",
        "tags    a, b",
        'places  [{"at": 1}]',
        "pages   12",
        "at      2026-11-23 07:30:15+00:00",
    ]


def test_a_table_has_a_line_for_each_row(capsys):
    """However long it is, and a text of two lines is one; numbers stand at the right."""
    rows = [ROW, {**ROW, "title": "long " * 100 + "\nend", "pages": 1_000, "new": False}]
    print_rows(rows, ("title", "new", "pages"))

    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["title", "new", "pages"]
    assert first.rstrip().startswith(SHOWN)
    assert first.rstrip().endswith("yes     12")
    assert second == "long " * 100 + "end  no    1000"


def test_a_table_without_rows_is_its_head(capsys):
    """Whoever reads it sees that it was looked for."""
    print_rows([], ("title", "pages"))

    assert capsys.readouterr().out.split() == ["title", "pages"]


def test_a_page_says_how_to_go_on(capsys):
    """In a line below the table, or as a key."""
    page = Page(items=[Book(id=ID, name="Emma")], next="1-2")
    print_page(page, ("name",), as_json=False)
    assert capsys.readouterr().out.splitlines() == ["name", "Emma", "more: --after 1-2"]

    print_page(page, ("name",), as_json=True)
    assert json.loads(capsys.readouterr().out) == {
        "items": [{"id": str(ID), "name": "Emma"}], "next": "1-2",
    }  # fmt: skip


def test_the_last_page_of_what_is_shown_otherwise(capsys):
    """The caller may say what is printed of an item, and nothing follows the last page."""
    page = Page(items=[1, 2], next=None)
    print_page(page, ("n",), as_json=False, shown=lambda n: {"n": n * 10})

    assert [line.strip() for line in capsys.readouterr().out.splitlines()] == ["n", "10", "20"]


def test_tabs_stay():
    """They move the cursor no further than a space would."""
    assert printable("a\tb\r\n") == r"a\u000d\u000a".replace("a", "a\tb", 1)
