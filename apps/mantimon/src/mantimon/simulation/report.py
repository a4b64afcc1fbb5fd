"""What a simulation did, in numbers."""

import uuid
from collections import Counter
from dataclasses import dataclass
from statistics import median, quantiles

from mantimon.simulation.checking import Stored
from mantimon.simulation.plan import SimulationPlan
from mantimon.simulation.watching import Watch


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationReport:
    """What was played, and everything that is wrong with it; `seconds` are those of the games.

    The counts by reason and type, and the turns, are those of the history; saves, persists and the
    sizes of states (in bytes of JSON) are what was acknowledged to the workers.

    Attributes:
        run: the id that those of its games follow from.
        plan: what was to be played.
        played: games in the history.
        by_reason: of these, how they ended.
        by_type: of these, what they counted for.
        turns: of all of them.
        median_turns: of the middle one.
        saves: actions that were saved in Redis.
        persists: turns that were acknowledged as being in PostgreSQL.
        turns_lost: of these, those that somebody found missing.
        kills: workers that were killed.
        median_state: size of the middle state.
        middle_states: sizes that a tenth of the states is below, and above.
        seconds: from the first game to the last.
        problems: one line for each thing that is wrong; those turns are among them.
    """

    run: uuid.UUID
    plan: SimulationPlan
    played: int
    by_reason: dict[str, int]
    by_type: dict[str, int]
    turns: int
    median_turns: float
    saves: int
    persists: int
    turns_lost: int
    kills: int
    median_state: float
    middle_states: tuple[float, float]
    seconds: float
    problems: list[str]

    @property
    def games_per_second(self) -> float:
        """How many games were played in each second."""
        return self.played / self.seconds

    @property
    def saves_per_second(self) -> float:
        """How many actions were saved in each second."""
        return self.saves / self.seconds


@dataclass(slots=True, kw_only=True)
class Course:
    """How the games went, as far as it is not in the database."""

    watch: Watch
    kills: int
    seconds: float


def make_report(
    run: uuid.UUID, plan: SimulationPlan, stored: Stored, course: Course, problems: list[str]
) -> SimulationReport:
    """Count what was done; what was watched is added to the problems."""
    watch = course.watch
    facts = [each for _, each in stored.played]
    turns = [each.turn_count for each in facts]
    sizes = watch.sizes or [0]
    tenths = quantiles(sizes, n=10) if len(sizes) > 1 else sizes
    return SimulationReport(
        run=run,
        plan=plan,
        played=len(facts),
        by_reason=dict(Counter(str(each.end_reason) for each in facts).most_common()),
        by_type=dict(Counter(str(each.game_type) for each in facts).most_common()),
        turns=sum(turns),
        median_turns=median(turns or [0]),
        saves=watch.saves,
        persists=len(watch.sizes),
        turns_lost=len(watch.lost),
        kills=course.kills,
        median_state=median(sizes),
        middle_states=(round(tenths[0]), round(tenths[-1])),
        seconds=course.seconds,
        problems=[*watch.lost, *watch.problems, *problems],
    )
