"""Refuse what the rules do not allow, saying why, and find what they do."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from mantimon.cards.definition import Attack, CardDefinition, CardType
from mantimon.errors import IllegalActionError
from mantimon.games.actions import Action, ActionKind
from mantimon.games.attacks import can_pay
from mantimon.games.dealing import is_playable_basic
from mantimon.games.items import EFFECTS, Effect
from mantimon.games.state import CardInstance, Condition, Creature, Side
from mantimon.games.table import Table

_NO_ATTACK: Final = (Condition.ASLEEP, Condition.STUNNED, Condition.TIRED)
_NO_RETREAT: Final = (Condition.ASLEEP, Condition.STUNNED, Condition.ROOTED)


def require_allowed(table: Table, action: Action) -> None:
    """Refuse an action that is not allowed now.

    Raises:
        IllegalActionError: the message says why.
    """
    state = table.state
    _require(state.outcome is None, "the game is over")
    if action.kind is ActionKind.CONCEDE:
        return
    _require(action.seat is state.waiting_for, "it is for the other player to act")
    _require(
        state.turn_number > 0 or action.kind in _IN_SET_UP,
        "in the set-up basic creatures are put down, and nothing else is done",
    )
    if state.turn_number > 0 and state.side(action.seat).active is None:
        _require(action.kind is ActionKind.PROMOTE, "a creature of the bench is promoted first")
    _CHECKS[action.kind](table, action)


def is_allowed(table: Table, action: Action) -> bool:
    """Tell whether an action is allowed now."""
    try:
        require_allowed(table, action)
    except IllegalActionError:
        return False
    return True


def find_actions(table: Table) -> list[Action]:
    """Give every action that is allowed now, but for conceding; of equal cards, that of the first.

    There is always one, until the game is over.
    """
    return [each for each in find_candidates(table) if is_allowed(table, each)]


def find_candidates(table: Table) -> Iterator[Action]:
    """Give what may be worth trying: all of `find_actions`, and some that is not allowed."""
    seat = table.state.waiting_for
    if seat is None:
        return
    side = table.state.side(seat)
    if side.active is None and table.state.turn_number > 0:
        for creature in side.bench:
            yield Action(seat=seat, kind=ActionKind.PROMOTE, target=creature.id)
        return
    for card in {card.card: card for card in reversed(side.hand)}.values():
        kind, targets = _use_of(table, side, card)
        for target in targets:
            yield Action(seat=seat, kind=kind, card=card.id, target=target)
    for creature in side.bench:
        yield Action(seat=seat, kind=ActionKind.RETREAT, target=creature.id)
    if side.active:
        for attack in table.definition(side.active).attacks:
            yield Action(seat=seat, kind=ActionKind.ATTACK, attack=attack.name)
    yield Action(seat=seat, kind=ActionKind.END_TURN)


def get_attack(table: Table, action: Action) -> Attack:
    """Give the attack of the active creature that is named.

    Raises:
        IllegalActionError: it has none of that name.
    """
    attacks = table.definition(table.active).attacks
    attack = next((attack for attack in attacks if attack.name == action.attack), None)
    if attack is None:
        raise IllegalActionError(f"the active creature has no attack {action.attack!r}")
    return attack


def get_card(side: Side, action: Action) -> CardInstance:
    """Give the card in the hand that is named.

    Raises:
        IllegalActionError: it is not there.
    """
    card = next((card for card in side.hand if card.id == action.card), None)
    if card is None:
        raise IllegalActionError(f"{action.card!r} is not in the hand")
    return card


def get_target(side: Side, action: Action) -> Creature:
    """Give the creature in play that is named.

    Raises:
        IllegalActionError: there is none on that side.
    """
    creature = side.find(action.target)
    if creature is None:
        raise IllegalActionError(f"{action.target!r} is not in play on the own side")
    return creature


def _use_of(
    table: Table, side: Side, card: CardInstance
) -> tuple[ActionKind, Sequence[str | None]]:
    """Tell what a card in the hand is for, and on whom it might be used; None is nobody."""
    if card.energy:
        return ActionKind.ATTACH, [each.id for each in side.in_play]
    definition = table.cards[card.card]
    if definition.type is not CardType.CREATURE:
        effect = EFFECTS.get(definition.text)
        on_creature = effect is not None and effect.on is not None
        return ActionKind.USE, [each.id for each in side.in_play] if on_creature else [None]
    if definition.evolves_from is None:
        return ActionKind.PLAY_BASIC, [None]
    below = definition.evolves_from
    fitting = [each.id for each in side.in_play if table.definition(each).name == below]
    return ActionKind.EVOLVE, fitting


def _play_basic(table: Table, action: Action) -> None:
    card = _definition(table, action)
    _require(is_playable_basic(card), f"{card.name} is no basic creature")
    _require(action.target is None, "a basic creature is played without a target")
    room = table.state.rules.bench_size
    on_bench = len(table.mine.bench) if table.mine.active else 0
    _require(on_bench < room, f"the bench is full with {room}")


def _evolve(table: Table, action: Action) -> None:
    card, creature = _definition(table, action), get_target(table.mine, action)
    below = table.definition(creature).name
    _require(card.evolves_from == below, f"{card.name} does not evolve from {below}")
    _require(card.hp is not None, f"{card.name} has no HP")
    _require(table.state.turn_number > 2, "nobody evolves in the first turn of a player")
    _require(creature.since < table.state.turn_number, f"{below} came in this turn")


def _attach(table: Table, action: Action) -> None:
    _require(get_card(table.mine, action).energy is not None, f"{action.card} is no energy")
    get_target(table.mine, action)
    _require(not table.mine.attached, "an energy was attached in this turn")


def _use(table: Table, action: Action) -> None:
    card = _definition(table, action)
    _require(card.type is not CardType.CREATURE, f"{card.name} is a creature")
    again = card.type is CardType.SUPPORTER and table.mine.supported
    _require(not again, "a supporter was played in this turn")
    effect = EFFECTS.get(card.text)
    if effect is None:
        raise IllegalActionError(f"{card.name} does nothing in this game")
    _require_use(table, action, card, effect)


def _require_use(table: Table, action: Action, card: CardDefinition, effect: Effect) -> None:
    if effect.needs and (problem := effect.needs(table)):
        raise IllegalActionError(problem)
    if effect.on is None:
        _require(action.target is None, f"{card.name} takes no target")
    else:
        creature = get_target(table.mine, action)
        name = table.definition(creature).name
        _require(effect.on(table, creature), f"{card.name} is of no use for {name}")


def _retreat(table: Table, action: Action) -> None:
    active, creature = table.active, get_target(table.mine, action)
    _require(creature is not active, "the creature that comes has to be on the bench")
    _require(not table.mine.retreated, "a creature retreated in this turn")
    _require_free(table, active, _NO_RETREAT, "retreat")
    cost, has = table.definition(active).retreat_cost or 0, len(active.energy)
    _require(has >= cost, f"retreating costs {cost} energy, and there is {has}")


def _attack(table: Table, action: Action) -> None:
    attack = get_attack(table, action)
    _require(table.state.turn_number > 1, "nobody attacks in the first turn of the game")
    _require_free(table, table.active, _NO_ATTACK, "attack")
    cost = ", ".join(attack.cost)
    _require(can_pay(table.active, attack), f"{attack.name} costs {cost}, and that is not there")


def _promote(table: Table, action: Action) -> None:
    side = table.state.side(action.seat)
    _require(side.active is None, "there is an active creature already")
    get_target(side, action)


def _end_turn(table: Table, _: Action) -> None:
    _require(table.mine.active is not None, "a basic creature has to be put down first")


def _definition(table: Table, action: Action) -> CardDefinition:
    card = get_card(table.mine, action)
    _require(card.energy is None, f"{card.id} is an energy")
    return table.cards[card.card]


def _require_free(
    table: Table, creature: Creature, conditions: tuple[Condition, ...], what: str
) -> None:
    held = [each for each in conditions if each in creature.conditions]
    name = table.definition(creature).name
    _require(not held, f"{name} is {' and '.join(held)} and cannot {what}")


def _require(holds: bool, why: str) -> None:  # noqa: FBT001  -- reads as a sentence
    if not holds:
        raise IllegalActionError(why)


_IN_SET_UP: Final = (ActionKind.PLAY_BASIC, ActionKind.END_TURN)
_CHECKS: Final[Mapping[ActionKind, Callable[[Table, Action], None]]] = {
    ActionKind.PLAY_BASIC: _play_basic,
    ActionKind.EVOLVE: _evolve,
    ActionKind.ATTACH: _attach,
    ActionKind.USE: _use,
    ActionKind.RETREAT: _retreat,
    ActionKind.ATTACK: _attack,
    ActionKind.PROMOTE: _promote,
    ActionKind.END_TURN: _end_turn,
}
