"""What commands print: tables for people, JSON for programs."""

import sys
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def print_json(value: object) -> None:
    """Print one JSON document."""
    encoded = msgspec.json.encode(value)
    typer.echo(msgspec.json.format(encoded, indent=2))


def print_table(columns: tuple[str, ...], rows: list[list[object]]) -> None:
    """Print a line for each row."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    # A pipe has no width: a row is a line there.
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def print_total(total: int) -> None:
    """Say how many cards there were."""
    typer.echo("1 card" if total == 1 else f"{total} cards")
