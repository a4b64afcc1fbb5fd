"""The state of a game: a document that comes back as it was, and rules with limits."""

import json
import statistics

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mantimon.cards.definition import Element
from mantimon.errors import InvalidInputError
from mantimon.games.state import CardInstance, GameState, Rules, Seat

SEEDS = st.integers(0, 2**32)


@settings(max_examples=10)
@given(seed=SEEDS)
def test_a_document_comes_back_as_it_was(games, seed):
    """Every state of a game is the same after JSON, as text and as a database takes it apart."""
    for state in games.play(seed):
        document = state.to_json()

        assert GameState.from_json(document, version=0) == state
        assert GameState.from_json(json.loads(document), version=0) == state


def test_the_version_is_beside_the_document(games):
    """A state has the version that it was loaded with, and does not store it."""
    state = games.deal(1)
    loaded = GameState.from_json(state.to_json(), version=2**60)

    assert loaded.version == 2**60
    assert loaded != state
    assert loaded.to_json() == state.to_json()
    assert "version" not in json.loads(loaded.to_json())
    assert loaded.version == 2**60


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({}, "missing required field `rules`"),
        ({"turn_of": "player3"}, "player3"),
        ({"turn_number": "one"}, "turn_number"),
        ({"rules": {"prizes": 0}}, "prizes is 0"),
    ],
)
def test_a_document_that_is_no_state(games, document, says):
    """What is no state of a game is refused with the place."""
    whole = json.loads(games.deal(1).to_json()) if document else {}

    with pytest.raises(msgspec.ValidationError, match=says):
        GameState.from_json(whole | document, version=1)


def test_a_state_in_the_middle_of_a_game_is_some_kilobytes(games):
    """The whole truth of a game is 12 to 25 kB in its middle, so a store can be measured by it."""
    sizes = []
    for seed in range(60):
        turns = {state.turn_number: len(state.to_json()) for state in games.play(seed)}
        sizes.append(turns[len(turns) // 2])

    assert 12_000 < statistics.median(sizes) < 25_000


def test_rules_have_limits():
    """Every rule that is out of its limits is named at once."""
    with pytest.raises(InvalidInputError) as refused:
        Rules(prizes=0, bench_size=True, turn_limit=10**10_000, turn_seconds=2.5)

    assert str(refused.value).split("; ") == [
        "prizes is 0, and is to be from 1 to 20",
        "bench_size is True, and is to be from 1 to 10",
        "turn_limit is a number of thousands of digits, and is to be from 1 to 1000",
        "turn_seconds is 2.5, and is to be from 1 to 604800",
    ]


def test_a_copy_is_another_game(games):
    """What is changed in a copy is not changed in the state."""
    state = games.begun()
    before = state.to_json()
    copy = state.copy()

    for seat in Seat:
        side = copy.side(seat)
        side.active.damage += 10
        side.active.cards.append(side.deck.pop())
        side.active.conditions["asleep"] = 1
        side.bench.clear()
        side.hand.clear()
        side.attached = True
    copy.log.clear()
    copy.turn_number += 1

    assert state.to_json() == before


@pytest.mark.parametrize("card", ["energy-001-flamecub", "energy-", "ENERGY-flame", "tide"])
def test_a_card_of_a_set_is_no_energy(card):
    """A set may be called Energy: its cards begin as energies do, and are none."""
    assert CardInstance(id="player1-1", card=card).energy is None


def test_an_energy_is_of_its_element():
    """The card of an energy says of which element it is."""
    assert CardInstance(id="player1-1", card="energy-flame").energy is Element.FLAME
