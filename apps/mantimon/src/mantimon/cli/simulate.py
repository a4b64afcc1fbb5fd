"""`mantimon simulate`: many games at once in several processes, each checked at the end."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Display

from holdfast.cli.rows import AsJson, print_json
from mantimon.config import Environment, get_settings
from mantimon.errors import InvalidInputError
from mantimon.simulation import SimulationPlan, SimulationReport
from mantimon.simulation import simulate as run_simulation

_SHOWN = 20  # problems; the first ones tell what kind they are


def simulate(
    *,
    games: Annotated[int, typer.Option(help="How many games.")] = 100,
    seed: Annotated[int, typer.Option(help="The same seed: the same players and games.")] = 1,
    players: Annotated[int, typer.Option(help="How many players.")] = 20,
    workers: Annotated[int, typer.Option(help="How many processes.")] = 2,
    kill: Annotated[
        bool, typer.Option("--kill", help="Kill a process each second; another plays on.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Let simulated players play many games at once, and check every one of them.

    Each action is saved in Redis, each turn persisted in PostgreSQL, as a game server does it.
    Players are registered once and found again by their seed. Each run plays new games; with the
    same seed they take the same course, also when processes are killed.
    """
    plan = SimulationPlan(games=games, seed=seed, players=players, workers=workers, kill=kill)
    settings = get_settings()
    if settings.environment is Environment.PROD:
        raise InvalidInputError("ENVIRONMENT is prod, and simulated games would count as real ones")
    urls = settings.database_url.get_secret_value(), settings.redis_url.get_secret_value()
    with _show_progress() as progress:
        report = asyncio.run(run_simulation(*urls, plan, progress))
    if as_json:
        print_json(_as_object(report))
    else:
        _print(report)
    if report.problems:
        raise typer.Exit(1)


class _Bars:
    """A bar for each step, on rich's display."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._current = TaskID(0)

    def begin(self, step: str, total: int) -> None:
        """Show a new bar."""
        self._current = self._display.add_task(step, total=total)

    def advance(self) -> None:
        """Move the newest bar on."""
        self._display.advance(self._current)


@contextmanager
def _show_progress() -> Iterator[_Bars]:
    """Show bars on a terminal; in a pipe nothing is written."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:8}"), BarColumn(), MofNCompleteColumn())
    with Display(
        *columns, console=console, disable=not console.is_terminal, transient=True
    ) as display:
        yield _Bars(display)


def _as_object(report: SimulationReport) -> dict[str, Any]:
    return {
        "run": report.run,
        "plan": msgspec.to_builtins(report.plan),
        "played": report.played,
        "by_reason": report.by_reason,
        "by_type": report.by_type,
        "turns": report.turns,
        "median_turns": report.median_turns,
        "saves": report.saves,
        "persists": report.persists,
        "turns_lost": report.turns_lost,
        "kills": report.kills,
        "median_state": report.median_state,
        "middle_states": report.middle_states,
        "seconds": report.seconds,
        "games_per_second": report.games_per_second,
        "saves_per_second": report.saves_per_second,
        "problems": report.problems,
    }


def _print(report: SimulationReport) -> None:
    plan, (low, high) = report.plan, report.middle_states
    lines = {
        "run": f"{report.run}: seed {plan.seed}, {plan.players:,} players, {plan.workers} workers",
        "games": f"{report.played:,} of {plan.games:,} played and in the history",
        "ended": _counts(report.by_reason),
        "types": _counts(report.by_type),
        "turns": f"{report.turns:,}, {report.median_turns:g} in the middle one of the games",
        "saves": f"{report.saves:,} actions in Redis, {report.saves_per_second:,.0f} a second",
        "persists": f"{report.persists:,} turns in PostgreSQL, {report.turns_lost:,} of them lost",
        "kills": f"{report.kills:,} processes, each while it played",
        "states": f"{report.median_state / 1000:.1f} kB in the middle, "
        f"most between {low / 1000:.1f} and {high / 1000:.1f} kB",
        "speed": f"{report.games_per_second:,.0f} games a second, for {report.seconds:.1f} s",
    }
    for name, line in lines.items():
        typer.echo(f"{name:<9}{line}")
    if not report.problems:
        typer.echo("check    ok: no game is missing, double, wrong or left, and none went back")
    for problem in report.problems[:_SHOWN]:
        typer.echo(f"PROBLEM  {problem}")
    if len(report.problems) > _SHOWN:
        typer.echo(f"PROBLEM  … and {len(report.problems) - _SHOWN:,} more")


def _counts(by_kind: dict[str, int]) -> str:
    return ", ".join(f"{kind} {count:,}" for kind, count in by_kind.items()) or "none"
