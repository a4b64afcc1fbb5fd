"""Play a game on from wherever it is, the same way whoever does it."""

from mantimon.games.engine import play, time_out
from mantimon.games.policy import choose_action
from mantimon.games.state import GameState
from mantimon.games.table import Catalogue
from mantimon.simulation.plan import make_rng

_GOES_AWAY = 0.0003  # how likely a player is not seen again, at each action


def go_on(state: GameState, cards: Catalogue, seed: int, number: int) -> GameState:
    """Do the next thing in one game of a seed.

    Chance comes from the seed, the number of the game and the length of its log, and from nothing
    else. So whoever goes on from a state that somebody else has stored, however often that happens,
    plays the same game to the same end.
    """
    rng = make_rng(seed, number, f"after {len(state.log)}")
    if state.turn_number and rng.random() < _GOES_AWAY:
        return time_out(state)
    return play(state, choose_action(state, cards, rng), cards, rng)
