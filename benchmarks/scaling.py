"""How the cost of a state grows: `python -m benchmarks.scaling [--quick]`.

By tasks that save at once, by processes, by the size of a state, and by the number of games.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from uuid import UUID

import asyncpg
import msgspec
from benchmarks.flushing import save_all
from benchmarks.report import duration
from benchmarks.saving import TAKE, by_script, by_store
from benchmarks.states import LARGE, SMALL, TASKS, Parties, connect, in_tasks, make, parties

AT_ONCE = (1, 10, 50, 200)
WORKERS = (1, 2, 4)
CARDS = (7, 35, 125, 700, 1_400)  # of games of 1 to 200 kB
GAMES = (1_000, 10_000, 100_000)
DIRTY = 1_000
SAVES = 2_000
REPEATS = 3  # of which the best counts


async def best(them: Parties, keys: Sequence[UUID], cards: int, saves: int) -> str:
    """Say what a save of ours and of the smallest script takes, by a task for each key."""
    game, shortest = make(cards), [float("inf")] * 2
    ours = in_tasks(await by_store(them.store, keys, game), len(keys))
    script = await by_script(them, msgspec.json.encode(game), TAKE)
    limit = in_tasks(script, len(keys))
    for _ in range(REPEATS):
        for place, run in enumerate((ours, limit)):
            sample = await run(max(1, saves // len(keys)))
            shortest[place] = min(shortest[place], sample.seconds)
    saving, setting = shortest
    return f"{duration(saving)}, smallest script {duration(setting)}, {saving / setting:.2f}"


async def by_tasks(them: Parties, saves: int) -> None:
    """Print what a save takes by the number of tasks."""
    keys = await them.fill(max(AT_ONCE), LARGE)
    for tasks in AT_ONCE:
        print(f"{tasks} tasks: a save {await best(them, keys[:tasks], LARGE, saves)}")


async def by_size(them: Parties, saves: int) -> None:
    """Print what a save takes by the size of the state."""
    for cards in CARDS:
        keys = await them.fill(TASKS, cards)
        size = len(msgspec.json.encode(make(cards)))
        print(f"{size:,} bytes: a save {await best(them, keys, cards, saves)}")


async def by_workers(them: Parties, saves: int) -> None:
    """Print how many states are saved in a second by several processes."""
    keys = [str(key) for key in await them.fill(TASKS * max(WORKERS), LARGE)]
    for workers in WORKERS:
        given = [keys[first * TASKS : (first + 1) * TASKS] for first in range(workers)]
        rates = await asyncio.gather(*(worker(them, each, saves) for each in given))
        print(f"{workers} processes of {TASKS} tasks: {sum(rates):,.0f} saves in a second")


async def worker(them: Parties, keys: Sequence[str], saves: int) -> float:
    """Save in a process of its own, and give how many it saved in a second."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.scaling", them.url, them.redis_url, str(saves), *keys),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError("benchmarks.scaling failed")
    return float(output)


async def work(url: str, redis_url: str, saves: str, *keys: str) -> None:
    """Be one of several processes."""
    async with AsyncExitStack() as stack:
        driver = await asyncpg.connect(url)
        stack.push_async_callback(driver.close)
        them = await connect(stack, url, redis_url, driver)
        run = in_tasks(await by_store(them.store, [UUID(key) for key in keys], make(LARGE)))
        print(1 / (await run(int(saves) // len(keys))).seconds)


async def by_games(them: Parties, numbers: Sequence[int]) -> None:
    """Print what recovering, saving and flushing cost by the number of games."""
    for number in numbers:
        keys = await them.fill(number, SMALL)
        began = time.perf_counter()
        await them.store.recover()
        recovered = (time.perf_counter() - began) / number
        began = time.perf_counter()
        await save_all(them, keys[:: number // DIRTY], make(SMALL), 1)
        saved = (time.perf_counter() - began) / DIRTY
        began = time.perf_counter()
        await them.store.flush()
        flushed = (time.perf_counter() - began) / DIRTY
        print(
            f"{number:,} games: recovering each {duration(recovered)}; of {DIRTY:,}, "
            f"loading and saving each {duration(saved)}, flushing {duration(flushed)}"
        )


async def main(*, quick: bool) -> None:
    """Print all."""
    saves = max(AT_ONCE) if quick else SAVES
    async with parties() as them:
        await by_tasks(them, saves)
        await by_workers(them, saves)
        await by_size(them, saves)
        await by_games(them, GAMES[:1] if quick else GAMES)


if __name__ == "__main__":
    given = [each for each in sys.argv[1:] if each != "--quick"]
    asyncio.run(work(*given) if given else main(quick="--quick" in sys.argv))
