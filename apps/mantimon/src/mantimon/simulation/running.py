"""Carry a plan out: players, worker processes, and a check of every game."""

import asyncio
import random
import signal
import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec
from sqlalchemy.exc import DBAPIError

from holdfast import redis
from holdfast.database import Database
from holdfast.errors import HoldfastError
from holdfast.models import uuid7
from mantimon.db.redis import make_client
from mantimon.db.session import make_database
from mantimon.services.card_service import get_card_service
from mantimon.simulation.checking import Stored, find_problems, predict, read_games
from mantimon.simulation.messages import Failed, Job, Message, Played, SimulatedPlayer
from mantimon.simulation.plan import SimulationPlan
from mantimon.simulation.players import Progress, prepare_players
from mantimon.simulation.report import Course, SimulationReport, make_report
from mantimon.simulation.watching import Watch, find_lost

# -P: a folder called mantimon, where this is started, is not the application.
_WORKER = (sys.executable, "-P", "-m", "mantimon.simulation.worker")
_KILL_EVERY = 1.0  # seconds
_LOOK_EVERY = 1.0


@dataclass(slots=True, kw_only=True)
class _Crew:
    """The workers, and what they told so far.

    Attributes:
        progress: told of each game.
        watch: told of each step.
        at_work: how many workers have games left.
        playing: the processes that have begun to play, by the number of the worker.
        sentenced: the numbers of those that were killed on purpose.
        kills: how many were.
        played: the numbers of the games that are in the history.
        problems: of the workers.
    """

    progress: Progress
    watch: Watch = field(default_factory=Watch)
    at_work: int = 0
    playing: dict[int, asyncio.subprocess.Process] = field(default_factory=dict)
    sentenced: set[int] = field(default_factory=set)
    kills: int = 0
    played: set[int] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)


async def simulate(
    url: str, redis_url: str, plan: SimulationPlan, progress: Progress
) -> SimulationReport:
    """Let simulated players play, with every action saved and every turn persisted, and check it.

    Every game of the plan has to be in the history once, as the rules say that it ends; no turn
    that a worker was told to be persisted may be missing, which is looked at each second; and no
    game may go back.
    With `plan.kill`, a worker is killed each second while others play, and replaced by another.

    The workers are gone when this ends, however it ends. A game that one of them left stays as
    it was, among the active games.

    Args:
        url: the database; it has the tables of this version.
        redis_url: where games are while they are played.
        plan: how much.
        progress: told how far it has come.

    Raises:
        HoldfastError, sqlalchemy.exc.DBAPIError: a server cannot be reached, or refuses what is
            needed at the beginning or for the check. What goes wrong in a worker is among the
            report's problems instead.
        OSError: no worker can be started.
    """
    cards, run, crew = get_card_service(), uuid7(), _Crew(progress=progress)
    async with make_client(redis_url) as client:
        await redis.ping(client)
    async with make_database(url, connections=1) as db:
        players = await prepare_players(db, plan, cards, progress)
        progress.begin("games", plan.games)
        began = time.perf_counter()
        try:
            async with asyncio.TaskGroup() as group:
                predicting = group.create_task(predict(run, plan, players, cards))
                jobs = _make_jobs(url, redis_url, run, plan, players)
                looking = group.create_task(_look_now_and_then(db, run, crew.watch))
                await _run_workers(jobs, crew, kill=plan.kill)
                looking.cancel()
        except ExceptionGroup as failed:
            raise _first(failed) from failed
        seconds = time.perf_counter() - began
        stored = await _look(db, run, crew.watch)
    course = Course(watch=crew.watch, kills=crew.kills, seconds=seconds)
    problems = crew.problems + find_problems(predicting.result(), stored)
    return make_report(run, plan, stored, course, problems)


async def _look_now_and_then(db: Database, run: uuid.UUID, watch: Watch) -> None:
    while True:
        await asyncio.sleep(_LOOK_EVERY)
        with suppress(HoldfastError, DBAPIError):  # away for a moment: the look at the end counts
            await _look(db, run, watch)


