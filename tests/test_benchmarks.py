"""The benchmark's figures can be believed: goals, spreads and what is kept of a run."""

import json
import re
from contextlib import asynccontextmanager

import pytest
from benchmarks.__main__ import NAMES, ROWS, main, measure_all
from benchmarks.measure import (
    Contenders,
    CountGoal,
    DifferenceGoal,
    RatioGoal,
    Row,
    Sample,
    SecondsGoal,
    measure,
)
from benchmarks.report import save, show

# The goals of the design's table for what is built; one is not moved to where the figures are.
GOALS = {
    "read.one": ["at most 0.75 of ORM with pre-ping", "at most 1 round trips"],
    "read.one.lane": ["at most 1.5 of the limit", "at most 1 round trips"],
    "read.bulk": ["at most 2 of the limit", "at most 20 MB over base"],
    "write.one": ["at most 1.05 of ORM"],
    "write.bulk": ["at most 1.7 of the limit", "at most 20 MB over base"],
    "pool.burst": ["at most 1 of SQLAlchemy 20+0", "at most 0 reconnections"],
    "pool.burst.lane": ["at most 1.3 of the limit", "at most 0 reconnections"],
    "pool.queue": [
        "at most 1 of SQLAlchemy 20+0", "at most 2 p99 in p50s", "at most 0 callers overtaken",
    ],
    "run.overhead": ["at most 1.1 of the limit"],
    "cancel.storm": ["at most 1.43 of the limit", "at most 0 statements left running"],
    "state.save": ["at most 1.15 of the limit", "at most 1 round trips"],
    "state.load": ["at most 1.9 of the limit", "at most 1 round trips"],
    "state.flush": [
        "at most 1.3 of the limit", "at most 25 statements", "at most 2 p99 of saves in idle ones",
    ],
    "state.recover": ["at most 1.3 of the limit", "at most 120 MB over base"],
    "test.sandbox": ["at most 1.5 ms more than the limit"],
    "test.database": ["at most 1.2 of the limit"],
    "up.cold": ["at most 3 s"],
    "up.warm": ["at most 1.2 s"],
    "cards.load": ["at most 1.6 of the limit"],
    "cards.load.game": ["at most 1.6 of the limit"],
    "cards.search": ["at most 0.1 of the limit"],
    "json.typed": ["at most 2 of the limit"],
    "json.typed.read": ["at most 2 of the limit"],
    "json.typed.insert": ["at most 2 of the limit"],
    "json.typed.sqlite": ["at most 2 of the limit"],
    "json.typed.sqlite.read": ["at most 2 of the limit"],
    "json.typed.sqlite.insert": ["at most 2 of the limit"],
    "import": ["at most 1.15 of the limit"],
    "transfer": ["at most 2 of the limit", "at most 20 MB over base"],
}  # fmt: skip


def row(*goals, ours=(1.0, 2.0, 1.0, 1.0, 1.0), closed=None, beside=(), **options) -> Row:
    """Make a row whose limit takes 1 s and whose own times are given, by turn."""
    times = iter([1.0, *ours])

    async def limit(work: int) -> Sample:
        return Sample(seconds=1.0 * work)

    async def slow(work: int) -> Sample:
        return Sample(seconds=4.0 * work)

    async def mine(work: int) -> Sample:
        return Sample(seconds=next(times, 2.0) * work, counts={"round trips": 3})

    @asynccontextmanager
    async def contenders(quick: bool):
        yield Contenders(
            limit=("driver", limit),
            peers=[("plain", slow)],
            ours=("ours", mine),
            beside=[(title, slow) for title in beside],
        )
        if closed is not None:
            closed.append(quick)

    return Row(
        name="a.row", what="a thing", goals=goals, contenders=contenders, repeats=5, **options
    )


