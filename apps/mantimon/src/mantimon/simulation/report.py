"""What a simulation did, in numbers."""

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from mantimon.simulation.checking import Stored
from mantimon.simulation.messages import Played
from mantimon.simulation.plan import SimulationPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationReport:
    """What was played, and everything that is wrong with it; `seconds` are those of the games.

    The counts by reason and type, and the turns, are those of the history; actions, writes and
    the sizes of states (in bytes of JSON) are those that the workers told.
    """

    run: uuid.UUID
    plan: SimulationPlan
    played: int
    by_reason: dict[str, int]
    by_type: dict[str, int]
    turns: int
    median_turns: float
    actions: int
    writes: int
    median_state: float
    middle_states: tuple[float, float]
    seconds: float
    problems: list[str]

    @property
    def games_per_second(self) -> float:
        """How many games were played in each second."""
        return self.played / self.seconds

    @property
    def writes_per_second(self) -> float:
        """How many transactions wrote in each second."""
        return self.writes / self.seconds


def make_report(
    run: uuid.UUID,
    plan: SimulationPlan,
    stored: Stored,
    told: Sequence[Played],
    *,
    seconds: float,
    problems: list[str],
) -> SimulationReport:
    """Count what was done; `middle_states` has the sizes that a tenth is below, and above."""
    facts = [each for _, each in stored.played]
    turns = [each.turn_count for each in facts]
    sizes = [size for each in told for size in each.sizes] or [0]
    tenths = quantiles(sizes, n=10) if len(sizes) > 1 else sizes
    return SimulationReport(
        run=run,
        plan=plan,
        played=len(facts),
        by_reason=dict(Counter(str(each.end_reason) for each in facts).most_common()),
        by_type=dict(Counter(str(each.game_type) for each in facts).most_common()),
        turns=sum(turns),
        median_turns=median(turns or [0]),
        actions=sum(each.actions for each in told),
        # One for each state, and one that moves the game into the history.
        writes=sum(len(each.sizes) + 1 for each in told),
        median_state=median(sizes),
        middle_states=(round(tenths[0]), round(tenths[-1])),
        seconds=seconds,
        problems=problems,
    )
