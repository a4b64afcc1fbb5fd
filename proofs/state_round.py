"""One round: some processes play on a store, servers and processes are harmed, all is compared.

usage: python -m proofs.state_round [WAY [SEED [NUMBER]]]

WAY is holdfast or usual. Without NUMBER it plays one round of each combination, with NUMBER that
round alone; with "Sentinels" or "a cluster" one in which masters are killed. It ends with 1 where
something is wrong; then the lines are kept, and their folder is named.
"""

import asyncio
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proofs.state_faults import FAULTS, MASTER_KILLED, Faults, Step
from proofs.state_field import (
    CLUSTER,
    IN_MEMORY,
    ON_DISK,
    ONE,
    SENTINELS,
    Field,
    Nursery,
    own_nursery,
    own_redis,
)
from proofs.state_judge import Verdict, judge
from proofs.state_log import NEVER, Log, Record, read
from proofs.state_postgres import Postgres, own_postgres, read_history, read_rows, watching
from proofs.state_worker import Job

WORKERS: Final = 3
TASKS: Final = 4  # players in each
GAMES: Final = 5
# Whether Redis writes to its disk, and what is done.
COMBINATIONS: Final[Sequence[tuple[bool, tuple[Step, ...]]]] = (
    (
        False,
        (
            Step(name="Redis killed"),
            Step(name="worker frozen", around="Redis emptied"),
            Step(name="Redis killed", around="worker killed"),
        ),
    ),
    (
        True,
        (
            Step(name="PostgreSQL killed"),
            Step(name="worker frozen", around="Redis killed"),
            Step(name="worker killed"),
            Step(name="PostgreSQL killed", around="Redis killed"),
        ),
    ),
    (
        False,
        (
            Step(name="worker frozen", around="Redis set back"),
            Step(name="Redis frozen"),
            Step(name="Redis set back", around="worker killed"),
        ),
    ),
    (
        False,
        (
            Step(name="PostgreSQL frozen", around="worker killed"),
            Step(name="worker frozen", around="PostgreSQL killed"),
            Step(name="Redis frozen", around="worker killed"),
        ),
    ),
    (
        False,
        (
            Step(name="PostgreSQL frozen", around="Redis killed"),
            Step(name="Redis emptied"),
            Step(name="worker frozen", around="Redis frozen"),
            Step(name="PostgreSQL killed", around="Redis emptied"),
        ),
    ),
)


GROUPS: Final = (SENTINELS, CLUSTER)
# What happens between the death of a master and the moment when another one takes over.
MEANWHILE: Final = ("worker killed", "worker frozen", "PostgreSQL killed", "PostgreSQL frozen")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A round.

    Attributes:
        way: the store.
        seed: everything that chance decides follows from it, but for what the machine does.
        number: of the round.
        on_disk: whether Redis writes to its disk.
        steps: what is done.
        redis: ONE, or one of GROUPS.
    """

    way: str
    seed: int
    number: int
    on_disk: bool
    steps: tuple[Step, ...]
    redis: str = ONE

    def __str__(self) -> str:
        disk = "on disk" if self.on_disk else "in memory"
        steps = ", ".join(map(str, self.steps))
        redis = f"Redis {disk}, {self.redis}"
        return f"{self.way}, seed {self.seed}, round {self.number}, {redis}: {steps}"

    @property
    def again(self) -> str:
        """The command that plays it again."""
        which = self.number if self.redis == ONE else repr(self.redis)
        return f"python -m proofs.state_round {self.way} {self.seed} {which}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a round showed.

    Attributes:
        calls: by what they did and what came of them.
        longest: seconds of the longest call, by what it did; with the frozen ones.
        seconds: of play.
        kept: where the lines are; None where nothing was wrong.
    """

    plan: Plan
    verdict: Verdict
    calls: Counter[tuple[str, str]]
    faults: Counter[str]
    longest: dict[str, float]
    seconds: float
    kept: Path | None

    def __str__(self) -> str:
        wrong = [f"{name}: {each}" for name, texts in self.verdict.found.items() for each in texts]
        shown = "".join(f"\n  {each}" for each in wrong[:20])
        kept = f", the lines are in {self.kept}" if self.kept else ""
        again = f"; again: {self.plan.again}" if wrong else ""
        return f"{self.plan}\n  {len(wrong)} wrong{kept}{again}{shown}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What rounds have in common."""

    postgres: Postgres
    nursery: Nursery


@asynccontextmanager
async def own_ground() -> AsyncIterator[Ground]:
    """Start what rounds have in common."""
    async with own_postgres() as postgres, own_nursery() as nursery:
        yield Ground(postgres=postgres, nursery=nursery)


