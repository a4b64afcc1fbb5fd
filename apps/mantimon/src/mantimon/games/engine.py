"""Play: a state and an action give the next state, or a clear refusal.

Nothing is changed in place, and with the same chance the same comes of it, byte for byte.
"""

import random
from collections.abc import Callable, Mapping
from typing import Final

from mantimon.cards.definition import CardType
from mantimon.db.models.game import EndReason
from mantimon.errors import IllegalActionError
from mantimon.games.actions import Action, ActionKind
from mantimon.games.attacks import do_attack
from mantimon.games.items import EFFECTS
from mantimon.games.legality import get_attack, get_card, get_target, require_allowed
from mantimon.games.state import CardInstance, Condition, Event, GameState, Outcome, Seat
from mantimon.games.table import Catalogue, Table


def play(state: GameState, action: Action, cards: Catalogue, rng: random.Random) -> GameState:
    """Do one thing, and all that comes of it until somebody has to decide again.

    Args:
        state: of the game; it stays as it is.
        action: what is done, and by whom.
        cards: the definition of every card of both decks.
        rng: chance.

    Raises:
        IllegalActionError: the rules do not allow it now; the message says why.
    """
    table = Table(state.copy(), cards, rng)
    require_allowed(table, action)
    _DO[action.kind](table, action)
    _settle(table)
    return table.state


def time_out(state: GameState) -> GameState:
    """End a game because whoever has to act let the time pass.

    Raises:
        IllegalActionError: the game is over, so nobody has to act.
    """
    late = state.waiting_for
    if late is None:
        raise IllegalActionError("nobody is late: the game is over")
    table = Table(state.copy(), {}, random.Random(0))  # noqa: S311  -- nothing is left to chance
    table.log(Event.TIME_OUT, seat=late)
    _end(table, EndReason.TIMEOUT, late.rival)
    return table.state


def _play_basic(table: Table, action: Action) -> None:
    card = _take_from_hand(table, action)
    table.put_in_play(table.mine, card)
    table.log(Event.PLAY_BASIC, card=card)


def _evolve(table: Table, action: Action) -> None:
    card, creature = _take_from_hand(table, action), get_target(table.mine, action)
    table.log(Event.EVOLVE, card=card, target=creature.top)
    creature.cards.append(card)
    creature.since = table.state.turn_number
    creature.conditions.clear()


def _attach(table: Table, action: Action) -> None:
    card, creature = _take_from_hand(table, action), get_target(table.mine, action)
    creature.energy.append(card)
    table.mine.attached = True
    table.log(Event.ATTACH, card=card, target=creature.top)


def _use(table: Table, action: Action) -> None:
    card = _take_from_hand(table, action)
    definition = table.cards[card.card]
    creature = get_target(table.mine, action) if action.target else table.active
    table.mine.supported |= definition.type is CardType.SUPPORTER
    table.log(Event.USE, card=card, target=creature.top if action.target else None)
    EFFECTS[definition.text].do(table, creature)
    table.mine.discard.append(card)


def _retreat(table: Table, action: Action) -> None:
    side, active, creature = table.mine, table.active, get_target(table.mine, action)
    cost = table.definition(active).retreat_cost or 0
    table.log(Event.RETREAT, card=active.top, target=creature.top, amount=cost)
    table.discard_energy(side, active, active.energy[len(active.energy) - cost :])
    table.bring_forward(side, creature)
    side.retreated = True


def _attack(table: Table, action: Action) -> None:
    do_attack(table, get_attack(table, action))
    _end_turn(table, action)


def _promote(table: Table, action: Action) -> None:
    side = table.state.side(action.seat)
    creature = get_target(side, action)
    table.bring_forward(side, creature)
    table.log(Event.PROMOTE, seat=action.seat, target=creature.top)


def _end_turn(table: Table, _: Action) -> None:
    table.state.turn_over = True
    table.log(Event.END_TURN)
    if table.state.turn_number:
        _suffer(table)


def _concede(table: Table, action: Action) -> None:
    table.log(Event.CONCEDE, seat=action.seat)
    _end(table, EndReason.CONCESSION, action.seat.rival)


