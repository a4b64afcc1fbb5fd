"""Processes play on a store while they and its servers are killed, frozen and set back.

`HOLDFAST_ROUNDS` says how many rounds, `HOLDFAST_FAILOVERS` how many of those in which another
server takes over, `HOLDFAST_SEED` the seed of the first.
"""

import os
from collections import Counter

import pytest
from proofs.state import describe
from proofs.state_judge import (
    ERRORS,
    HISTORY,
    LOST_SAVES,
    LOST_TURNS,
    MIXED,
    NAMES,
    REFUSED_AND_THERE,
    REGRESSIONS,
    RESURRECTED,
    judge,
)
from proofs.state_log import DONE, REFUSED, UNKNOWN, WRONG, Call, Fault, Log, Record, read
from proofs.state_round import (
    COMBINATIONS,
    GROUPS,
    Result,
    own_ground,
    plan_failovers,
    plan_round,
    play,
)

ROUNDS = int(os.environ.get("HOLDFAST_ROUNDS", str(len(COMBINATIONS))))
FAILOVERS = int(os.environ.get("HOLDFAST_FAILOVERS", "1"))
SEED = int(os.environ.get("HOLDFAST_SEED", "1"))


async def test_nothing_is_lost_whatever_is_killed():
    """Rounds of all combinations: what was told is what is there; a failing one says its seed."""
    results: list[Result] = []
    async with own_ground() as ground:
        for number in range(ROUNDS):
            plan = plan_round("holdfast", SEED + number, number)
            results.append(await play(plan, ground))

    assert_nothing_is_wrong(results)
    assert describe(results).kept


@pytest.mark.parametrize("redis", GROUPS)
async def test_nothing_is_lost_when_a_master_is_killed(redis):
    """Another takes over: what was persisted is there, and what was only saved is as it is told."""
    async with own_ground() as ground:
        seeds = range(SEED, SEED + FAILOVERS)
        results = [await play(plan_failovers(seed, redis), ground) for seed in seeds]

    assert_nothing_is_wrong(results)
    assert {result.faults["master killed"] for result in results} == {2}


def assert_nothing_is_wrong(results: list[Result]) -> None:
    """Show what is, where something is, and that enough was done to show it."""
    wrong = [str(result) for result in results if result.verdict.violations]
    assert not wrong, "\n".join(wrong)
    calls = sum((result.calls for result in results), Counter())
    for what in ("create", "load", "save", "persist", "finish", "recover", "drain", "row"):
        assert calls[what, DONE], f"no {what} was acknowledged, so that nothing was tested"
    assert calls["save", REFUSED], "nobody was in another's way, so that nothing was tested"


def call(what: str, at: int, *, moves=None, **more) -> Call:
    """Make a call that takes one tick and is acknowledged."""
    more = {"who": "one", "number": at, "key": 7, "ended": at + 1, "outcome": DONE} | more
    return Call(what=what, began=at, moves=moves, **more)


def save(at: int, *base: int, **more) -> Call:
    """Make a save whose move is the time at which it was tried."""
    more = {"bases": (base,), "moves": (*base, at)} | more
    return call("save", at, move=at, **more)


def record(*calls: Call, row=None, history=(), lost_at=()) -> Record:
    """Make a round of one game, and its tables at the end."""
    faults = [Fault(name="Redis emptied", began=at, ended=at + 1, loses=True) for at in lost_at]
    return Record(
        calls=calls,
        faults=faults,
        rows={} if row is None else {7: row},
        history=[(7, moves) for moves in history],
    )


GOOD = (
    call("create", 1, moves=()),
    save(10),
    call("persist", 12, moves=(10,)),
    save(20, 10, outcome=REFUSED),
    save(22, 10),
    call("load", 24, moves=(10, 22)),
    save(26, 10, 22, outcome=UNKNOWN),
)


@pytest.mark.parametrize(
    ("right", "in_window"),
    [
        (record(*GOOD, row=(10, 22)), 0),
        (record(*GOOD, row=(10, 22, 26)), 0),
        (record(*GOOD, call("row", 30, moves=(10,)), row=(10,), lost_at=[25]), 1),
        (record(*GOOD, call("load", 30, moves=(10,)), row=(10,), lost_at=[25]), 1),
        (
            record(
                *GOOD,
                call("finish", 30, moves=(10, 22), bases=((10, 22),)),
                call("load", 32),
                history=[(10, 22)],
            ),
            0,
        ),
        # Nobody knows whether it was finished.
        (
            record(
                *GOOD, call("finish", 30, bases=((10, 22),), outcome=UNKNOWN), history=[(10, 22)]
            ),
            0,
        ),
        (
            record(*GOOD, call("finish", 30, bases=((10, 22),), outcome=UNKNOWN), row=(10, 22)),
            0,
        ),
        # A persist that told its version, of a state that somebody has seen.
        (
            record(save(10, version=5), call("persist", 12, version=5), row=(10,)),
            0,
        ),
        # A save that was tried twice, since somebody else was quicker.
        (
            record(save(10), save(12, bases=((), (10,)), moves=(10, 12)), row=(10, 12)),
            0,
        ),
    ],
)
def test_what_may_be_is_no_violation(right, in_window):
    """What was not persisted may be lost with Redis, what is unknown may be there or not."""
    verdict = judge(right)

    assert {name: texts for name, texts in verdict.found.items() if texts} == {}
    assert verdict.in_window == in_window


