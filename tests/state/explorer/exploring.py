"""Schedules by seed, all schedules of a few steps, and the shortest of those that fail."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.state.explorer.draining import drain
from tests.state.explorer.ledger import ViolationError
from tests.state.explorer.world import LOST, Program, World

MOST_STEPS = 400
FAULTS = ("redis emptied", "redis restarted", "redis at", "redis at", "dropped")
KINDS = (
    *("load", "save", "save", "save", "save", "update", "persist", "persist", "persist_held"),
    *("delete", "delete_held", "finish", "roll_back", "create", "flush", "flush", "recover"),
)
WEIGHTS = {
    "step": 69,
    "other": 5,
    "fault": 3,
    "loss": 4,
    "death": 1,
    "limbo": 8,
    "time": 2,
    "back": 8,
}
KEYS = ("k", "l")
Make = Callable[[Mapping[str, Program], Sequence[str]], World]


@dataclass(frozen=True)
class Schedule:
    """What workers do, and in which order things happen."""

    programs: Mapping[str, Program]
    keys: Sequence[str]
    actions: Sequence[str]

    def __str__(self) -> str:
        return f"{dict(self.programs)}\n{list(self.actions)}"


@dataclass
class Found:
    """A schedule in which a rule does not hold."""

    schedule: Schedule
    violation: ViolationError


@dataclass(frozen=True)
class Plan:
    """What schedules are made of.

    Attributes:
        kinds: operations that workers choose from.
        programs: what they do, where it is not left to chance.
        most_marks: as many keys may wait to be written.
    """

    kinds: Sequence[str] = KINDS
    programs: Mapping[str, Program] | None = None
    most_marks: int = 100

    def choose(self, rng: random.Random) -> Mapping[str, Program]:
        """Give workers and their programs; of few kinds each time, which so meet more often."""
        if self.programs:
            return self.programs
        some = rng.sample(self.kinds, min(len(self.kinds), rng.randint(2, 8)))
        keys = KEYS[: rng.choice((1, 1, 2))]
        return {
            name: tuple((rng.choice(some), rng.choice(keys)) for _ in range(rng.randint(3, 8)))
            for name in "abc"[: rng.choice((2, 2, 3))]
        }


ANYTHING = Plan()


def run(schedule: Schedule, make: Make = World, plan: Plan = ANYTHING) -> ViolationError | None:
    """Do one schedule; the violation of a rule, if there was one."""
    try:
        world = make(schedule.programs, schedule.keys)
        world.redis.most_marks = plan.most_marks
        for action in schedule.actions:
            world.do(action)
        drain(world)
    except ViolationError as violation:
        return violation
    return None


def explore(seed: int, make: Make = World, plan: Plan = ANYTHING) -> Found | None:
    """Do a schedule of a seed; what fails in it."""
    rng = random.Random(seed)
    programs = plan.choose(rng)
    keys = sorted({key for program in programs.values() for _, key in program})
    done: list[str] = []
    try:
        world = make(programs, keys)
        world.redis.most_marks = plan.most_marks
        for action in choose(world, rng):
            done.append(action)
            world.do(action)
            if rng.random() < 0.01:
                drain(world)
        drain(world)
    except ViolationError as violation:
        return Found(Schedule(programs, keys, tuple(done)), violation)
    return None


def choose(world: World, rng: random.Random) -> Iterator[str]:
    """Give one action after the other, until everybody is done."""
    left = {"fault": rng.randint(0, 3), "loss": rng.randint(0, 3), "away": rng.randint(0, 2)}
    left["death"] = rng.choice((0, 0, 1))
    paused: set[str] = set()
    for _ in range(MOST_STEPS):
        busy = [name for name, worker in world.workers.items() if worker.asking]
        if not busy:
            return
        if rng.random() < 0.06:
            paused ^= {rng.choice(busy)}
        name = rng.choice([each for each in busy if each not in paused] or busy)
        what = rng.choices(tuple(WEIGHTS), tuple(WEIGHTS.values()))[0]
        if what in left:
            left[what] -= 1
        if left.get(what, 0) >= 0:
            yield happen(what, name, world, rng)
        if what == "loss" and rng.random() < 0.5:  # misfortunes seldom come singly
            paused.add(name)
            yield happen(rng.choice(("loss", "away", "fault", "step")), name, world, rng)


def happen(what: str, name: str, world: World, rng: random.Random) -> str:
    """Say an action; the worker's next step where there is nothing to happen."""
    key = rng.choice(tuple(world.ledger.past))
    said = {
        "fault": fault(world, rng, key),
        "away": f"{rng.choice(('redis', 'postgres'))} away",
        "loss": f"{name} loses {rng.choice(LOST)}",
        "death": f"{name} dies{rng.choice(('', ' after sending'))}",
        "limbo": f"limbo {rng.randrange(len(world.limbo))}" if world.limbo else name,
        "time": f"{rng.choice(('expired', 'released'))} {key}",
        "back": f"{min(world.away)} back" if world.away else name,
        "other": f"{name} 1",
    }
    return said.get(what, name)


def fault(world: World, rng: random.Random, key: str) -> str:
    """Give something that happens to a server."""
    what = rng.choice(FAULTS)
    if what == "redis at":
        return f"redis at {rng.randrange(len(world.earlier))}"
    return f"dropped {key}" if what == "dropped" else what


def shorten(found: Found, make: Make = World) -> Found:
    """Leave out what is not needed for the same rule to fail."""
    best, size = found, len(found.schedule.actions)
    while size:
        for first in range(len(best.schedule.actions) - size, -1, -1):
            actions = [*best.schedule.actions]
            del actions[first : first + size]
            best = _if_it_fails(best, best.schedule.programs, actions, make)
        size //= 2
    for name, all_of_it in best.schedule.programs.items():
        for place in reversed(range(len(all_of_it))):
            program = [*best.schedule.programs[name]]
            del program[place]
            less = {**best.schedule.programs, name: tuple(program)}
            best = _if_it_fails(best, less, best.schedule.actions, make)
    return best


def _if_it_fails(
    found: Found, programs: Mapping[str, Program], actions: Sequence[str], make: Make
) -> Found:
    schedule = Schedule(programs, found.schedule.keys, tuple(actions))
    violation = run(schedule, make)
    same = violation is not None and violation.rule == found.violation.rule
    return Found(schedule, violation) if violation and same else found
