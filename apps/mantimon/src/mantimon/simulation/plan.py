"""How much is simulated, and which games follow from it."""

import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mantimon.campaign.clubs import CLUBS
from mantimon.db.models import GameType
from mantimon.services.inputs import require_ranges
from mantimon.services.pairings import NewGame
from mantimon.simulation.messages import SimulatedPlayer

# The least and the most: a game needs two players, and one machine has its limits.
LIMITS: Final[Mapping[str, tuple[int, int]]] = {
    "games": (1, 100_000),
    "seed": (0, 2**63 - 1),
    "players": (2, 10_000),
    "workers": (1, 64),
}
# How often each type is played.
_TYPES: Final = {GameType.CAMPAIGN: 40, GameType.FREEPLAY: 30, GameType.RANKED: 30}
# Whom every player may challenge at any time, so that no game depends on those before it.
_OPPONENTS: Final = CLUBS[0].members
_NUMBER_BITS = 32  # of a game's id


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationPlan:
    """What is simulated. The same seed and players give the same games, one by one.

    A plan that is carried out again plays new games, under new ids, of the same course: each run
    has an id of its own, and the ids of its games follow from that.

    With `kill`, workers are killed while others play, and replaced; the course is the same.

    Raises:
        InvalidInputError: it names every number that is out of its limits.
    """

    games: int = 100
    seed: int = 1
    players: int = 20
    workers: int = 2
    kill: bool = False

    def __post_init__(self) -> None:
        require_ranges(self, {**LIMITS, "workers": (2, 64)} if self.kill else LIMITS)


def make_game_id(run: uuid.UUID, number: int) -> uuid.UUID:
    """Give the id of a game of a run: the run's own UUIDv7 with the number as its last 32 bits.

    So all games of a run are one range of ids, in which anything else would be found.
    """
    return uuid.UUID(int=run.int >> _NUMBER_BITS << _NUMBER_BITS | number)


def get_ids(run: uuid.UUID) -> tuple[uuid.UUID, uuid.UUID]:
    """Give the first and the last id that a game of a run can have."""
    return make_game_id(run, 0), make_game_id(run, 2**_NUMBER_BITS - 1)


def pair(run: uuid.UUID, seed: int, number: int, players: Sequence[SimulatedPlayer]) -> NewGame:
    """Choose who plays whom in one game; but for the ids, the same in every run."""
    rng = make_rng(seed, number, "pairing")
    (game_type,) = rng.choices(list(_TYPES), weights=list(_TYPES.values()))
    player1, player2 = rng.sample(players, 2)
    against_npc = game_type is GameType.CAMPAIGN
    return NewGame(
        id=make_game_id(run, number),
        game_type=game_type,
        player1_id=player1.id,
        deck1=player1.deck,
        player2_id=None if against_npc else player2.id,
        deck2=None if against_npc else player2.deck,
        npc_id=rng.choice(_OPPONENTS).id if against_npc else None,
    )


def make_rng(seed: int, number: int, purpose: str) -> random.Random:
    """Give the chance of one purpose in one game."""
    return random.Random(make_seed(seed, number, purpose))  # noqa: S311  -- it repeats on purpose


def make_seed(seed: int, number: int, purpose: str) -> str:
    """Give what the chance of one purpose in one game begins with."""
    return f"mantimon {seed} {number} {purpose}"
