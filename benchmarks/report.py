"""Show measured rows to people, and keep them for programs."""

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.measure import DifferenceGoal, Measured, Sample, Spread

LATEST = Path(__file__).parent / "results" / "latest.json"
PACKAGES = ("holdfast", "sqlalchemy", "asyncpg", "redis", "advanced-alchemy")


def show(measured: Measured) -> None:
    """Print one row: a line for each contender, its growth, and whether the goals are met."""
    print(f"{measured.row.name}: {measured.row.what}")
    in_difference = any(isinstance(goal, DifferenceGoal) for goal in measured.row.goals)
    for title in measured.samples:
        median = measured.seconds(title).median
        than_limit = more(measured, title) if in_difference else multiple(measured, title)
        print(f"  {kind(measured, title):<6}{title:<44}{duration(median):>10}  {than_limit}")
        for name, value in measured.samples[title][-1].counts.items():
            print(f"        {name}: {value:g}")
    for work, samples in measured.growth.items():
        print(f"  {times(measured, work):>5} times the work: {growth_line(measured, samples)}")
    for goal in measured.row.goals:
        print(f"  goal  {goal}: {'met' if goal.is_met(measured) else 'NOT MET'}")
    print(flush=True)


def kind(measured: Measured, title: str) -> str:
    """Say what a contender is."""
    known = {measured.limit: "limit", measured.ours: "ours"} | dict.fromkeys(
        measured.beside, "also"
    )
    return known.get(title, "peer")


def multiple(measured: Measured, title: str) -> str:
    """Say how many times what the limit takes a contender does."""
    ratio = measured.ratio(title, measured.limit)
    return f"{ratio.median:6.2f}{ends(ratio)}"


def more(measured: Measured, title: str) -> str:
    """Say how many milliseconds more than the limit a contender takes."""
    spread = measured.difference(title, measured.limit)
    low, median, high = (value * 1e3 for value in (spread.low, spread.median, spread.high))
    between = "" if low == high else f"  ({low:+.2f} to {high:+.2f})"
    return f"{median:+6.2f} ms{between}"


def times(measured: Measured, pieces: int) -> str:
    """Say how many times the row's own work so many pieces are: 1/100, 1, 10."""
    return str(Fraction(pieces, measured.row.pieces))


def growth_line(measured: Measured, samples: Mapping[str, Sample]) -> str:
    """Say what ours and the limit took for some amount of work."""
    ours, limit = samples[measured.ours].seconds, samples[measured.limit].seconds
    return f"ours {duration(ours)}, limit {duration(limit)}, ratio {ours / limit:.2f}"


def save(rows: Sequence[Measured], *, quick: bool, path: Path = LATEST) -> None:
    """Write the rows and the machine that they were measured on, without its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = {"machine": machine(), "quick": quick, "rows": [as_data(row) for row in rows]}
    path.write_text(json.dumps(data, indent=1) + "\n")


def as_data(measured: Measured) -> dict[str, Any]:
    """Return a row as plain data; ratios are to the limit, times in seconds."""
    return {
        "row": measured.row.name,
        "limit": contender(measured, measured.limit),
        "peers": [contender(measured, t) for t in measured.samples if kind(measured, t) == "peer"],
        "ours": contender(measured, measured.ours),
        "beside": [contender(measured, title) for title in measured.beside],
        "ratio": round(measured.ratio(measured.ours, measured.limit).median, 3),
        "spread": rounded(measured.ratio(measured.ours, measured.limit)),
        "counts": dict(measured.samples[measured.ours][-1].counts),
        "goal": "; ".join(map(str, measured.row.goals)),
        "met": measured.met,
        "repeats": len(measured.samples[measured.ours]),
        "growth": {
            times(measured, work): {
                title: round(sample.seconds, 6) for title, sample in samples.items()
            }
            for work, samples in measured.growth.items()
        },
    }


def contender(measured: Measured, title: str) -> dict[str, Any]:
    """Return one contender's time, what it is beside the limit, and counts."""
    return {
        "title": title,
        "seconds": round(measured.seconds(title).median, 6),
        "ratio": round(measured.ratio(title, measured.limit).median, 3),
        "more": round(measured.difference(title, measured.limit).median, 6),
        "counts": dict(measured.samples[title][-1].counts),
    }


def machine() -> dict[str, Any]:
    """Describe the machine: what a reader needs to judge the figures."""
    return {
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": {package: version(package) for package in PACKAGES},
        "implementation": sys.implementation.name,
    }


def rounded(spread: Spread) -> list[float]:
    """Return the two ends of a spread."""
    return [round(spread.low, 3), round(spread.high, 3)]


def ends(spread: Spread) -> str:
    """Return the two ends of a spread as text, nothing where there is only one value."""
    return "" if spread.low == spread.high else f"  ({spread.low:.2f} to {spread.high:.2f})"


def duration(seconds: float) -> str:
    """Return a time in the unit that it is read best in."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"
