"""Decks, dealt games, and creatures put down as a test needs them."""

import itertools
import random

import pytest

from mantimon.cards.definition import ENERGY_TYPES
from mantimon.games.dealing import deal
from mantimon.games.engine import play
from mantimon.games.legality import find_actions
from mantimon.games.policy import choose_action
from mantimon.games.state import CardInstance, Creature, GameState, Rules
from mantimon.games.table import Table
from mantimon.services.pairings import spread
from mantimon.services.starters import choose_starter


@pytest.fixture(scope="session")
def catalogue(cards):
    """Give every card by its id."""
    return {card.id: card for card in cards}


@pytest.fixture(scope="session")
def decks(first_set):
    """Give a deck of each element, card by card."""
    return [spread(choose_starter(element, first_set)) for element in ENERGY_TYPES]


class Games:
    """Plays whole games, and builds moments of one."""

    def __init__(self, decks, catalogue):
        self._decks = decks
        self._numbers = itertools.count(1)
        self.catalogue = catalogue

    def deal(self, seed, **rules):
        """Deal a game; the seed chooses the decks too."""
        rng = random.Random(seed)
        deck1, deck2 = rng.sample(self._decks, 2)
        return deal(deck1, deck2, Rules(**rules), self.catalogue, rng)

    def play(self, seed, *, choose=choose_action, **rules):
        """Play a game; give its state after the deal and after every action."""
        rng = random.Random(f"course {seed}")
        state = self.deal(seed, **rules)
        yield state
        while not state.outcome:
            state = play(state, choose(state, self.catalogue, rng), self.catalogue, rng)
            yield state

    def begun(self, seed=1):
        """Give a game in its third turn, as the second player of it begins an ordinary turn."""
        return next(
            state for state in self.play(seed) if state.turn_number == 4 and not state.outcome
        )

    def card(self, **wanted):
        """Give the first card that has these values."""
        return next(
            card
            for card in self.catalogue.values()
            if all(getattr(card, name) == value for name, value in wanted.items())
        )

    def instance(self, card):
        """Give a copy of a card, by its id or as an energy."""
        return CardInstance(id=f"extra-{next(self._numbers)}", card=card)

    def creature(self, card, *, energy=(), damage=0):
        """Give a creature in play since the beginning."""
        return Creature(
            cards=[self.instance(card.id)],
            since=0,
            damage=damage,
            energy=[self.instance(f"energy-{element}") for element in energy],
            conditions={},
        )

    def table(self, state, rng=None):
        """Give the state as something is done in it."""
        return Table(state, self.catalogue, rng or random.Random(0))


@pytest.fixture(scope="session")
def games(decks, catalogue):
    """Give what plays and builds games."""
    return Games(decks, catalogue)


def choose_anything(state: GameState, cards, rng):
    """Do whatever is allowed."""
    return rng.choice(find_actions(Table(state, cards, rng)))


@pytest.fixture(scope="session")
def anything():
    """Give a player without any plan."""
    return choose_anything
