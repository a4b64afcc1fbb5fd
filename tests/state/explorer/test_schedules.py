"""The store's own operations, whatever happens in whatever order."""

import os
from unittest.mock import patch

import pytest
from tests.state.explorer.exhausting import Budget, exhaust
from tests.state.explorer.exploring import ANYTHING, Plan, explore, shorten
from tests.state.explorer.postgres_twin import PostgresTwin
from tests.state.explorer.world import World

from holdfast.state import operations, versions

SCHEDULES = int(os.environ.get("HOLDFAST_SCHEDULES", "500"))
SEED = int(os.environ.get("SOAK_SEED", "0"))
FEW_MARKS = Plan(most_marks=1)
DELETIONS = Plan(kinds=("delete", "delete_held", "finish", "roll_back", "create", "save", "load"))
REFUSED = Plan(
    kinds=(
        *("save", "save_poison", "load", "flush", "persist", "persist_held", "recover"),
        *("delete", "create"),
    )
)
SHORT_EPOCHS = 2  # bits: four versions in each
LETTERS = {"s": "save", "p": "persist", "h": "persist_held", "l": "load", "w": "flush"} | {
    "d": "delete",
    "D": "delete_held",
    "F": "finish",
    "c": "create",
    "r": "recover",
}


def seeds(part: int) -> range:
    """Give the seeds of a part of all schedules."""
    return range(SEED, SEED + SCHEDULES // part)


def check(seed, plan):
    """Fail with the shortest schedule that breaks the same rule."""
    if found := explore(seed, plan=plan):
        short = shorten(found)
        pytest.fail(f"seed {seed}: {short.violation}\n{short.schedule}")


def test_every_schedule():
    """Three workers of any operations, their servers lost, rolled back and cut off."""
    for seed in seeds(1):
        check(seed, ANYTHING)


@pytest.mark.parametrize(
    "plan", [FEW_MARKS, DELETIONS, REFUSED], ids=["few marks", "deletions", "refused states"]
)
def test_schedules_of_a_kind(plan):
    """What seldom comes together elsewhere."""
    for seed in seeds(4):
        check(seed, plan)


def test_schedules_of_short_epochs():
    """When the numbers of an epoch are used up, another begins, and nothing is lost by it."""
    last = (1 << SHORT_EPOCHS) - 1
    with patch.multiple(versions, COUNT_BITS=SHORT_EPOCHS, _COUNT=last):
        for seed in seeds(4):
            check(seed, Plan(kinds=("save", "update", "update", "flush", "persist", "load")))


@pytest.mark.parametrize(
    ("programs", "budget"),
    [
        ("as bs", Budget()),
        ("asp bw", Budget()),
        ("al", Budget(losses=2)),
        ("ad bl", Budget(deaths=1)),
        ("ad bc", Budget(losses=1)),
        ("al", Budget(faults=2, losses=1)),
    ],
)
def test_all_schedules_of_few_operations(programs, budget):
    """Every order of every step, and at each a fresh worker finds and can use what there is."""
    with patch.object(operations, "ATTEMPTS", 2):
        done = exhaust(read(programs), budget)

    assert done.found is None, f"{done.found.violation}\n{done.found.schedule}"


@pytest.mark.parametrize(
    ("programs", "budget"),
    [
        ("as bp", Budget(faults=1)),
        ("as bd", Budget(losses=1)),
        ("aF bs", Budget(losses=1)),
        ("aD bsp", Budget(faults=1)),
        ("as bs cw", Budget()),
    ],
)
def test_the_shortest_schedules_of_some_more(programs, budget):
    """As many states as there is time for, the nearest first."""
    with patch.object(operations, "ATTEMPTS", 2):
        done = exhaust(read(programs), budget, most=min(SCHEDULES, 5_000))

    assert done.found is None, f"{done.found.violation}\n{done.found.schedule}"


def test_many_saves_are_one_write():
    """Ten saves of each key between two flushes are one statement, in the order of the keys."""
    program = [("save", key) for _ in range(10) for key in "lk"]
    world = World({"a": [*program, ("flush", "k")]}, "kl", postgres=Counting)
    while world.workers["a"].asking:
        world.do("a")

    assert [[write.key for write in each.writes] for each in world.postgres.flushed] == [["k", "l"]]
    assert all(text.state.count(b"a") == 10 for _, text in world.postgres.rows.values())


class Counting(PostgresTwin):
    """Remembers what is flushed."""

    def __init__(self):
        super().__init__()
        self.flushed = []

    def flush(self, asked):
        """See flush.sql."""
        self.flushed.append(asked)
        return super().flush(asked)


def read(text):
    """Read what workers do from a name and a letter for each operation."""
    return {each[0]: tuple((LETTERS[letter], "k") for letter in each[1:]) for each in text.split()}