def plan_round(way: str, seed: int, number: int) -> Plan:
    """Choose a round: the first are COMBINATIONS, the others are drawn."""
    if number < len(COMBINATIONS):
        on_disk, steps = COMBINATIONS[number]
        return Plan(way=way, seed=seed, number=number, on_disk=on_disk, steps=steps)
    chance = random.Random(seed)
    on_disk = chance.random() < 0.3
    # What is on disk is not set back by a dump.
    left_out = {MASTER_KILLED, "Redis set back"} if on_disk else {MASTER_KILLED}
    names = [name for name in FAULTS if name not in left_out]
    steps = tuple(
        Step(name=outer, around="" if inner[:5] == outer[:5] else inner)
        for outer, inner in (chance.sample(names, 2) for _ in range(4))
    )
    return Plan(way=way, seed=seed, number=number, on_disk=on_disk, steps=steps)


def plan_failovers(seed: int, redis: str) -> Plan:
    """Choose a round in which masters are killed, and other things before others take over."""
    inner = random.Random(seed).sample(MEANWHILE, 2)
    steps = tuple(Step(name=MASTER_KILLED, around=each) for each in inner)
    return Plan(way="holdfast", seed=seed, number=0, on_disk=False, steps=steps, redis=redis)


async def play(plan: Plan, ground: Ground, *, keep: bool = True) -> Result:
    """Play a round on that PostgreSQL and a Redis of its own.

    Args:
        plan: what is done.
        ground: what rounds have in common.
        keep: the lines, where something is wrong.
    """
    folder = Path(tempfile.mkdtemp(prefix="hf-round-"))
    log = Log(folder / "lines", "outside")
    try:
        seconds = await _play(plan, ground, log, folder)
    finally:
        log.close()
    connection = await ground.postgres.connect()
    try:
        rows, history = await read_rows(connection), await read_history(connection)
    finally:
        await connection.close()
    calls, faults = read(folder / "lines")
    verdict = judge(Record(calls=calls, faults=faults, rows=rows, history=history))
    longest: dict[str, float] = {}
    for call in calls:
        took = (call.ended - call.began) / 1e9 if call.ended < NEVER else 0
        longest[call.what] = max(took, longest.get(call.what, 0))
    if keep and verdict.violations:
        kept: Path | None = folder
        tables = {"rows": sorted(rows.items()), "history": history}
        (folder / "tables").write_text(json.dumps(tables))
    else:
        kept = None
        shutil.rmtree(folder)
    return Result(
        plan=plan,
        verdict=verdict,
        calls=Counter((call.what, call.outcome) for call in calls),
        faults=Counter(fault.name for fault in faults),
        longest=longest,
        seconds=seconds,
        kept=kept,
    )


async def _play(plan: Plan, ground: Ground, log: Log, folder: Path) -> float:
    await ground.postgres.make_tables()
    settings = ON_DISK if plan.on_disk else IN_MEMORY
    async with own_redis(plan.redis, settings) as (redis, url):
        job = Job(
            number=0,
            seed=plan.seed,
            way=plan.way,
            postgres=ground.postgres.server.url("owner"),
            redis=url,
            log=str(folder / "lines"),
            tasks=TASKS,
            games=GAMES,
        )
        field = Field(
            postgres=ground.postgres, redis=redis, nursery=ground.nursery, log=log, job=job
        )
        try:
            for _ in range(WORKERS):
                await field.add_worker()
            await field.until_all_play()
            began = time.monotonic()
            async with watching(ground.postgres, log):
                await Faults(field, random.Random(plan.seed)).run(plan.steps)
                await field.end(*field.workers)
                seconds = time.monotonic() - began
                await field.look_at_all()
        finally:
            await field.clear()
        return seconds


async def main(way: str = "holdfast", seed: str = "1", number: str | None = None) -> int:
    """Play rounds, and print what each showed."""
    if number in GROUPS:
        plans = [plan_failovers(int(seed), number)]
    else:
        numbers = [int(number)] if number else range(len(COMBINATIONS))
        plans = [plan_round(way, int(seed), each) for each in numbers]
    wrong = 0
    async with own_ground() as ground:
        for plan in plans:
            result = await play(plan, ground)
            wrong += result.verdict.violations
            show(result)
    return 1 if wrong else 0


def show(result: Result) -> None:
    """Print what a round showed."""
    print(result)
    print(f"  {result.seconds:.1f} s, {dict(result.faults)}")
    print(f"  saved only, and lost with Redis: {result.verdict.in_window}")
    for (what, outcome), count in sorted(result.calls.items()):
        print(f"  {what:8} {outcome:8} {count:6}, the longest {what} {result.longest[what]:.2f} s")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
