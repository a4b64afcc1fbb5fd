"""A process that plays games until its input ends.

`python -m proofs.state_worker` reads jobs, a line each, forks a process for each, and prints its
number: one that was killed is replaced at once, since everything is imported.
"""

import asyncio
import logging
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import IO

import msgspec
from proofs.state_holdfast import Holdfast
from proofs.state_log import DONE, Log
from proofs.state_players import Lobby, Player
from proofs.state_stores import Store
from proofs.state_usual import Usual

APART = 1_000_000  # numbers of calls for each process
PAUSE = 0.05  # seconds
PATIENCE = 10.0  # with what never comes to an end
STORES: Mapping[str, Callable[[str, str], AbstractAsyncContextManager[Store]]] = {
    "usual": Usual.opened,
    "holdfast": Holdfast.opened,
}


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What a process is to do.

    Attributes:
        number: of the process; no other has it.
        seed: what it does follows from that and the number.
        way: one of STORES.
        postgres: URL.
        redis: URL.
        log: the file.
        tasks: players; 0 for the processes at the end.
        games: that are played at the same time.
        recovers: at the end; the first of those processes only writes what waits.
        life: a named pipe; the process ends when that does.
    """

    number: int
    seed: int
    way: str
    postgres: str
    redis: str
    log: str
    tasks: int
    games: int
    recovers: bool = True
    life: str = ""


def main() -> None:
    """Begin one job after the other."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody has to wait for those that ended
    for line in sys.stdin.buffer:
        job = msgspec.json.decode(line, type=Job)
        if pid := os.fork():
            print(pid, flush=True)
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # the other one's are not held open
        try:
            with Path(job.life).open("rb", buffering=0) as life:
                asyncio.run(do(job, life))
        except BaseException:  # noqa: BLE001  -- the copy of the one that reads jobs ends here
            traceback.print_exc()
        finally:
            os._exit(0)


async def do(job: Job, life: IO[bytes]) -> None:
    """Do a job."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), life
    )
    log = Log(Path(job.log), f"worker {job.number}", job.number * APART)
    async with STORES[job.way](job.postgres, job.redis) as store:
        if job.tasks:
            await play(job, store, log, asyncio.create_task(wait_for_end(reader)))
        else:
            await look_at_all(store, log, recovers=job.recovers)


async def wait_for_end(reader: asyncio.StreamReader) -> None:
    """Return when the input has ended."""
    await reader.read()


async def play(job: Job, store: Store, log: Log, end: asyncio.Task[None]) -> None:
    """Recover, and let all players play."""
    stop = asyncio.Event()
    end.add_done_callback(lambda _: stop.set())
    # The servers may be away when a process starts.
    while not await try_once(store, log, "recover", store.recover):
        if stop.is_set():
            return
    lobby = Lobby(store, job.games)
    async with store.flushing(), asyncio.TaskGroup() as group:
        for task in range(job.tasks):
            chance = random.Random(f"{job.seed} {job.number} {task}")
            group.create_task(Player(store, log, lobby, chance).play_until(stop))


async def try_once(store: Store, log: Log, what: str, work: Callable[[], Awaitable[None]]) -> bool:
    """Do it, note what came of it, and tell whether it was done."""
    number = log.number()
    log.tried(number, what, 0)
    try:
        await work()
    except Exception as error:  # noqa: BLE001  -- whatever it is, it is noted
        log.ended(number, store.judge(what, error), said=f"{type(error).__name__}: {error}")
        await asyncio.sleep(PAUSE)
        return False
    log.ended(number, DONE)
    return True


async def look_at_all(store: Store, log: Log, *, recovers: bool) -> None:
    """Write what waits; or recover, write what waits then, and load every game."""
    until = time.monotonic() + PATIENCE
    first = [("recover", store.recover)] if recovers else []
    for what, work in (*first, ("drain", store.drain)):
        while not await try_once(store, log, what, work) and time.monotonic() < until:
            pass
    if not recovers:
        return
    player = Player(store, log, Lobby(store, 0), random.Random(0))
    for key in await store.games():
        await player.load(key)


if __name__ == "__main__":
    logging.getLogger().addHandler(logging.NullHandler())
    main()
