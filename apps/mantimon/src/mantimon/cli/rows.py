"""Print what is stored: lines and tables for people, a page at a time, or JSON for programs."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, TypeVar

import typer
from sqlalchemy import inspect

from holdfast.paging import Page
from mantimon.cards.names import printable
from mantimon.cli.output import print_json, print_table
from mantimon.db.models import Base

Limit = Annotated[int, typer.Option(help="At most so many.")]
After = Annotated[str | None, typer.Option(help="Go on after a page: the `next` that it gave.")]
Row = Mapping[str, object]
T = TypeVar("T", bound=Base)


def plain(thing: Base) -> dict[str, object]:
    """Give a row's columns, by name."""
    columns = inspect(type(thing)).column_attrs
    return {column.key: getattr(thing, column.key) for column in columns}


def print_row(row: Row, *, as_json: bool) -> None:
    """Print a row, a line for each column that has something."""
    if as_json:
        print_json(row)
        return
    width = max(map(len, row)) + 2
    for name, value in row.items():
        if text := _text(value):
            typer.echo(f"{name:<{width}}{text}")


def print_page(
    page: Page[T], columns: Sequence[str], *, as_json: bool, shown: Callable[[T], Row] = plain
) -> None:
    """Print the rows of a page, and how to go on."""
    rows = [shown(each) for each in page.items]
    if as_json:
        print_json({"items": rows, "next": page.next})
        return
    print_rows(rows, columns)
    if page.next:
        typer.echo(f"more: --after {page.next}")


def print_rows(rows: Sequence[Row], columns: Sequence[str]) -> None:
    """Print a table with a line for each row."""
    print_table(tuple(columns), [[_value(row[column]) for column in columns] for row in rows])


def _text(value: object) -> str:
    shown = _value(value)
    return "" if shown is None else printable(str(shown))


def _value(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return ", ".join(map(str, value)) if isinstance(value, list) else value
