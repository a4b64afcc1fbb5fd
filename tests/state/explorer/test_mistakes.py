"""The explorer finds each planted mistake, and says which rule it breaks."""

import pytest
from tests.state.explorer.exploring import explore, run
from tests.state.explorer.mistakes import MISTAKES, Mistake

MOST = 4_000


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_found(mistake):
    """Within so many schedules, as the breach of a rule that it is."""
    with mistake.made():
        violation = first_violation(mistake)

    assert violation, f"not found in {MOST} schedules"
    assert violation.rule in mistake.breaks, violation


@pytest.mark.parametrize(
    "mistake", [each for each in MISTAKES.values() if each.schedule], ids=lambda each: each.breaks
)
def test_the_store_itself_does_not_make_it(mistake):
    """In the schedule in which the mistake shows, the store keeps to its rules."""
    assert run(mistake.schedule, plan=mistake.plan) is None


def first_violation(mistake: Mistake):
    if mistake.schedule:
        return run(mistake.schedule, mistake.make, mistake.plan)
    found = (explore(seed, mistake.make, mistake.plan) for seed in range(MOST))
    return next((each.violation for each in found if each), None)
