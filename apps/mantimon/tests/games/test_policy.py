"""The player that is no person."""

import random

import pytest

from mantimon.games.policy import choose_action
from mantimon.games.replay import COLUMNS, make_replay


def test_a_fair_beginner_beats_somebody_without_a_plan(games, anything):
    """Whoever chooses plays better than chance."""
    won = 0
    for seed in range(40):
        planned = ("player1", "player2")[seed % 2]

        def choose(state, cards, rng, planned=planned):
            wise = state.waiting_for == planned
            return (choose_action if wise else anything)(state, cards, rng)

        *_, end = games.play(seed, choose=choose)
        won += end.outcome.winner == planned

    assert won > 30


def test_nobody_acts_after_the_end(games):
    """There is nothing to choose in a game that is over."""
    *_, end = games.play(1)

    with pytest.raises(ValueError, match="the game is over"):
        choose_action(end, games.catalogue, random.Random(1))


def test_a_replay_is_the_log(games):
    """A replay tells every line of the log, with the cards by their ids, in a part of the size."""
    *_, end = games.play(1)
    replay = make_replay(end)

    assert replay["columns"] == list(COLUMNS)
    assert len(replay["log"]) == len(end.log)
    for line, entry in zip(replay["log"], end.log, strict=True):
        told = dict(zip(COLUMNS, line, strict=True))
        assert (told["turn"], told["event"]) == (entry.turn, entry.event)
        assert told["card"] == (entry.card.id if entry.card else None)
        if entry.card:
            assert replay["cards"][entry.card.id] == entry.card.card
