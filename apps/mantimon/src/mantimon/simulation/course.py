"""Play a game from its deal to its end, the same way each time."""

import random

from mantimon.games.engine import play, time_out
from mantimon.games.policy import choose_action
from mantimon.games.state import GameState
from mantimon.games.table import Catalogue

_GOES_AWAY = 0.002  # how likely a player is not seen again, in each turn


class Course:
    """A game under way; `state` is where it is now, `actions` how many led there."""

    def __init__(self, state: GameState, cards: Catalogue, rng: random.Random) -> None:
        self.state = state
        self.actions = 0
        self._cards = cards
        self._rng = rng

    def play_turn(self) -> None:
        """Play on until another turn begins, or the game is over."""
        turn = self.state.turn_number
        if turn and self._rng.random() < _GOES_AWAY:
            self.state = time_out(self.state)
        while not self.state.outcome and self.state.turn_number == turn:
            action = choose_action(self.state, self._cards, self._rng)
            self.state = play(self.state, action, self._cards, self._rng)
            self.actions += 1
