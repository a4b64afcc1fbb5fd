"""What commands print of a database: tables and lines for people, JSON for programs.

    @app.command("list")
    def list_(*, after: After = None, limit: Limit = 100, as_json: AsJson = False) -> None:
        page = runner.ask(list_decks, after=after, limit=limit)
        print_page(page, ("id", "name", "created_at"), as_json=as_json)

What was stored is shown, never obeyed: a terminal gets no control character of it.
"""

import enum
import json
import re
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy import inspect

from holdfast.cli.output import AsJson
from holdfast.paging import Page

__all__ = [
    "After",
    "AsJson",
    "Limit",
    "columns_of",
    "print_json",
    "print_page",
    "print_row",
    "print_rows",
    "printable",
]

T = TypeVar("T")
Row = Mapping[str, object]

Limit = Annotated[int, typer.Option(help="At most so many.")]
After = Annotated[str | None, typer.Option(help="Go on after a page: the `next` that it gave.")]

_UTF8 = "utf-8"
_ONE_LINE = 10_000  # characters
# Control characters but for the tab, and those that turn the direction of the text after them.
_UNSAFE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def columns_of(thing: object) -> dict[str, object]:
    """Give the columns of a mapped object by name; all of them have to be loaded."""
    columns = inspect(type(thing)).column_attrs
    return {column.key: getattr(thing, column.key) for column in columns}


def print_json(value: object) -> None:
    """Print one JSON document: times as ISO 8601, UUIDs as text, enums by value."""
    # JSON has an escape of its own for what an output other than UTF-8 may lack.
    is_ascii = (sys.stdout.encoding or _UTF8).lower() != _UTF8
    text = json.dumps(value, default=_plain, ensure_ascii=is_ascii, indent=2)
    # Only inside of strings, where JSON reads the escape as the character.
    typer.echo("\n".join(map(printable, text.split("\n"))))


def print_row(row: Row, *, as_json: bool) -> None:
    """Print one row: a line for each column that has something, more for a text of several."""
    if as_json:
        print_json(row)
        return
    width = max(map(len, row)) + 2
    for name, value in row.items():
        first, *rest = map(printable, _text(value).split("\n"))
        if first or rest:
            typer.echo(
                "\n".join([f"{name:<{width}}{first}", *(" " * width + each for each in rest)])
            )


def print_rows(rows: Iterable[Row], columns: Sequence[str]) -> None:
    """Print a table with a line for each row; in a pipe, which has no width, however long."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    shown = [[row[column] for column in columns] for row in rows]
    for number, column in enumerate(columns):
        numbers = bool(shown) and all(_is_number(row[number]) for row in shown)
        table.add_column(column, overflow="fold", justify="right" if numbers else "left")
    for row in shown:
        table.add_row(*(Text(printable(" ".join(_text(value).split()))) for value in row))
    Console(width=None if sys.stdout.isatty() else _ONE_LINE).print(table)


def print_page(
    page: Page[T],
    columns: Sequence[str],
    *,
    as_json: bool,
    shown: Callable[[T], Row] = columns_of,
) -> None:
    """Print the rows of a page, and how to go on: `{"items": […], "next": …}` as JSON.

    Args:
        page: what a service gave.
        columns: those of the table; JSON has them all.
        as_json: whether to print JSON.
        shown: gives what is printed of an item.
    """
    rows = [shown(each) for each in page.items]
    if as_json:
        print_json({"items": rows, "next": page.next})
        return
    print_rows(rows, columns)
    if page.next:
        typer.echo(f"more: --after {page.next}")


def printable(text: str) -> str:
    r"""Give a text in one line, its control characters as `\u001b`, which JSON reads as well."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: object) -> str:
    """Write a value for people."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, list) and all(isinstance(each, str | int) for each in value):
        return ", ".join(map(str, value))
    if isinstance(value, list | dict):
        return json.dumps(value, default=_plain, ensure_ascii=False)
    return str(value.value if isinstance(value, enum.Enum) else value)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, enum.Enum):
        return value.value
    raise TypeError(f"{type(value).__name__} has no JSON form")
