"""What commands print: tables for people, JSON for programs."""

import sys
from collections.abc import Iterator, Sequence
from typing import Annotated, TypeVar

import msgspec
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from mantimon.cards.names import printable

T = TypeVar("T")

_ONE_LINE = 10_000  # characters

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def print_json(value: object) -> None:
    """Print one JSON document."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    # Inside of strings, JSON may have characters that a terminal obeys.
    typer.echo("\n".join(map(printable, text.split("\n"))))


def print_table(columns: tuple[str, ...], rows: list[list[object]]) -> None:
    """Print a line for each row; a value is shown as it is, and nothing in it is obeyed."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        are_counts = all(isinstance(row[number], int | None) for row in rows)
        table.add_column(column, overflow="fold", justify="right" if are_counts else "left")
    for row in rows:
        table.add_row(*(Text("" if value is None else printable(str(value))) for value in row))
    # A pipe has no width: a row is a line there.
    Console(width=None if sys.stdout.isatty() else _ONE_LINE).print(table)


def print_total(total: int) -> None:
    """Say how many cards there were."""
    typer.echo("1 card" if total == 1 else f"{total} cards")


def watched(values: Sequence[T], what: str) -> Iterator[T]:
    """Give each value in turn, with a bar on the error stream where that is a terminal."""
    console = Console(stderr=True)
    disable = not console.is_terminal
    yield from track(values, what, console=console, transient=True, disable=disable)
