"""What a row of the benchmark is, and how it is measured.

A row is a module constant of type `Row`, named in `benchmarks/__main__.py`. Its contenders (the
limit, the peers, ours) do the same work in turn, so that whatever else the machine does slows
all of them; what counts is the ratio within each turn.
"""

import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

REPEATS = 7
TOLERANCE = 1.05  # a goal in time is met within 5 %: the machine is shared
GROWTH = (1, 10, 100)  # pieces of work


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One run of one contender: its time, and what it did that means the same everywhere."""

    seconds: float
    counts: Mapping[str, float] = field(default_factory=dict)


Run = Callable[[int], Awaitable[Sample]]  # do so many pieces of the work, once


@dataclass(frozen=True, slots=True, kw_only=True)
class Contenders:
    """Who does the work: by title, each with a function that does it.

    Attributes:
        limit: the fastest that driver or server can do.
        peers: the plain stack and others, as their documentation says.
        ours: Holdfast.
        beside: what tells more about any of them, and does not grow with the work.
    """

    limit: tuple[str, Run]
    peers: Sequence[tuple[str, Run]] = ()
    ours: tuple[str, Run]
    beside: Sequence[tuple[str, Run]] = ()

    def all(self) -> dict[str, Run]:
        """Return every contender by its title, the limit first, ours after its peers."""
        return dict([self.limit, *self.peers, self.ours, *self.beside])

    def growing(self) -> dict[str, Run]:
        """Return those that are also given more work."""
        return dict([self.limit, *self.peers, self.ours])


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioGoal:
    """Ours takes at most so many times what `of` takes; None is the limit, else a peer's title."""

    at_most: float
    of: str | None = None

    def __str__(self) -> str:
        return f"at most {self.at_most:.3g} of {self.of or 'the limit'}"

    def is_met(self, row: "Measured") -> bool:
        """Tell whether the median is within the tolerance."""
        return row.ratio(row.ours, self.of or row.limit).median <= self.at_most * TOLERANCE


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceGoal:
    """Ours takes at most so many seconds more than the limit: for what is added to any work."""

    at_most: float

    def __str__(self) -> str:
        return f"at most {self.at_most * 1e3:g} ms more than the limit"

    def is_met(self, row: "Measured") -> bool:
        """Tell whether the median is within the tolerance."""
        return row.difference(row.ours, row.limit).median <= self.at_most * TOLERANCE


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondsGoal:
    """Ours takes at most so many seconds: for what a person waits for."""

    at_most: float

    def __str__(self) -> str:
        return f"at most {self.at_most:g} s"

    def is_met(self, row: "Measured") -> bool:
        """Tell whether the median is within the tolerance."""
        return row.seconds(row.ours).median <= self.at_most * TOLERANCE


@dataclass(frozen=True, slots=True, kw_only=True)
class CountGoal:
    """One of our counts is at most this; counts have no tolerance."""

    count: str
    at_most: float

    def __str__(self) -> str:
        return f"at most {self.at_most:g} {self.count}"

    def is_met(self, row: "Measured") -> bool:
        """Tell whether no run of ours had more."""
        return max(row.count(row.ours, self.count)) <= self.at_most


Goal = RatioGoal | DifferenceGoal | SecondsGoal | CountGoal


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of the table.

    Attributes:
        name: as in the design's performance table; it never changes.
        what: what is timed, in a line.
        goals: all must be met for the row to be met.
        contenders: opens what the work needs, gives the contenders, closes it; told whether
            the run is a quick one, which only shows that everything works.
        pieces: of how many its work is, of which a quick run does one. Growth is measured with 1,
            10 and 100 pieces: where more than the row would take too long, up to the row.
        grows: whether the row is also measured with other amounts of work.
        repeats: turns; never under 5.
    """

    name: str
    what: str
    goals: Sequence[Goal]
    contenders: Callable[[bool], AbstractAsyncContextManager[Contenders]]
    pieces: int = 1
    grows: bool = True
    repeats: int = REPEATS

    def __post_init__(self) -> None:
        if self.repeats < 5:
            raise ValueError(f"{self.name}: {self.repeats} repeats say nothing; take 5 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The middle and the ends of several values."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Summarise values, of which there is at least one."""
        return cls(median=statistics.median(values), low=min(values), high=max(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A row's samples, by contender and in the order of the turns; `growth` by pieces of work."""

    row: Row
    limit: str
    ours: str
    beside: Sequence[str] = ()
    samples: Mapping[str, Sequence[Sample]]
    growth: Mapping[int, Mapping[str, Sample]]

    @property
    def met(self) -> bool:
        """Whether every goal is met."""
        return all(goal.is_met(self) for goal in self.row.goals)

    def seconds(self, title: str) -> Spread:
        """Return a contender's time."""
        return Spread.of([sample.seconds for sample in self.samples[title]])

    def ratio(self, title: str, to: str) -> Spread:
        """Return one contender's time as a multiple of another's, taken within each turn."""
        pairs = zip(self.samples[title], self.samples[to], strict=True)
        return Spread.of([one.seconds / other.seconds for one, other in pairs])

    def difference(self, title: str, to: str) -> Spread:
        """Return the seconds that one contender takes more than another, taken within each turn."""
        pairs = zip(self.samples[title], self.samples[to], strict=True)
        return Spread.of([one.seconds - other.seconds for one, other in pairs])

    def count(self, title: str, count: str) -> list[float]:
        """Return one count of a contender, of every turn."""
        return [sample.counts[count] for sample in self.samples[title]]


async def measure(row: Row, *, quick: bool) -> Measured:
    """Run a row: every contender in turn, forwards and backwards, after one turn that is not kept.

    Args:
        row: what to measure.
        quick: one turn and no growth, to see that it works.
    """
    work = 1 if quick else row.pieces
    async with row.contenders(quick) as contenders:
        runs = contenders.all()
        samples: dict[str, list[Sample]] = {title: [] for title in runs}
        if not quick:
            for run in runs.values():
                await run(work)
        for turn in range(1 if quick else row.repeats):
            for title in list(runs)[:: -1 if turn % 2 else 1]:
                samples[title].append(await runs[title](work))
        growing = row.grows and not quick
        growth = {
            pieces: {title: await run(pieces) for title, run in contenders.growing().items()}
            for pieces in (GROWTH if growing else ())
        }
    limit, ours = contenders.limit[0], contenders.ours[0]
    beside = [title for title, _ in contenders.beside]
    return Measured(row=row, limit=limit, ours=ours, beside=beside, samples=samples, growth=growth)