@pytest.mark.parametrize(
    ("goal", "ours", "met"),
    [
        (RatioGoal(at_most=1.5), 1.5, True),
        (RatioGoal(at_most=1.5), 1.57, True),
        (RatioGoal(at_most=1.5), 1.58, False),
        (RatioGoal(at_most=0.5, of="plain"), 2.1, True),
        (RatioGoal(at_most=0.5, of="plain"), 2.2, False),
        (DifferenceGoal(at_most=0.5), 1.52, True),
        (DifferenceGoal(at_most=0.5), 1.53, False),
        (SecondsGoal(at_most=3), 3.1, True),
        (SecondsGoal(at_most=3), 3.2, False),
        (CountGoal(count="round trips", at_most=3), 9, True),
        (CountGoal(count="round trips", at_most=2.9), 9, False),
    ],
)
async def test_a_goal_is_met_within_five_percent_and_a_count_exactly(goal, ours, met):
    """Times are judged with the tolerance, counts without."""
    measured = await measure(row(goal, ours=[ours] * 5), quick=False)

    assert measured.met is met


async def test_every_goal_of_a_row_counts():
    """One goal that is not met is enough."""
    goals = RatioGoal(at_most=2), CountGoal(count="round trips", at_most=0)

    measured = await measure(row(*goals), quick=False)

    assert not measured.met


async def test_the_median_is_kept_with_its_spread():
    """One slow turn of five shows in the spread and not in the median."""
    measured = await measure(row(RatioGoal(at_most=1), ours=[1, 9, 1, 0.5, 1]), quick=False)

    ratio = measured.ratio("ours", "driver")
    assert (ratio.median, ratio.low, ratio.high) == (1, 0.5, 9)


async def test_growth_is_measured_at_ten_and_a_hundred_times_the_work():
    """All contenders take part in it."""
    measured = await measure(row(RatioGoal(at_most=1)), quick=False)

    assert [samples["driver"].seconds for samples in measured.growth.values()] == [1, 10, 100]


async def test_growth_up_to_a_row_of_many_pieces(capsys):
    """The row is the whole of it, and what is less is a fraction of the row."""
    measured = await measure(row(RatioGoal(at_most=1), pieces=100), quick=False)

    show(measured)
    shown = capsys.readouterr().out
    assert [sample.seconds for sample in measured.samples["driver"]] == [100] * 5
    assert [samples["driver"].seconds for samples in measured.growth.values()] == [1, 10, 100]
    for times, seconds in (("1/100", 1), ("1/10", 10), ("1", 100)):
        assert re.search(rf" {times} times the work: ours .*, limit {seconds} s", shown)


async def test_a_quick_run_does_one_piece():
    """It shows that everything works."""
    measured = await measure(row(RatioGoal(at_most=1), pieces=100), quick=True)

    assert [sample.seconds for sample in measured.samples["driver"]] == [1]


def test_what_does_not_grow():
    """A module is imported once, a start and a run of tests are as long as they are."""
    fixed = {"import", "up.cold", "up.warm", "test.workers"}

    assert {row.name for row in ROWS if not row.grows} == fixed


async def test_what_stands_beside_is_shown_and_does_not_grow(capsys):
    """It is measured in each turn, and is neither a peer nor given more work."""
    measured = await measure(row(RatioGoal(at_most=1), beside=["two at once"]), quick=False)

    show(measured)
    assert "also  two at once" in capsys.readouterr().out
    assert len(measured.samples["two at once"]) == 5
    assert all("two at once" not in samples for samples in measured.growth.values())


async def test_where_a_difference_is_the_goal_differences_are_shown(capsys):
    """In milliseconds more than the limit, with their spread."""
    show(await measure(row(DifferenceGoal(at_most=1)), quick=False))

    shown = capsys.readouterr().out
    assert "+3000.00 ms" in shown
    assert "+0.00 ms  (+0.00 to +1000.00)" in shown
    assert "goal  at most 1000 ms more than the limit: met" in shown


