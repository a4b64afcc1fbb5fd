"""What the demo prints: one discussion as Markdown, from each engine, and a table at the end."""

import sqlite3
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from moai.demo import play, script
from moai.demo.move import Moved
from moai.demo.play import Played


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What happened; `seconds` from nothing to the last check."""

    played: Played
    moved: Moved
    postgresql: str
    seconds: float

    @property
    def checks(self) -> dict[str, bool]:
        """Whether each check holds."""
        return {**self.played.checks, **self.moved.checks}

    @property
    def held(self) -> bool:
        """Whether all do."""
        return all(self.checks.values())


def print_report(console: Console, report: Report) -> None:
    """Print what was said and whether every check holds."""
    played, copied = report.played, report.moved.copied
    for place, markdown in (("SQLite", played.markdown), ("PostgreSQL", report.moved.markdown)):
        console.rule(f"from {place}", align="left")
        console.print(markdown, markup=False, highlight=False, soft_wrap=True)
    console.rule("what was checked", align="left")
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("SQLite", f"{sqlite3.sqlite_version}, a file in a temporary folder")
    at_once = f"{play.DISCUSSIONS} at once, of {len(script.MODELS)} models"
    table.add_row("discussions", f"{at_once}; one of them is above, twice")
    table.add_row("rounds", f"{played.rounds}, with {played.messages} messages")
    table.add_row("PostgreSQL", report.postgresql)
    table.add_row("copied", f"{copied.rows} rows in {copied.seconds:.1f} s, the same by digest")
    for check, holds in report.checks.items():
        table.add_row("check", f"{'ok' if holds else 'BROKEN'}: {check}")
    table.add_row("time", f"{report.seconds:.1f} s")
    console.print(table)
