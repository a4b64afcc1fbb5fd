"""Say why an action is not allowed, and find those that are."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from mantimon.cards.definition import Attack, CardDefinition, CardType
from mantimon.games.actions import Action, ActionKind
from mantimon.games.attacks import can_pay
from mantimon.games.dealing import is_playable_basic
from mantimon.games.items import EFFECTS
from mantimon.games.state import CardInstance, Condition, Creature, Side
from mantimon.games.table import Table

_NO_ATTACK: Final = (Condition.ASLEEP, Condition.STUNNED, Condition.TIRED)
_NO_RETREAT: Final = (Condition.ASLEEP, Condition.STUNNED, Condition.ROOTED)


def find_problem(table: Table, action: Action) -> str | None:
    """Say why an action is not allowed now; None for one that is."""
    state = table.state
    if state.outcome:
        return "the game is over"
    if action.kind is ActionKind.CONCEDE:
        return None
    if action.seat is not state.waiting_for:
        return f"it is for {state.waiting_for} to act"
    promoting = state.turn_number > 0 and state.side(action.seat).active is None
    if promoting is not (action.kind is ActionKind.PROMOTE):
        return (
            "a creature of the bench has to be promoted first"
            if promoting
            else "there is an active creature already"
        )
    if state.turn_number == 0 and action.kind not in _IN_SET_UP:
        return "in the set-up basic creatures are put down, and nothing else is done"
    return _CHECKS[action.kind](table, action)


def find_actions(table: Table) -> list[Action]:
    """Give every action that is allowed now, but for conceding; of equal cards, that of the first.

    There is always one, until the game is over.
    """
    return [each for each in _candidates(table) if find_problem(table, each) is None]


def get_attack(table: Table, creature: Creature, name: str | None) -> Attack | None:
    """Give the attack of that name that a creature has, or None."""
    attacks = table.definition(creature).attacks
    return next((attack for attack in attacks if attack.name == name), None)


def get_in_hand(side: Side, card_id: str | None) -> CardInstance | None:
    """Give the card of that id in a hand, or None."""
    return next((card for card in side.hand if card.id == card_id), None)


def _candidates(table: Table) -> Iterator[Action]:
    seat = table.state.waiting_for
    if seat is None:
        return
    side = table.state.side(seat)
    if side.active is None and table.state.turn_number > 0:
        for creature in side.bench:
            yield Action(seat=seat, kind=ActionKind.PROMOTE, target=creature.id)
        return
    for card in {card.card: card for card in reversed(side.hand)}.values():
        kind, on_creature = _use_of(table, card)
        for target in [each.id for each in side.in_play] if on_creature else [None]:
            yield Action(seat=seat, kind=kind, card=card.id, target=target)
    for creature in side.bench:
        yield Action(seat=seat, kind=ActionKind.RETREAT, target=creature.id)
    if side.active:
        for attack in table.definition(side.active).attacks:
            yield Action(seat=seat, kind=ActionKind.ATTACK, attack=attack.name)
    yield Action(seat=seat, kind=ActionKind.END_TURN)


def _use_of(table: Table, card: CardInstance) -> tuple[ActionKind, bool]:
    """Tell what can be done with a card, and whether it is done to a creature."""
    if card.energy:
        return ActionKind.ATTACH, True
    definition = table.cards[card.card]
    if definition.type is CardType.CREATURE:
        basic = definition.evolves_from is None
        return (ActionKind.PLAY_BASIC, False) if basic else (ActionKind.EVOLVE, True)
    effect = EFFECTS.get(definition.text)
    return ActionKind.USE, effect is not None and effect.on is not None


def _definition(table: Table, action: Action) -> CardDefinition | str:
    """Give what the card in the hand is, or say why it cannot be used."""
    card = get_in_hand(table.mine, action.card)
    if card is None:
        return f"{action.card} is not in the hand"
    return f"{card.id} is an energy" if card.energy else table.cards[card.card]


def _target(table: Table, action: Action) -> Creature | str:
    creature = table.mine.find(action.target)
    return creature or f"{action.target} is not in play on the side of {action.seat}"


def _play_basic(table: Table, action: Action) -> str | None:
    card = _definition(table, action)
    if isinstance(card, str):
        return card
    if not is_playable_basic(card):
        return f"{card.name} is no basic creature"
    if action.target is not None:
        return "a basic creature is played without a target"
    if table.mine.active and len(table.mine.bench) >= table.state.rules.bench_size:
        return f"the bench is full with {table.state.rules.bench_size}"
    return None


def _evolve(table: Table, action: Action) -> str | None:
    card, creature = _definition(table, action), _target(table, action)
    if isinstance(card, str):
        return card
    if isinstance(creature, str):
        return creature
    below = table.definition(creature).name
    if card.evolves_from != below:
        return f"{card.name} does not evolve from {below}"
    if card.hp is None:
        return f"{card.name} has no HP"
    if table.state.turn_number <= 2:
        return "nobody evolves in the first turn of a player"
    if creature.since == table.state.turn_number:
        return f"{below} came in this turn"
    return None


def _attach(table: Table, action: Action) -> str | None:
    card, creature = get_in_hand(table.mine, action.card), _target(table, action)
    if card is None:
        return f"{action.card} is not in the hand"
    if not card.energy:
        return f"{table.cards[card.card].name} is no energy"
    if isinstance(creature, str):
        return creature
    return "an energy was attached in this turn" if table.mine.attached else None


def _use(table: Table, action: Action) -> str | None:
    card = _definition(table, action)
    if isinstance(card, str):
        return card
    if card.type is CardType.CREATURE:
        return f"{card.name} is a creature"
    if card.type is CardType.SUPPORTER and table.mine.supported:
        return "a supporter was played in this turn"
    effect = EFFECTS.get(card.text)
    if effect is None:
        return f"{card.name} does nothing in this game"
    if effect.needs and (problem := effect.needs(table)):
        return problem
    if effect.on is None:
        return None if action.target is None else f"{card.name} takes no target"
    creature = _target(table, action)
    if isinstance(creature, str):
        return creature
    if not effect.on(table, creature):
        return f"{card.name} is of no use for {table.definition(creature).name}"
    return None


def _retreat(table: Table, action: Action) -> str | None:
    active, creature = table.mine.active, _target(table, action)
    if isinstance(creature, str):
        return creature
    if active is None or creature is active:
        return "the creature that comes has to be on the bench"
    if table.mine.retreated:
        return "a creature retreated in this turn"
    name, cost = table.definition(active).name, table.definition(active).retreat_cost or 0
    if held := next((each for each in _NO_RETREAT if each in active.conditions), None):
        return f"{name} is {held} and cannot retreat"
    if len(active.energy) < cost:
        return f"{name} has {len(active.energy)} energy; retreating costs {cost}"
    return None


def _attack(table: Table, action: Action) -> str | None:
    active = table.mine.active
    attack = active and get_attack(table, active, action.attack)
    if active is None or attack is None:
        return f"the active creature has no attack {action.attack!r}"
    name = table.definition(active).name
    if table.state.turn_number == 1:
        return "nobody attacks in the first turn of the game"
    if held := next((each for each in _NO_ATTACK if each in active.conditions), None):
        return f"{name} is {held} and cannot attack"
    if not can_pay(active, attack):
        return f"{name} lacks energy for {attack.name}: it costs {', '.join(attack.cost)}"
    return None


def _promote(table: Table, action: Action) -> str | None:
    side = table.state.side(action.seat)
    on_bench = any(each.id == action.target for each in side.bench)
    return None if on_bench else f"{action.target} is not on the bench of {action.seat}"


def _end_turn(table: Table, _: Action) -> str | None:
    return None if table.mine.active else "a basic creature has to be put down first"


_IN_SET_UP: Final = (ActionKind.PLAY_BASIC, ActionKind.END_TURN)
_CHECKS: Final[Mapping[ActionKind, Callable[[Table, Action], str | None]]] = {
    ActionKind.PLAY_BASIC: _play_basic,
    ActionKind.EVOLVE: _evolve,
    ActionKind.ATTACH: _attach,
    ActionKind.USE: _use,
    ActionKind.RETREAT: _retreat,
    ActionKind.ATTACK: _attack,
    ActionKind.PROMOTE: _promote,
    ActionKind.END_TURN: _end_turn,
}