FINISHED = call("finish", 30, moves=(10, 22), bases=((10, 22),))


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        # The end: what was persisted, saved or begun is not there.
        (record(*GOOD[:3], row=(), lost_at=[20]), {LOST_TURNS}),
        (record(call("create", 1, moves=()), row=None), {LOST_TURNS, HISTORY}),
        (record(save(10, version=5), call("persist", 12, version=5), row=(), lost_at=[20]),
         {LOST_TURNS}),
        (record(*GOOD[:3], call("finish", 30, moves=(), bases=((),)), history=[()], lost_at=[20]),
         {LOST_TURNS}),
        (record(*GOOD, row=(10,)), {LOST_SAVES}),
        (record(*GOOD, row=(10,), lost_at=[15]), {LOST_SAVES}),
        (record(*GOOD, call("drained", 30, moves=(10,)), row=(10, 22)), {LOST_SAVES}),
        # On the way: reads and rows that go back.
        (record(*GOOD, call("load", 30, moves=(10,)), row=(10, 22)), {REGRESSIONS, MIXED}),
        (record(*GOOD[:3], call("load", 30, moves=()), row=(10,), lost_at=[20]),
         {REGRESSIONS, MIXED}),
        (record(*GOOD[:3], call("load", 30), row=(10,)), {REGRESSIONS}),
        (record(*GOOD, call("row", 30, moves=(10, 22)), call("row", 32, moves=(10,)), row=(10, 22)),
         {REGRESSIONS}),
        # After the end of a game.
        (record(*GOOD, FINISHED, row=(10, 22), history=[(10, 22)]), {RESURRECTED}),
        (record(*GOOD, FINISHED, call("load", 32, moves=(10, 22)), history=[(10, 22)]),
         {RESURRECTED}),
        (record(*GOOD, FINISHED, call("row", 32, moves=(10, 22)), history=[(10, 22)]),
         {RESURRECTED}),
        (record(*GOOD, FINISHED, save(32, 10, 22), history=[(10, 22)], lost_at=[40]),
         {RESURRECTED}),
        (record(*GOOD, FINISHED, history=[(10, 22), (10, 22)]), {HISTORY}),
        (record(*GOOD, FINISHED, row=(10, 22)), {HISTORY}),
        (record(*GOOD, FINISHED, lost_at=[40]), {HISTORY, LOST_TURNS}),
        (record(*GOOD, history=[(10, 22)]), {HISTORY}),
        (record(*GOOD, FINISHED, history=[(10, 22, 26)]), {HISTORY}),
        # Moves of two branches.
        (record(*GOOD, row=(10, 22, 22)), {MIXED}),
        (record(*GOOD, row=(10, 22, 99)), {MIXED}),
        (record(save(10), save(12), save(14, 10), row=(12, 14), lost_at=[20]), {MIXED}),
        (
            record(
                save(10),
                save(12, 10),
                call("load", 22, moves=(10,)),
                call("load", 24, moves=(10, 12)),
                row=(10, 12),
                lost_at=[20],
            ),
            {MIXED},
        ),
        (
            record(
                save(10),
                save(12, 10),
                save(22, 10),
                call("row", 24, moves=(10, 12)),
                row=(10, 12),
                lost_at=[20, 30],
            ),
            {MIXED},
        ),
        # What the caller was told.
        (record(*GOOD, row=(10, 20)), {REFUSED_AND_THERE, LOST_SAVES}),
        (record(*GOOD, call("load", 30, moves=(10, 20)), row=(10, 22), lost_at=[28]),
         {REFUSED_AND_THERE, MIXED}),
        (record(*GOOD, call("load", 30, outcome=WRONG, said="TypeError"), row=(10, 22)), {ERRORS}),
    ],
)  # fmt: skip
def test_each_violation_is_found(wrong, names):
    """Whatever is lost, comes back, or is there though it was refused; and nothing else."""
    found = judge(wrong).found

    assert {name for name, texts in found.items() if texts} == names


def test_the_violations_are_all_shown_to_be_found():
    """None is in the table that no test above shows."""
    (mark,) = test_each_violation_is_found.pytestmark

    assert {name for _, names in mark.args[1] for name in names} == {*NAMES}


def test_lines_outlive_the_one_who_wrote_them(tmp_path):
    """Each is in the file at once; half a line of one that was killed is passed over."""
    log = Log(tmp_path / "lines", "one", 5)
    number = log.number()
    log.tried(number, "save", 7, move=number, base=(1, 2))
    log.tried(number, "save", 7, move=number, base=(1, 2, 3))
    log.ended(number, DONE, moves=(1, 2, 3, number), version=9)
    log.fault("Redis emptied", 3, loses=True)
    with (tmp_path / "lines").open("ab") as file:
        file.write(b'\n{"n": 6, "wha')
    log.tried(log.number(), "load", 8)
    log.close()

    (saved, loaded), (fault,) = read(tmp_path / "lines")

    assert (saved.number, saved.bases, saved.moves) == (5, ((1, 2), (1, 2, 3)), (1, 2, 3, 5))
    assert (saved.version, saved.outcome) == (9, DONE)
    assert saved.began < saved.ended < loaded.began < loaded.ended
    assert (loaded.what, loaded.outcome) == ("load", UNKNOWN)
    assert (fault.name, fault.began, fault.loses) == ("Redis emptied", 3, True)


def test_a_round_follows_from_its_seed():
    """The first are the combinations, the others are drawn; each seed gives the same."""
    plans = [plan_round("holdfast", 3, number) for number in range(len(COMBINATIONS) + 1)]

    assert [(plan.on_disk, plan.steps) for plan in plans[:-1]] == [*COMBINATIONS]
    assert plans[-1] == plan_round("holdfast", 3, plans[-1].number)
    assert {plan_round("holdfast", seed, 99).steps for seed in range(9)} != {plans[-1].steps}
