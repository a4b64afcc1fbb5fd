"""Carry a plan out: players, worker processes, and a check of every game."""

import asyncio
import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec

from holdfast.models import uuid7
from mantimon.db.session import make_database
from mantimon.services.card_service import get_card_service
from mantimon.simulation.checking import find_problems, predict, read_games
from mantimon.simulation.messages import Failed, Job, Played, SimulatedPlayer
from mantimon.simulation.plan import SimulationPlan
from mantimon.simulation.players import Progress, prepare_players
from mantimon.simulation.report import SimulationReport, make_report

# -P: a folder called mantimon, where this is started, is not the application.
_WORKER = (sys.executable, "-P", "-m", "mantimon.simulation.worker")


@dataclass(slots=True, kw_only=True)
class _Told:
    """What the workers told so far."""

    played: list[Played] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


async def simulate(url: str, plan: SimulationPlan, progress: Progress) -> SimulationReport:
    """Let simulated players play, each game written at every turn, and check what is stored.

    The workers are gone when this ends, however it ends. A game that one of them left stays as
    it was, among the active games.

    Args:
        url: the database; it has the tables of this version.
        plan: how much.
        progress: told how far it has come.

    Raises:
        HoldfastError, sqlalchemy.exc.DBAPIError: the database cannot be reached, or refuses what
            is needed at the beginning or for the check. What goes wrong in a worker is among the
            report's problems instead.
        OSError: no worker can be started.
    """
    cards, run, told = get_card_service(), uuid7(), _Told()
    async with make_database(url, connections=1) as db:
        players = await prepare_players(db, plan, cards, progress)
    progress.begin("games", plan.games)
    began = time.perf_counter()
    try:
        async with asyncio.TaskGroup() as group:
            for number, job in enumerate(_make_jobs(url, run, plan, players), 1):
                group.create_task(_run_worker(number, job, told, progress))
            predicting = group.create_task(predict(run, plan, players, cards))
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed
    seconds = time.perf_counter() - began
    async with make_database(url, connections=1) as db, db.read() as session:
        stored = await read_games(session, run)
    problems = told.problems + find_problems(predicting.result(), stored)
    return make_report(run, plan, stored, told.played, seconds=seconds, problems=problems)


def _make_jobs(
    url: str, run: uuid.UUID, plan: SimulationPlan, players: Sequence[SimulatedPlayer]
) -> list[Job]:
    workers = min(plan.workers, plan.games)
    return [
        Job(
            url=url,
            run=run,
            seed=plan.seed,
            players=list(players),
            numbers=list(range(first, plan.games, workers)),
        )
        for first in range(workers)
    ]


async def _run_worker(number: int, job: Job, told: _Told, progress: Progress) -> None:
    process = await asyncio.create_subprocess_exec(
        *_WORKER,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for this process, which ends them
    )
    try:
        await _talk(number, process, job, told, progress)
        if await process.wait():
            told.problems.append(f"worker {number} ended with exit code {process.returncode}")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _talk(
    number: int, process: asyncio.subprocess.Process, job: Job, told: _Told, progress: Progress
) -> None:
    assert process.stdin is not None, "asked for above"
    assert process.stdout is not None, "asked for above"
    with suppress(ConnectionError):  # it has ended: its exit code says so
        process.stdin.write(msgspec.json.encode(job) + b"\n")
        await process.stdin.drain()
    async for line in process.stdout:
        message = msgspec.json.decode(line, type=Played | Failed)
        if isinstance(message, Failed):
            told.problems.append(f"worker {number}: {message.why}")
        else:
            told.played.append(message)
            progress.advance()
