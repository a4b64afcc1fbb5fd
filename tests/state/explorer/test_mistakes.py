"""The explorer finds each planted mistake, and says which rule it breaks."""

import pytest
from tests.state.explorer.exploring import explore, run
from tests.state.explorer.mistakes import MISTAKES

MOST = 4_000
BY_CHANCE = {name: each for name, each in MISTAKES.items() if not each.seldom}
KEPT = {name: each for name, each in MISTAKES.items() if each.schedule}


@pytest.mark.parametrize("mistake", BY_CHANCE.values(), ids=BY_CHANCE)
def test_a_mistake_is_found(mistake):
    """Within so many schedules, as the breach of a rule that it is."""
    with mistake.made():
        found = (explore(seed, mistake.make, mistake.plan) for seed in range(MOST))
        first = next((each for each in found if each), None)

    assert first, f"not found in {MOST} schedules"
    assert first.violation.rule in mistake.breaks, first.violation


@pytest.mark.parametrize("mistake", KEPT.values(), ids=KEPT)
def test_a_schedule_tells_the_store_from_one_with_the_mistake(mistake):
    """There the mistake breaks a rule, and the store keeps to all of them."""
    with mistake.made():
        violation = run(mistake.schedule, mistake.make, mistake.plan)

    assert violation, "the mistake does not show"
    assert violation.rule in mistake.breaks, violation
    assert run(mistake.schedule, plan=mistake.plan) is None
