"""What commands print: text for people, JSON for programs, one line for an error."""

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from holdfast.events import Check

# How each state of a check is called, and shown where there are colours.
_STATES = {
    "ok": ("ok", "green"),
    "warning": ("warning", "yellow"),
    "failed": ("FAILED", "bold red"),
}
_TO_DO = "→ "

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


def print_checks(checks: "Sequence[Check]") -> None:
    """Print what was found, one row each, and below it what to change.

    In a pipe each stays one line, however long, for those who search in it.
    """
    if sys.stdout.isatty():
        _print_for_people(checks)
    else:
        names = max((len(each.name) for each in checks), default=0)
        for each in checks:
            typer.echo(f"{_STATES[each.state][0]:8}{each.name:{names}}  {_one_line(each.said)}")
            if each.advice:
                typer.echo(f"{'':8}{'':{names}}  {_TO_DO}{_one_line(each.advice)}")
    typer.echo(f"\n{_summed_up(checks)}")


def fail(message: str, code: int, *, as_json: bool) -> NoReturn:
    """Print an error to the standard error stream and end with the exit code."""
    text = json.dumps({"error": message}) if as_json else f"error: {message}"
    typer.echo(text, err=True)
    raise SystemExit(code)


def beside_json(*, as_json: bool) -> AbstractContextManager[object]:
    """Let code of the project print to the error stream, where the output is one JSON document."""
    return redirect_stdout(sys.stderr) if as_json else nullcontext()


def _print_for_people(checks: "Sequence[Check]") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    for _ in range(3):
        table.add_column(overflow="fold")
    for each in checks:
        word, style = _STATES[each.state]
        said = Text(each.said, style="" if each.state == "ok" else style)
        if each.advice:
            said.append(f"\n{_TO_DO}{each.advice}", style="bold")
        table.add_row(Text(word, style=style), Text(each.name), said)
    Console().print(table)


def _summed_up(checks: "Sequence[Check]") -> str:
    failed = sum(not each.ok for each in checks)
    warned = sum(each.state == "warning" for each in checks)
    counts = [(failed, "to change"), (warned, "to know of")]
    said = [f"{count} {what}" for count, what in counts if count]
    return ", ".join(said) or "all is well"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
