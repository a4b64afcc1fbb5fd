"""One process of a simulation: `python -m mantimon.simulation.worker`, with its job as input.

It ends when its input does, so it does not outlive who started it.
"""

import asyncio
import os
import sys
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import msgspec
from sqlalchemy.exc import DBAPIError

from holdfast.database import Database
from holdfast.errors import (
    CommitUnknownError,
    HoldfastError,
    StateConflictError,
    StoreUnavailableError,
)
from holdfast.retry import classify
from holdfast.urls import redact
from mantimon.db.redis import make_client
from mantimon.db.session import make_database
from mantimon.errors import GameOverError
from mantimon.games.state import GameState
from mantimon.games.table import Catalogue
from mantimon.services.card_service import CardService, get_card_service
from mantimon.services.game_state_manager import GameStateManager
from mantimon.services.games import get_result, start_game
from mantimon.services.pairings import NewGame
from mantimon.simulation.course import go_on
from mantimon.simulation.messages import Failed, Job, Message, Played, Seen, Step
from mantimon.simulation.plan import make_seed, pair

CONNECTIONS = 4
TASKS = 6  # a game thinks while others wait for the servers
ATTEMPTS = 20  # at one game; a server that is away for longer than all of them is a failure
PAUSE = 0.1  # seconds; each is longer by as much

# What is over, or known, when the game is loaded again.
_PASSING = (CommitUnknownError, StateConflictError, StoreUnavailableError)

Report = Callable[[Message], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Worker:
    """What a worker plays with."""

    db: Database
    games: GameStateManager
    job: Job
    cards: CardService
    catalogue: Catalogue
    report: Report


async def play_games(db: Database, games: GameStateManager, job: Job, report: Report) -> None:
    """Play the games of a job, several at a time, and report each step of each.

    A game that somebody else has begun is played on from where the store has it.
    """
    cards, waiting = get_card_service(), iter(job.numbers)
    catalogue = {card.id: card for card in cards}
    worker = _Worker(db=db, games=games, job=job, cards=cards, catalogue=catalogue, report=report)

    async def take() -> None:
        for number in waiting:
            await _play(worker, number)
            report(Played(number=number))

    async with asyncio.TaskGroup() as group:
        for _ in range(TASKS):
            group.create_task(take())


async def _play(worker: _Worker, number: int) -> None:
    """Play a game to its end; where a step fails, again from where the store has it.

    So nobody has to know whether a step is done whose answer was lost: what is loaded tells.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            await _play_on(worker, number)
        except (HoldfastError, DBAPIError) as error:
            passing = isinstance(error, _PASSING) or classify(error)
            if attempt == ATTEMPTS or not passing:
                raise
            await asyncio.sleep(PAUSE * attempt)
        else:
            return


async def _play_on(worker: _Worker, number: int) -> None:
    games, job = worker.games, worker.job
    new = pair(job.run, job.seed, number, job.players)
    state, turn = await _take_up(worker, new, number), -1
    if state is None:
        return
    worker.report(_seen(number, Step.LOADED, state))
    while not state.outcome:
        if state.turn_number > turn:
            await _persist(games, new.id, state)
            worker.report(_seen(number, Step.PERSISTED, state, size=len(state.to_json())))
            turn = state.turn_number
        state = go_on(state, worker.catalogue, job.seed, number)
        await games.save_to_cache(new.id, state)
        worker.report(_seen(number, Step.SAVED, state))
    await games.finish_game(new.id, state, get_result(state, new.player1_id, new.player2_id))


async def _take_up(worker: _Worker, new: NewGame, number: int) -> GameState | None:
    """Begin a game, or give it as far as it has come; None where it is in the history."""
    seed = make_seed(worker.job.seed, number, "deal")
    try:
        await worker.db.run(start_game, new, cards=worker.cards, seed=seed)
    except GameOverError:
        return None
    return await worker.games.load_state(new.id)


async def _persist(games: GameStateManager, game_id: uuid.UUID, state: GameState) -> None:
    version = await games.persist_to_db(game_id)
    if version != state.version:  # Redis has lost it since, and something older is persisted
        raise StateConflictError(str(game_id), state.version, version)


def _seen(number: int, step: Step, state: GameState, *, size: int = 0) -> Seen:
    return Seen(
        number=number,
        step=step,
        turn=state.turn_number,
        version=state.version,
        entries=len(state.log),
        size=size,
    )


async def _work() -> None:
    loop = asyncio.get_running_loop()
    told = asyncio.StreamReader(limit=2**30)  # bytes of a job: a line, however many players
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(told), sys.stdin)
    line = await told.readline()
    if not line.endswith(b"\n"):  # whoever was to tell the job has gone
        return
    job = msgspec.json.decode(line, type=Job)
    async with (
        make_database(job.url, connections=CONNECTIONS) as db,
        make_client(job.redis_url) as redis,
    ):
        watching = asyncio.create_task(_end_when_deserted(told))
        games = GameStateManager(db, redis)
        await games.recover_active_games()
        async with games.store.flushing():
            await play_games(db, games, job, _report)
        watching.cancel()


async def _end_when_deserted(told: asyncio.StreamReader) -> None:
    await told.read()
    os._exit(1)  # at once, and without a word: the server takes back what was not committed


def _report(message: Message) -> None:
    # So short a line is written whole or not at all, also by a process that is killed.
    line = msgspec.json.encode(message) + b"\n"
    with suppress(BrokenPipeError):  # nobody listens, so the input ends as well
        os.write(sys.stdout.fileno(), line)


def _in_a_line(error: BaseException) -> str:
    return redact(str(error).partition("\n")[0])


def main() -> None:
    """Do the job; exit code 1 when it cannot be done, which is reported too."""
    try:
        asyncio.run(_work())
    except* (HoldfastError, DBAPIError, OSError) as errors:
        _report(Failed(why="; ".join(sorted({_in_a_line(each) for each in errors.exceptions}))))
        sys.exit(1)


if __name__ == "__main__":
    main()
