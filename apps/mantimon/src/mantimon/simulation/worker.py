"""One process of a simulation: `python -m mantimon.simulation.worker`, with its job as input.

It ends when its input does, so it does not outlive who started it.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import msgspec
from sqlalchemy.exc import DBAPIError

from holdfast.database import Database
from holdfast.errors import CommitUnknownError, HoldfastError
from holdfast.urls import redact
from mantimon.db.session import make_database
from mantimon.games.table import Catalogue
from mantimon.services.card_service import CardService, get_card_service
from mantimon.services.games import finish_game, get_result, start_game, write_turn
from mantimon.simulation.course import Course
from mantimon.simulation.messages import Failed, Job, Played
from mantimon.simulation.plan import make_rng, make_seed, pair

CONNECTIONS = 4
TASKS = 6  # a game thinks while others wait for the database

R = TypeVar("R")
Report = Callable[[Played | Failed], None]


async def play_games(db: Database, job: Job, cards: CardService, report: Report) -> None:
    """Play the games of a job, several at a time, and report each."""
    waiting = iter(job.numbers)
    catalogue = {card.id: card for card in cards}

    async def take() -> None:
        for number in waiting:
            report(await _play(db, job, number, cards, catalogue))

    async with asyncio.TaskGroup() as group:
        for _ in range(TASKS):
            group.create_task(take())


async def _play(
    db: Database, job: Job, number: int, cards: CardService, catalogue: Catalogue
) -> Played:
    new = pair(job.run, job.seed, number, job.players)
    seed = make_seed(job.seed, number, "deal")
    state = await _surely(db, start_game, new, cards=cards, seed=seed)
    course = Course(state, catalogue, make_rng(job.seed, number, "course"))
    sizes = [len(state.to_json())]
    course.play_turn()
    while not course.state.outcome:
        sizes.append(len(course.state.to_json()))
        await _surely(db, write_turn, new.id, course.state)
        course.play_turn()
    result = get_result(course.state, new.player1_id, new.player2_id)
    await _surely(db, finish_game, new.id, result)
    return Played(number=number, actions=course.actions, sizes=sizes)


async def _surely(db: Database, work: Callable[..., Awaitable[R]], *args: Any, **kwargs: Any) -> R:
    """Run one step; again when nobody knows whether it is stored, since each is safe to repeat."""
    while True:
        try:
            return await db.run(work, *args, **kwargs)
        except CommitUnknownError:
            continue


async def _work() -> None:
    loop = asyncio.get_running_loop()
    told = asyncio.StreamReader(limit=2**30)  # bytes of a job: a line, however many players
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(told), sys.stdin)
    line = await told.readline()
    if not line.endswith(b"\n"):  # whoever was to tell the job has gone
        return
    job = msgspec.json.decode(line, type=Job)
    async with make_database(job.url, connections=CONNECTIONS) as db:
        watching = asyncio.create_task(_end_when_deserted(told))
        await play_games(db, job, get_card_service(), _report)
        watching.cancel()


async def _end_when_deserted(told: asyncio.StreamReader) -> None:
    await told.read()
    os._exit(1)  # at once, and without a word: the server takes back what was not committed


def _report(message: Played | Failed) -> None:
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
