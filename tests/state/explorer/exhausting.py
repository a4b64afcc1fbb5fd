"""Every schedule of a few operations, the shortest first."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tests.state.explorer.draining import drain
from tests.state.explorer.exploring import Found, Make, Schedule
from tests.state.explorer.ledger import ViolationError
from tests.state.explorer.world import LOST, Program, World


@dataclass(frozen=True)
class Budget:
    """How often something may happen besides the workers' steps.

    Attributes:
        losses: answers that are lost.
        faults: of Redis.
        deaths: of workers.
    """

    losses: int = 0
    faults: int = 0
    deaths: int = 0


@dataclass(frozen=True)
class Exhausted:
    """What was looked at, and what failed first."""

    states: int
    steps: int
    found: Found | None


def exhaust(
    programs: Mapping[str, Program],
    budget: Budget,
    make: Make = World,
    most: int = 100_000,
) -> Exhausted:
    """Do every schedule; equal states are gone on from once.

    A worker's state is what it was answered, since nothing else comes into it.
    """
    keys = sorted({key for program in programs.values() for _, key in program})
    waiting: deque[tuple[tuple[str, ...], Budget]] = deque([((), budget)])
    seen: set[Any] = set()
    drained: set[Any] = set()
    steps = 0
    while waiting and len(seen) < most:
        actions, left = waiting.popleft()
        try:
            world = make(programs, keys)
            for action in actions:
                world.do(action)
            steps += len(actions)
            state = (servers := _servers(world)), _workers(world), left
            if state in seen:
                continue
            seen.add(state)
            if servers not in drained:
                drained.add(servers)
                drain(world)
        except ViolationError as violation:
            return Exhausted(len(seen), steps, Found(Schedule(programs, keys, actions), violation))
        waiting += [((*actions, action), after) for action, after in _next(world, left)]
    return Exhausted(len(seen), steps, None)


def _next(world: World, left: Budget) -> Iterator[tuple[str, Budget]]:
    """Give all that may happen, and what may happen after it."""
    for name, worker in world.workers.items():
        waiting = worker.waiting()
        for which in range(len(waiting)):
            yield f"{name} {which}", left
        if waiting and left.losses:
            for when in LOST:
                yield f"{name} loses {when}", replace(left, losses=left.losses - 1)
        if waiting and left.deaths:
            yield f"{name} dies", replace(left, deaths=left.deaths - 1)
    for number in range(len(world.limbo)):
        yield f"limbo {number}", left
    if left.faults:
        less = replace(left, faults=left.faults - 1)
        earlier = [f"at {place}" for place in _distinct(world.earlier)]
        for how in ("emptied", "restarted", *earlier):
            yield f"redis {how}", less
        for key in world.redis.values:
            yield f"dropped {key}", less


def _distinct(dumps: Sequence[Any]) -> Iterator[int]:
    texts = [repr(each) for each in dumps]
    return (place for place, text in enumerate(texts) if text not in texts[:place])


def _servers(world: World) -> Any:
    redis, rows = world.redis, world.postgres
    return repr((redis.dump(), redis.incarnation, rows.rows, rows.drawn, rows.locks, rows.history))


def _workers(world: World) -> Any:
    limbo = tuple(sorted(repr(each.request) for each in world.limbo))
    return tuple((each.heard, each.asking is None) for each in world.workers.values()), limbo