def _suffer(table: Table) -> None:
    """Let conditions do what they do at the end of a turn, and let those go that are over."""
    for seat in Seat:
        active = table.state.side(seat).active
        if active is None:
            continue
        if Condition.POISONED in active.conditions:
            table.hurt(seat, active, 10, why=Condition.POISONED)
        if Condition.SCORCHED in active.conditions:
            table.hurt(seat, active, 20, why=Condition.SCORCHED)
            if table.flip():
                del active.conditions[Condition.SCORCHED]
        if Condition.ASLEEP in active.conditions and table.flip():
            del active.conditions[Condition.ASLEEP]
        for creature in table.state.side(seat).in_play:
            creature.conditions = {
                condition: until
                for condition, until in creature.conditions.items()
                if until > table.state.turn_number
            }


def _settle(table: Table) -> None:
    """Clear away who is knocked out, end the game if it is decided, else go on to the next turn."""
    if table.state.outcome:
        return
    for seat in Seat:
        _clear_away(table, seat)
    _decide(table)
    if not table.state.outcome and table.state.turn_over and _nobody_to_promote(table):
        _begin_turn(table)


def _clear_away(table: Table, seat: Seat) -> None:
    side, rival = table.state.side(seat), table.state.side(seat.rival)
    out = [c for c in side.in_play if c.damage >= (table.definition(c).hp or 0)]
    for creature in out:
        table.log(Event.KNOCK_OUT, seat=seat, target=creature.top)
        side.discard.extend(creature.everything)
        if creature is side.active:
            side.active = None
        else:
            side.bench.remove(creature)
        if rival.prizes:
            prize = rival.prizes.pop()
            rival.hand.append(prize)
            table.log(Event.PRIZE, seat=seat.rival, card=prize)


def _decide(table: Table) -> None:
    """End the game if somebody has won, or both at once."""
    if not table.state.turn_number:
        return
    won = {seat: reason for seat in Seat if (reason := _why_won(table.state, seat))}
    if len(won) == len(Seat):
        _end(table, EndReason.DRAW, None)
    for seat, reason in won.items():
        if not table.state.outcome:
            _end(table, reason, seat)


def _why_won(state: GameState, seat: Seat) -> EndReason | None:
    if not state.side(seat).prizes:
        return EndReason.PRIZES_TAKEN
    return None if state.side(seat.rival).in_play else EndReason.NO_ACTIVE


def _nobody_to_promote(table: Table) -> bool:
    if table.state.turn_number:
        return all(table.state.side(seat).active for seat in Seat)
    return True


def _begin_turn(table: Table) -> None:
    """Let the other player begin a turn; in the set-up, put creatures down."""
    state = table.state
    state.turn_over = False
    table.pass_turn()
    if state.turn_number == 0 and table.mine.active is None:
        return
    if state.turn_number >= state.rules.turn_limit:
        _end(table, EndReason.DRAW, None)
        return
    state.turn_number += 1
    state.deadline = None
    side = table.mine
    side.attached = side.supported = side.retreated = False
    side.bonus = table.theirs.bonus = 0
    table.log(Event.BEGIN_TURN)
    if not side.deck:
        _end(table, EndReason.DECK_OUT, table.seat.rival)
        return
    table.draw(table.seat)


def _end(table: Table, reason: EndReason, winner: Seat | None) -> None:
    table.state.outcome = Outcome(reason=reason, winner=winner)
    table.log(Event.END, seat=winner, note=reason)


def _take_from_hand(table: Table, action: Action) -> CardInstance:
    card = get_card(table.mine, action)
    table.mine.hand.remove(card)
    return card


_DO: Final[Mapping[ActionKind, Callable[[Table, Action], None]]] = {
    ActionKind.PLAY_BASIC: _play_basic,
    ActionKind.EVOLVE: _evolve,
    ActionKind.ATTACH: _attach,
    ActionKind.USE: _use,
    ActionKind.RETREAT: _retreat,
    ActionKind.ATTACK: _attack,
    ActionKind.PROMOTE: _promote,
    ActionKind.END_TURN: _end_turn,
    ActionKind.CONCEDE: _concede,
}
