"""What the demo prints: progress while it plays, a table at the end."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table

from holdfast.migrate import Migrated
from holdfast.urls import redact
from mantimon.demo.games import Games
from mantimon.demo.play import TASKS, Played
from mantimon.demo.stack import Service, Urls
from mantimon.services.card_service import CardStats

TABLES = "users, collections, decks, campaign_progress, active_games, game_history, standings"
_NAMES = 3


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

    services: Sequence[Service]
    migrated: Migrated
    cards: CardStats
    played: Played
    games: Games
    urls: Urls
    seconds: float


def print_report(console: Console, report: Report) -> None:
    """Print what started, what was made and whether every check holds."""
    cards, played, games = report.cards, report.played, report.games
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for service in report.services:
        table.add_row(service.name, f"{service.source}, answered in {service.seconds:.2f} s")
    table.add_row("schema", f"revision {', '.join(report.migrated.after)}: {TABLES}")
    table.add_row("cards", f"{cards.total} in {len(cards.by_set)} sets: {_counts(cards.by_set)}")
    table.add_row("players", f"{played.players:,}, who own {played.cards_owned:,} cards")
    speed = f"{played.boosters_per_second:,.0f} a second"
    table.add_row("boosters", f"{played.boosters:,} opened by {TASKS} tasks at once, {speed}")
    table.add_row("decks", f"{played.decks:,}")
    simulated = games.report
    table.add_row(
        "games",
        f"{simulated.played:,} of {simulated.plan.players} players by {simulated.plan.workers} "
        f"processes, {simulated.games_per_second:,.0f} a second; {simulated.saves:,} actions of "
        f"{simulated.median_state / 1000:.0f} kB saved, {simulated.saves_per_second:,.0f} a second",
    )
    table.add_row(
        "killed",
        f"games finished: {simulated.played:,}, workers killed: {simulated.kills:,}, "
        f"acknowledged turns lost: {simulated.turns_lost:,} of {simulated.persists:,}",
    )
    board = ", ".join(f"{name} {wins}" for name, wins in games.board)
    table.add_row("leaderboard", f"most wins: {board}")
    names = ", ".join(card.name for card in games.found[:_NAMES])
    table.add_row(
        "search",
        f"{len(games.found)} basic tide creatures of 60 HP and more, by name, in "
        f"{games.search_seconds * 1e3:.1f} ms: {names}…",
    )
    for check, holds in [*played.checks.items(), *games.checks.items()]:
        table.add_row("check", f"{'ok' if holds else 'BROKEN'}: {check}")
    for name, url in (("database", report.urls.app), ("redis", report.urls.redis)):
        table.add_row(name, redact(url))
    table.add_row("time", f"{report.seconds:.1f} s")
    console.print(table)


def _counts(by_set: dict[str, int]) -> str:
    return ", ".join(f"{code} {count}" for code, count in by_set.items())
