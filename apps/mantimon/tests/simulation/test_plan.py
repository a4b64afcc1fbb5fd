"""How much is simulated, and what follows from a seed."""

import uuid

import pytest

from holdfast.models import uuid7
from mantimon.db.models import GameType
from mantimon.errors import InvalidInputError
from mantimon.services.deck_rules import DeckList
from mantimon.simulation import SimulationPlan
from mantimon.simulation.messages import SimulatedPlayer
from mantimon.simulation.plan import make_game_id, pair


@pytest.fixture
def players():
    """Give some players; who they are does not matter."""
    return [SimulatedPlayer(id=uuid.UUID(int=n), deck=DeckList(cards={})) for n in range(10)]


def test_a_plan_has_limits():
    """Every number that is out of its limits is named at once."""
    with pytest.raises(InvalidInputError) as refused:
        SimulationPlan(games=-1, seed=-5, players=1, workers=10**5000)

    assert str(refused.value).split("; ") == [
        "games is -1, and is to be from 1 to 100000",
        "seed is -5, and is to be from 0 to 9223372036854775807",
        "players is 1, and is to be from 2 to 10000",
        "workers is a number of thousands of digits, and is to be from 1 to 64",
    ]


def test_nobody_is_killed_who_plays_alone():
    """Somebody has to play on."""
    with pytest.raises(InvalidInputError, match="workers is 1, and is to be from 2 to 64"):
        SimulationPlan(workers=1, kill=True)


def test_ids_of_a_run_are_a_range_of_their_own():
    """Each game's id is a UUIDv7, in the order of the numbers, and no other run's."""
    one, other = uuid7(), uuid7()
    ids = [make_game_id(one, number) for number in range(100)]

    assert ids == sorted(set(ids))
    assert {each.version for each in ids} == {7}
    assert {each.variant for each in ids} == {uuid.RFC_4122}
    assert not {make_game_id(other, number) for number in range(100)} & set(ids)
    assert make_game_id(one, 0) <= ids[50] <= make_game_id(one, 2**32 - 1)


def test_a_seed_says_who_plays_whom(players):
    """Games are the same in every run of a seed but for their ids, and others with another."""

    def drawn(run, seed):
        games = [pair(run, seed, number, players) for number in range(200)]
        return [(g.game_type, g.player1_id, g.player2_id, g.npc_id) for g in games]

    assert drawn(uuid7(), 1) == drawn(uuid7(), 1) != drawn(uuid7(), 2)


def test_every_type_is_played(players):
    """Campaign games are against NPCs, the others between two different players."""
    games = [pair(uuid7(), 1, number, players) for number in range(200)]

    assert {game.game_type for game in games} == set(GameType)
    for game in games:
        assert (game.npc_id is not None) is (game.game_type is GameType.CAMPAIGN)
        assert (game.player2_id is None) is (game.npc_id is not None)
        assert game.player1_id != game.player2_id
