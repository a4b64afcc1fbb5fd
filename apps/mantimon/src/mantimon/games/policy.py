"""Choose what to do as a fair beginner would: evolve, prepare, then hit as hard as possible."""

import random
from collections.abc import Callable, Mapping
from typing import Final

from mantimon.games.actions import Action, ActionKind
from mantimon.games.attacks import can_pay
from mantimon.games.legality import find_candidates, get_attack, get_card, get_target, is_allowed
from mantimon.games.state import Creature, GameState
from mantimon.games.table import Catalogue, Table

# One who is this many prizes behind thinks of giving up, and does so in one of so many turns.
_HOPELESS = 2
_GIVES_UP = 0.08
_END = 0.0  # below it, ending the turn is better


def choose_action(state: GameState, cards: Catalogue, rng: random.Random) -> Action:
    """Choose what whoever has to act does now; it is always allowed.

    Raises:
        ValueError: the game is over.
    """
    table = Table(state, cards, rng)
    seat = state.waiting_for
    if seat is None:
        raise ValueError("the game is over: nobody has to act")
    if _begins_turn(state) and _is_hopeless(state) and rng.random() < _GIVES_UP:
        return Action(seat=seat, kind=ActionKind.CONCEDE)
    best_first = sorted(find_candidates(table), key=lambda each: -_WORTH[each.kind](table, each))
    # Most of them need not be looked at: the first ones are nearly always allowed.
    return next(each for each in best_first if is_allowed(table, each))


def _begins_turn(state: GameState) -> bool:
    side = state.side(state.turn_of)
    return state.turn_number > 0 and not (side.attached or side.supported or side.retreated)


def _is_hopeless(state: GameState) -> bool:
    mine, theirs = state.side(state.turn_of), state.side(state.turn_of.rival)
    return len(mine.prizes) - len(theirs.prizes) >= _HOPELESS and not mine.bench


def _of_basic(table: Table, action: Action) -> float:
    hp = table.cards[get_card(table.mine, action).card].hp or 0
    if table.mine.active is None:
        return 50 + hp / 1_000
    return 40 + hp / 1_000 if len(table.mine.bench) < 2 else _END + 0.5


def _of_evolving(table: Table, action: Action) -> float:
    return 60 + (action.target == table.active.id)


def _of_attaching(table: Table, action: Action) -> float:
    creature = get_target(table.mine, action)
    most = max((len(each.cost) for each in table.definition(creature).attacks), default=0)
    lacks = most - len(creature.energy)
    return 30 + (2 if creature is table.mine.active else 1) * (lacks > 0)


def _of_using(table: Table, action: Action) -> float:
    creature = table.mine.find(action.target)
    if creature is None:
        return 20
    if "Switch" in _text(table, action):
        return 21 if _is_better(table, creature) else _END - 1
    return 20 + creature.damage / 1_000 if creature.damage >= 30 else _END - 1


def _of_retreating(table: Table, action: Action) -> float:
    return 15 if _is_better(table, get_target(table.mine, action)) else _END - 1


def _of_attack(table: Table, action: Action) -> float:
    return 1 + get_attack(table, action).damage / 1_000


def _of_promoting(table: Table, action: Action) -> float:
    return _strength(table, get_target(table.state.side(action.seat), action))


def _is_better(table: Table, creature: Creature) -> bool:
    """Tell whether the active one is nearly done for, and another can attack in its place."""
    active = table.active
    left = (table.definition(active).hp or 0) - active.damage
    return left <= 30 and _strength(table, creature) > _strength(table, active)


def _strength(table: Table, creature: Creature) -> float:
    definition = table.definition(creature)
    damage = max((each.damage for each in definition.attacks if can_pay(creature, each)), default=0)
    return (definition.hp or 0) - creature.damage + damage


def _text(table: Table, action: Action) -> str:
    return table.cards[get_card(table.mine, action).card].text


_WORTH: Final[Mapping[ActionKind, Callable[[Table, Action], float]]] = {
    ActionKind.PLAY_BASIC: _of_basic,
    ActionKind.EVOLVE: _of_evolving,
    ActionKind.ATTACH: _of_attaching,
    ActionKind.USE: _of_using,
    ActionKind.RETREAT: _of_retreating,
    ActionKind.ATTACK: _of_attack,
    ActionKind.PROMOTE: _of_promoting,
    ActionKind.END_TURN: lambda _table, _action: _END,
}
