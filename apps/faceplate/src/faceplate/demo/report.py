"""What the demo prints: progress while it plays, a table at the end."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table

from faceplate.demo import play
from faceplate.demo.play import Played
from faceplate.demo.stack import Server
from holdfast.migrate import Migrated
from holdfast.urls import redact


class Bars:
    """A bar for each step, on rich's display."""

    def __init__(self, display: Progress) -> None:
        self._display = display
        self._current: TaskID | None = None

    def begin(self, step: str, total: int) -> None:
        """Show a new bar."""
        self._current = self._display.add_task(step, total=total)

    def advance(self) -> None:
        """Move the newest bar on."""
        if self._current is not None:
            self._display.advance(self._current)


@contextmanager
def show_progress(console: Console) -> Iterator[Bars]:
    """Show bars while the block runs."""
    columns = (TextColumn("{task.description:20}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console) as display:
        yield Bars(display)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What happened; `seconds` from nothing to the last check."""

    server: Server
    migrated: Migrated
    played: Played
    seconds: float


def print_report(console: Console, report: Report) -> None:
    """Print what started, what was done and whether every check holds."""
    played, server = report.played, report.server
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(server.name, f"{server.source}, answered in {server.seconds:.2f} s")
    table.add_row("schema", f"faceplate, revision {', '.join(report.migrated.after)}")
    table.add_row("users", f"{played.users:,}, with {played.conversations:,} conversations")
    speed = f"{played.messages_per_second:,.0f} a second"
    table.add_row("messages", f"{played.messages:,} by {play.TASKS} tasks at once, {speed}")
    table.add_row("connections", f"{played.connections} at most, of which {played.cut} were cut")
    table.add_row("run again", f"{played.run_again} units of work")
    for check, holds in played.checks.items():
        table.add_row("check", f"{'ok' if holds else 'BROKEN'}: {check}")
    table.add_row("database", redact(server.app))
    table.add_row("time", f"{report.seconds:.1f} s")
    console.print(table)
