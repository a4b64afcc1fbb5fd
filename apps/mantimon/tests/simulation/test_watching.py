"""What of the workers' messages shows that a game was lost, or set back."""

import uuid

import pytest

from mantimon.db.models import EndReason, GameType
from mantimon.simulation.checking import GameFacts, Stored
from mantimon.simulation.messages import Seen, Step
from mantimon.simulation.plan import make_game_id
from mantimon.simulation.watching import Watch, find_lost

RUN = uuid.UUID(int=7)
FACTS = GameFacts(
    game_type=GameType.RANKED,
    player1_id=None,
    player2_id=None,
    npc_id=None,
    winner_id=None,
    end_reason=EndReason.DRAW,
    turn_count=5,
)


def seen(step, turn, version, entries, number=3):
    return Seen(number=number, step=step, turn=turn, version=version, entries=entries, size=10)


def watch(*steps):
    watching = Watch()
    for each in steps:
        watching.see(each)
    return watching


GOOD = (
    seen(Step.LOADED, 0, 100, 5),
    seen(Step.PERSISTED, 0, 100, 5),
    seen(Step.SAVED, 0, 101, 8),
    seen(Step.SAVED, 1, 102, 9),
    seen(Step.PERSISTED, 1, 102, 9),
)


def test_a_game_that_goes_forward():
    """A takeover may find the same state, or one that nobody could tell of, and a new epoch."""
    watching = watch(
        *GOOD, seen(Step.LOADED, 1, 102, 9), seen(Step.SAVED, 1, 103, 11),
        seen(Step.LOADED, 1, 900, 12), seen(Step.SAVED, 0, 1, 4, number=4),
    )  # fmt: skip

    assert (watching.lost, watching.problems) == ([], [])
    assert (watching.saves, watching.sizes) == (4, [10, 10])


def test_a_turn_that_is_lost():
    """A game that is found before a turn that was persisted has lost it, whatever its version."""
    watching = watch(*GOOD, seen(Step.LOADED, 0, 900, 8))

    assert watching.lost == [
        "game 3: turn 1 was persisted, and loaded was one before it, in turn 0"
    ]


@pytest.mark.parametrize(
    ("last", "says"),
    [
        (seen(Step.LOADED, 1, 900, 9), "an action of turn 1 was saved, and is not in what was"),
        (seen(Step.LOADED, 1, 102, 11), "version 102 was loaded after 103"),
        (seen(Step.SAVED, 1, 103, 12), "version 103 was saved after 103"),
    ],
)
def test_a_game_that_goes_back(last, says):
    """An action that is missing, and a version that was there before, are each named."""
    watching = watch(*GOOD, seen(Step.SAVED, 1, 103, 11), last)

    (problem,) = watching.problems
    assert problem.startswith("game 3: ")
    assert says in problem


@pytest.mark.parametrize(
    ("stored", "has"),
    [
        (Stored(played=[], active={}), "nothing"),
        (Stored(played=[], active={make_game_id(RUN, 3): 0}), "turn 0"),
    ],
)
def test_a_turn_that_the_database_has_not(stored, has):
    """What was acknowledged has to be there at the end."""
    assert list(find_lost(RUN, watch(*GOOD).kept, stored)) == [
        f"game 3: turn 1 was persisted, and the database has {has}"
    ]


@pytest.mark.parametrize(
    "stored",
    [
        Stored(played=[(make_game_id(RUN, 3), FACTS)], active={}),
        Stored(played=[], active={make_game_id(RUN, 3): 1}),
    ],
)
def test_a_turn_that_the_database_has(stored):
    """It is the last turn of an active game, or before the end of one in the history."""
    assert list(find_lost(RUN, watch(*GOOD).kept, stored)) == []
