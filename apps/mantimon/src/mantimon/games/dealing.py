"""Begin a game: shuffle both decks, and deal hands with which it can begin."""

import random
from collections.abc import Sequence

from mantimon.cards.definition import CardDefinition, Stage
from mantimon.errors import InvalidInputError
from mantimon.games.state import CardInstance, Event, GameState, Rules, Seat, Side
from mantimon.games.table import Catalogue, Table


def deal(
    deck1: Sequence[str], deck2: Sequence[str], rules: Rules, cards: Catalogue, rng: random.Random
) -> GameState:
    """Shuffle and deal; a hand without a basic creature goes back until there is one.

    Args:
        deck1: the first player's cards: card ids, and `energy-flame` and the like.
        deck2: the second player's.
        rules: what is played by.
        cards: the definition of every card of both decks.
        rng: chance, which also says who begins.

    Raises:
        InvalidInputError: a deck with which no game can begin; nothing is said of other rules.
    """
    if wrong := [
        f"{seat}: {problem}"
        for seat, deck in zip(Seat, (deck1, deck2), strict=True)
        if (problem := find_problem(deck, rules, cards))
    ]:
        raise InvalidInputError("; ".join(wrong))
    state = GameState(
        rules=rules,
        turn_number=0,
        turn_of=rng.choice(list(Seat)),
        turn_over=False,
        player1=_side(Seat.PLAYER1, deck1),
        player2=_side(Seat.PLAYER2, deck2),
        outcome=None,
        log=[],
    )
    table = Table(state, cards, rng)
    for seat in Seat:
        _deal_hand(table, seat)
    return state


def find_problem(deck: Sequence[str], rules: Rules, cards: Catalogue) -> str | None:
    """Say why no game can begin with a deck; None for one with which it can."""
    if len(deck) <= rules.opening_hand + rules.prizes:
        return (
            f"{len(deck)} cards are too few for a hand of {rules.opening_hand} "
            f"and {rules.prizes} prizes"
        )
    if not any(card in cards and is_playable_basic(cards[card]) for card in deck):
        return "no basic creature has HP"
    return None


def is_playable_basic(card: CardDefinition) -> bool:
    """Tell whether a card can be put down by itself; cards of an incomplete set may lack HP."""
    return card.stage is Stage.BASIC and card.hp is not None


def _side(seat: Seat, deck: Sequence[str]) -> Side:
    return Side(
        deck=[CardInstance(id=f"{seat}-{n}", card=card) for n, card in enumerate(deck, 1)],
        hand=[],
        prizes=[],
        discard=[],
        active=None,
        bench=[],
    )


def _deal_hand(table: Table, seat: Seat) -> None:
    side, rules = table.state.side(seat), table.state.rules
    while True:
        table.shuffle(seat)
        hand = side.deck[-rules.opening_hand :]
        if any(not card.energy and is_playable_basic(table.cards[card.card]) for card in hand):
            break
        table.log(Event.MULLIGAN, seat=seat)
    table.draw(seat, rules.opening_hand)
    for _ in range(rules.prizes):
        side.prizes.append(side.deck.pop())