async def _look(db: Database, run: uuid.UUID, watch: Watch) -> Stored:
    """Read what is stored, in which every turn has to be that was acknowledged before."""
    kept = watch.kept
    async with db.read(snapshot=True) as session:  # a game that just ends is in one place
        stored = await read_games(session, run)
    watch.lost += find_lost(run, kept, stored)
    return stored


def _first(failed: BaseException) -> BaseException:
    while isinstance(failed, BaseExceptionGroup):
        failed = failed.exceptions[0]
    return failed


def _make_jobs(
    url: str,
    redis_url: str,
    run: uuid.UUID,
    plan: SimulationPlan,
    players: Sequence[SimulatedPlayer],
) -> list[Job]:
    workers = min(plan.workers, plan.games)
    return [
        Job(
            url=url,
            redis_url=redis_url,
            run=run,
            seed=plan.seed,
            players=list(players),
            numbers=list(range(first, plan.games, workers)),
        )
        for first in range(workers)
    ]


async def _run_workers(jobs: Sequence[Job], crew: _Crew, *, kill: bool) -> None:
    async with asyncio.TaskGroup() as group:
        workers = [
            group.create_task(_run_worker(number, job, crew)) for number, job in enumerate(jobs, 1)
        ]
        if kill:
            killing = group.create_task(_kill_now_and_then(crew))
            await asyncio.wait(workers)
            killing.cancel()


async def _kill_now_and_then(crew: _Crew) -> None:
    """Kill a worker that plays each second, as long as half of them play on."""
    while True:
        await asyncio.sleep(_KILL_EVERY)
        if len(crew.playing) > 1 and 2 * (len(crew.playing) - 1) >= crew.at_work:
            number = random.choice(list(crew.playing))  # noqa: S311  -- no secret
            crew.sentenced.add(number)
            with suppress(ProcessLookupError):  # it has just ended
                crew.playing.pop(number).kill()


async def _run_worker(number: int, job: Job, crew: _Crew) -> None:
    """Let a worker play its games; where it is killed on purpose, another plays on."""
    crew.at_work += 1
    try:
        await _play_all(number, job, crew)
    finally:
        crew.at_work -= 1


async def _play_all(number: int, job: Job, crew: _Crew) -> None:
    while job.numbers:
        code = await _run_process(number, job, crew)
        if number not in crew.sentenced or code != -signal.SIGKILL:
            if code:
                crew.problems.append(f"worker {number} ended with exit code {code}")
            return
        crew.kills += 1
        crew.sentenced.discard(number)
        left = [each for each in job.numbers if each not in crew.played]
        job = msgspec.structs.replace(job, numbers=left)


async def _run_process(number: int, job: Job, crew: _Crew) -> int:
    """Run a process for a job to its end, or kill it; give its exit code."""
    process = await asyncio.create_subprocess_exec(
        *_WORKER,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for this process, which ends them
    )
    try:
        await _talk(number, process, job, crew)
        return await process.wait()
    finally:
        crew.playing.pop(number, None)
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _talk(number: int, process: asyncio.subprocess.Process, job: Job, crew: _Crew) -> None:
    assert process.stdin is not None, "asked for above"
    assert process.stdout is not None, "asked for above"
    with suppress(ConnectionError):  # it has ended: its exit code says so
        process.stdin.write(msgspec.json.encode(job) + b"\n")
        await process.stdin.drain()
    async for line in process.stdout:
        message = msgspec.json.decode(line, type=Message)
        if number not in crew.sentenced:
            crew.playing[number] = process
        if isinstance(message, Failed):
            crew.problems.append(f"worker {number}: {message.why}")
        elif isinstance(message, Played):
            crew.played.add(message.number)
            crew.progress.advance()
        else:
            crew.watch.see(message)
