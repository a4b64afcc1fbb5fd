"""What an attack does: its damage, and what its text adds; a text that is not here adds nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from mantimon.cards.definition import Attack, Element, Stage
from mantimon.errors import IllegalActionError
from mantimon.games.state import Condition, Creature, Event
from mantimon.games.table import UNTIL_CURED, Table


@dataclass(slots=True, kw_only=True)
class Blow:
    """An attack under way; `damage` is what its text makes of the printed number."""

    attacker: Creature
    defender: Creature
    damage: int
    resisted: bool = True


def do_attack(table: Table, attack: Attack) -> None:
    """Let the active creature of whose turn it is attack the other one."""
    attacker, defender = table.active, table.theirs.active
    if defender is None:
        raise IllegalActionError("there is nobody to attack")
    blow = Blow(attacker=attacker, defender=defender, damage=attack.damage)
    table.log(Event.ATTACK, card=attacker.top, target=defender.top, note=attack.name)
    if change := CHANGES.get(attack.text):
        change(table, blow)
    table.hurt(table.seat.rival, defender, _dealt(table, blow))
    if then := FOLLOW_UPS.get(attack.text):
        then(table, blow)


def can_pay(creature: Creature, attack: Attack) -> bool:
    """Tell whether a creature has the energy that an attack costs; it keeps it."""
    have = [card.energy for card in creature.energy]
    return len(have) >= len(attack.cost) and all(
        have.count(element) >= attack.cost.count(element)
        for element in set(attack.cost)
        if element is not Element.NEUTRAL
    )


def _dealt(table: Table, blow: Blow) -> int:
    if blow.damage <= 0 or Condition.PROTECTED in blow.defender.conditions:
        return 0
    damage = blow.damage + table.mine.bonus
    element, target = table.definition(blow.attacker).element, table.definition(blow.defender)
    if target.weakness and target.weakness.element is element:
        damage += target.weakness.value
    if blow.resisted and target.resistance and target.resistance.element is element:
        damage -= target.resistance.value
    return max(damage, 0)


Change = Callable[[Table, Blow], None]


def _more(count: Callable[[Table, Blow], int], each: int) -> Change:
    def change(table: Table, blow: Blow) -> None:
        blow.damage += each * count(table, blow)

    return change


def _flips(coins: int) -> Callable[[Table, Blow], int]:
    return lambda table, _: sum(table.flip() for _ in range(coins))


def _heads_in_a_row(table: Table, _: Blow) -> int:
    heads = 0
    while table.flip():
        heads += 1
    return heads


def _nothing_on_tails(table: Table, blow: Blow) -> None:
    if not table.flip():
        blow.damage = 0


def _unresisted(_: Table, blow: Blow) -> None:
    blow.resisted = False


def _afflict(condition: Condition, turns: int | None = None, *, coin: bool = False) -> Change:
    def then(table: Table, blow: Blow) -> None:
        if not coin or table.flip():
            until = UNTIL_CURED if turns is None else table.state.turn_number + turns
            table.afflict(blow.defender, condition, until)

    return then


def _take_on(condition: Condition, turns: int, *, coin: bool = False) -> Change:
    def then(table: Table, blow: Blow) -> None:
        if not coin or table.flip():
            table.afflict(blow.attacker, condition, table.state.turn_number + turns)

    return then


def _discard(element: Element, most: int | None = None) -> Change:
    def then(table: Table, blow: Blow) -> None:
        lost = [card for card in blow.attacker.energy if card.energy is element][:most]
        table.discard_energy(table.mine, blow.attacker, lost)

    return then


def _heal_each(table: Table, _: Blow) -> None:
    for creature in table.mine.in_play:
        table.heal(creature, 10)


def _hit_bench(table: Table, _: Blow) -> None:
    if table.theirs.bench:
        table.hurt(table.seat.rival, table.rng.choice(table.theirs.bench), 10)


def _switch(table: Table, _: Blow) -> None:
    table.switch_at_random(table.seat)


def _switch_theirs(table: Table, _: Blow) -> None:
    table.switch_at_random(table.seat.rival)


def _discard_from_hand(table: Table, _: Blow) -> None:
    side = table.theirs
    if side.hand:
        card = table.rng.choice(side.hand)
        side.hand.remove(card)
        side.discard.append(card)
        table.log(Event.DISCARD, seat=table.seat.rival, card=card)


def _take_energy(table: Table, _: Blow) -> None:
    table.take_energy_back()


# Before the damage is done.
CHANGES: Final[Mapping[str, Change]] = {
    "Flip a coin. If tails, this attack does nothing.": _nothing_on_tails,
    "Flip a coin. If heads, this attack does 20 more damage.": _more(_flips(1), 20),
    "Flip two coins. This attack does 10 more damage for each heads.": _more(_flips(2), 10),
    "Flip a coin until you get tails. This attack does 10 more damage for each heads.": _more(
        _heads_in_a_row, 10
    ),
    "This attack does 10 more damage for each creature on your bench.": _more(
        lambda table, _: len(table.mine.bench), 10
    ),
    "This attack does 10 more damage for each energy attached to this creature.": _more(
        lambda _, blow: len(blow.attacker.energy), 10
    ),
    "If this creature has two or more iron energy, this attack does 20 more damage.": _more(
        lambda table, blow: table.count_energy(blow.attacker, Element.IRON) >= 2, 20
    ),
    "If this creature has any damage on it, this attack does 20 more damage.": _more(
        lambda _, blow: blow.attacker.damage > 0, 20
    ),
    "If the defending creature has evolved, this attack does 20 more damage.": _more(
        lambda table, blow: table.definition(blow.defender).stage is not Stage.BASIC, 20
    ),
    "If you have played a supporter this turn, this attack does 20 more damage.": _more(
        lambda table, _: table.mine.supported, 20
    ),
    "This attack's damage is not changed by resistance.": _unresisted,
}
# After it.
FOLLOW_UPS: Final[Mapping[str, Change]] = {
    "Draw a card.": lambda table, _: table.draw(table.seat),
    "Heal 20 damage from this creature.": lambda table, blow: table.heal(blow.attacker, 20),
    "Heal 10 damage from each of your creatures.": _heal_each,
    "This attack also does 10 damage to this creature.": lambda table, blow: table.hurt(
        table.seat, blow.attacker, 10
    ),
    "This attack also does 10 damage to one creature on your opponent's bench.": _hit_bench,
    "Switch this creature with one on your bench.": _switch,
    "Your opponent switches the defending creature with one on their bench.": _switch_theirs,
    "Your opponent discards a card from their hand at random.": _discard_from_hand,
    "Take an energy card from your discard pile into your hand.": _take_energy,
    "Discard a flame energy from this creature.": _discard(Element.FLAME, 1),
    "Discard all storm energy from this creature.": _discard(Element.STORM),
    "This creature cannot attack during your next turn.": _take_on(Condition.TIRED, 2),
    "This creature cannot retreat during your next turn.": _take_on(Condition.ROOTED, 2),
    "Flip a coin. If heads, prevent all damage done to this creature during your opponent's "
    "next turn.": _take_on(Condition.PROTECTED, 1, coin=True),
    "The defending creature is now asleep.": _afflict(Condition.ASLEEP),
    "The defending creature is now poisoned.": _afflict(Condition.POISONED),
    "The defending creature is now scorched.": _afflict(Condition.SCORCHED),
    "Flip a coin. If heads, the defending creature is now stunned.": _afflict(
        Condition.STUNNED, 1, coin=True
    ),
    "The defending creature is now rooted: it cannot retreat during your opponent's next "
    "turn.": _afflict(Condition.ROOTED, 1),
    "The defending creature is now cursed: it cannot be healed during your opponent's next "
    "turn.": _afflict(Condition.CURSED, 1),
}
