"""Promise 10: hot state survives what its processes and servers do not."""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from proofs.contract import Outcome, Proof, Servers, Side, main
from proofs.state_judge import NAMES
from proofs.state_log import DONE
from proofs.state_round import GAMES, TASKS, WORKERS, Result, own_ground, plan_round, play

SEED = 1
ROUNDS = 10
QUICK_ROUNDS, QUICK_STEPS = 2, 2


async def compare(way: str, servers: Servers) -> Outcome:
    """Play the same rounds on one of the stores."""
    ground = await servers.once(own_ground)
    rounds = QUICK_ROUNDS if servers.quick else ROUNDS
    plans = [plan_round(way, SEED + number, number) for number in range(rounds)]
    if servers.quick:
        plans = [replace(plan, steps=plan.steps[-QUICK_STEPS:]) for plan in plans]
    keep = way == "holdfast"
    return describe([await play(plan, ground, keep=keep) for plan in plans])


def describe(results: Sequence[Result]) -> Outcome:
    """Add up what the rounds showed."""
    calls, faults, found = Counter[tuple[str, str]](), Counter[str](), Counter[str]()
    for result in results:
        calls += result.calls
        faults += result.faults
        found.update({name: len(texts) for name, texts in result.verdict.found.items()})
    acknowledged = ", ".join(
        f"{calls[what, DONE]} {text}"
        for what, text in (
            ("load", "reads"),
            ("save", "saves"),
            ("persist", "persisted turns"),
            ("finish", "finished games"),
        )
    )
    seconds = sum(result.seconds for result in results)
    in_window = sum(result.verdict.in_window for result in results)
    kept = [str(result.kept) for result in results if result.kept]
    return Outcome(
        said=(
            f"{acknowledged} in {seconds:.0f} s with "
            f"{', '.join(f'{name} ({number})' for name, number in sorted(faults.items()))}"
        ),
        true=(
            f"{', '.join(f'{name} {found[name]}' for name in NAMES)}; saved only, and lost with "
            f"Redis: {in_window}" + (f"; the lines are in {', '.join(kept)}" if kept else "")
        ),
        kept=not found.total(),
    )


PROOF = Proof(
    promise=10,
    title="Hot state survives: Redis, PostgreSQL and workers are killed, frozen and set back",
    deed=(
        f"{WORKERS} processes with {TASKS} players each add moves to {GAMES} games in Redis, which "
        "are written to their rows in the background, at the end of a turn (persist), and into a "
        "history when a game is finished; some go on from what they loaded long ago. Meanwhile "
        "processes and servers are killed with SIGKILL or stopped for a while, and Redis is "
        "emptied or started from an old dump. At the end a fresh process recovers, and what each "
        "was told is compared with what was seen and stored. The usual way: JSON by SET, a set of "
        "dirty keys, a task that updates their rows."
    ),
    plain=Side(packages=["redis", "sqlalchemy", "asyncpg"], run=partial(compare, "usual")),
    holdfast=Side(packages=["holdfast", "redis", "asyncpg"], run=partial(compare, "holdfast")),
)

if __name__ == "__main__":
    sys.exit(main([PROOF]))
