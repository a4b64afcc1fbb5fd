"""What commands print: text for people, JSON for programs, one line for an error."""

import dataclasses
import json
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from holdfast.migrate import Migrated

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def print_json(value: object) -> None:
    """Print one JSON document; dataclasses become objects and paths text."""
    typer.echo(json.dumps(value, default=_plain, indent=2))


def print_table(rows: list[Mapping[str, object]]) -> None:
    """Print rows of equal keys as a table; nothing when there are none."""
    from rich.console import Console
    from rich.table import Table

    if not rows:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in rows[0]:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console(soft_wrap=not sys.stdout.isatty()).print(table)


def fail(message: str, code: int, *, as_json: bool) -> NoReturn:
    """Print an error to the standard error stream and end with the exit code."""
    text = json.dumps({"error": message}) if as_json else f"error: {message}"
    typer.echo(text, err=True)
    raise SystemExit(code)


def beside_json(*, as_json: bool) -> AbstractContextManager[object]:
    """Let code of the project print to the error stream, where the output is one JSON document."""
    return redirect_stdout(sys.stderr) if as_json else nullcontext()


def describe_move(moved: "Migrated") -> str:
    """Say what a migration did, in one line."""
    if moved.before == moved.after:
        return f"{moved.place} is at {_names(moved.after)}: nothing to migrate"
    return (
        f"{moved.place} migrated from {_names(moved.before)} to {_names(moved.after)} "
        f"in {moved.seconds:g} s"
    )


def _names(revisions: tuple[str, ...]) -> str:
    return ", ".join(revisions) or "nothing"


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