async def test_a_quick_run_does_each_once():
    """It has one turn, no growth, and closes what it opened."""
    closed = []

    measured = await measure(row(RatioGoal(at_most=1), closed=closed), quick=True)

    assert {title: len(samples) for title, samples in measured.samples.items()} == {
        "driver": 1,
        "plain": 1,
        "ours": 1,
    }
    assert measured.growth == {}
    assert closed == [True]


def test_fewer_than_five_repeats_are_refused():
    """A median of less is an anecdote."""
    with pytest.raises(ValueError, match=r"a\.row: 4 repeats"):
        Row(name="a.row", what="", goals=[], contenders=lambda _: None, repeats=4)


async def test_a_row_that_fails_does_not_stop_the_others(capsys):
    """It is named, and is not among what was measured."""

    @asynccontextmanager
    async def broken(quick: bool):
        raise RuntimeError("no server")
        yield

    failing = Row(name="b.row", what="", goals=[], contenders=broken)

    measured = await measure_all([failing, row(RatioGoal(at_most=1))], quick=True)

    assert [one.row.name for one in measured] == ["a.row"]
    assert "b.row: could not be measured" in capsys.readouterr().err


def test_a_row_that_could_not_be_measured_is_named_at_the_end(monkeypatch, capsys):
    """The exit code says so too; a goal that was missed is said, and fails nothing."""

    @asynccontextmanager
    async def broken(quick: bool):
        raise RuntimeError("no server")
        yield

    failing = Row(name="b.row", what="", goals=[], contenders=broken)
    missed = row(RatioGoal(at_most=0.01))
    monkeypatch.setattr("benchmarks.__main__.save", lambda *_rows, quick: None)

    monkeypatch.setattr("benchmarks.__main__.ROWS", (missed,))
    assert main(["--quick"]) == 0
    monkeypatch.setattr("benchmarks.__main__.ROWS", (failing, missed))
    assert main(["--quick"]) == 1
    said = capsys.readouterr().out
    assert said.endswith("bench: could not be measured: b.row\nbench: 0 of 2 goals met\n")


async def test_what_is_saved_has_the_figures_and_no_host_name(tmp_path, monkeypatch):
    """Row, limit, peers, ratio, counts, goal, spread and machine are there for programs."""
    monkeypatch.setattr("platform.node", lambda: "a-host-name")
    measured = await measure(row(RatioGoal(at_most=1)), quick=False)

    save([measured], quick=False, path=tmp_path / "results" / "latest.json")

    text = (tmp_path / "results" / "latest.json").read_text()
    [kept] = json.loads(text)["rows"]
    assert kept["limit"]["title"] == "driver"
    assert [(peer["title"], peer["ratio"]) for peer in kept["peers"]] == [("plain", 4)]
    assert [peer["more"] for peer in kept["peers"]] == [3]
    assert (kept["row"], kept["ratio"], kept["spread"]) == ("a.row", 1, [1, 2])
    assert (kept["counts"], kept["goal"], kept["met"]) == (
        {"round trips": 3},
        "at most 1 of the limit",
        True,
    )
    assert set(json.loads(text)["machine"]) >= {"python", "cpus", "platform", "versions"}
    assert "a-host-name" not in text


async def test_what_is_shown_names_everybody_and_the_goal(capsys):
    """A line each for limit, peer and ours, the counts, the growth and the goal."""
    show(await measure(row(RatioGoal(at_most=0.5)), quick=False))

    shown = capsys.readouterr().out
    for text in ("limit driver", "peer  plain", "ours  ours", "round trips: 3", "NOT MET"):
        assert text in shown
    assert "100 times the work: ours 200 s, limit 100 s, ratio 2.00" in shown


def test_the_rows_have_names_of_the_design():
    """Row names are fixed: figures of different days are compared by them."""
    assert {row.name for row in ROWS} <= set(NAMES)
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_no_row_is_dropped_and_no_goal_is_moved():
    """A row that looks bad stays, with the goal that it had."""
    built = {row.name: [str(goal) for goal in row.goals] for row in ROWS}

    assert {name: built.get(name) for name in GOALS} == GOALS
