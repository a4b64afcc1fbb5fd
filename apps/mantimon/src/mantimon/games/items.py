"""What items and supporters do, by the text on the card; a text that is not here does nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from mantimon.cards.definition import CardDefinition, CardType, Element, Stage
from mantimon.games.dealing import is_playable_basic
from mantimon.games.state import CardInstance, Condition, Creature, Event
from mantimon.games.table import Table

Do = Callable[[Table, Creature], None]
May = Callable[[Table, Creature], bool]
Wanted = Callable[[CardDefinition], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a card does, when it may be used, and on which of one's creatures.

    `needs` is None where it may always be used. Without `on`, no target is named and the active
    creature is meant.
    """

    do: Do
    needs: Callable[[Table], str | None] | None = None
    on: May | None = None


def _heal(amount: int, *, on: May = lambda _table, creature: creature.damage > 0) -> Effect:
    return Effect(do=lambda table, creature: table.heal(creature, amount), on=on)


def _is_hurt_basic(table: Table, creature: Creature) -> bool:
    return creature.damage > 0 and table.definition(creature).stage is Stage.BASIC


def _heal_for_energy(table: Table, creature: Creature) -> None:
    table.heal(creature, 60)
    table.discard_energy(table.mine, creature, creature.energy[-1:])


def _draw(count: int) -> Effect:
    return Effect(do=lambda table, _: table.draw(table.seat, count), needs=_cards_in_deck)


def _cards_in_deck(table: Table) -> str | None:
    return None if table.mine.deck else "the deck is empty"


def _room(table: Table) -> str | None:
    full = len(table.mine.bench) >= table.state.rules.bench_size
    return "the bench is full" if full else _cards_in_deck(table)


def _search(wanted: Wanted, *, top: int | None = None) -> Effect:
    def do(table: Table, _: Creature) -> None:
        if card := _find(table, wanted, top=top):
            table.mine.deck.remove(card)
            table.mine.hand.append(card)
            table.log(Event.DRAW, card=card)
        table.shuffle(table.seat)

    return Effect(do=do, needs=_cards_in_deck)


def _bench(count: int) -> Effect:
    def do(table: Table, _: Creature) -> None:
        for _i in range(count):
            card = _find(table, is_playable_basic)
            if card is None or _room(table):
                break
            table.mine.deck.remove(card)
            table.put_in_play(table.mine, card)
            table.log(Event.PLAY_BASIC, card=card)
        table.shuffle(table.seat)

    return Effect(do=do, needs=_room)


def _find(table: Table, wanted: Wanted, *, top: int | None = None) -> CardInstance | None:
    deck = table.mine.deck
    seen = deck if top is None else deck[-top:]
    return next((c for c in seen if not c.energy and wanted(table.cards[c.card])), None)


def _switch(table: Table, creature: Creature) -> None:
    table.bring_forward(table.mine, creature)
    table.log(Event.SWITCH, target=creature.top)


def _switch_theirs(table: Table, _: Creature) -> None:
    table.switch_at_random(table.seat.rival)


def _new_hand(table: Table, _: Creature) -> None:
    table.shuffle_hand_away(table.seat)
    table.draw(table.seat, 5)


def _new_hand_for_them(table: Table, _: Creature) -> None:
    table.shuffle_hand_away(table.seat.rival)
    table.draw(table.seat.rival, 4)


def _draw_for_heads(table: Table, _: Creature) -> None:
    for _i in range(3):
        if table.flip():
            table.draw(table.seat)


def _strengthen(table: Table, _: Creature) -> None:
    table.mine.bonus += 10


def _cure(table: Table, creature: Creature) -> None:
    for condition in sorted(_CURED.intersection(creature.conditions)):
        del creature.conditions[condition]
        table.log(Event.CURE, target=creature.top, note=condition)


def _needs_curing(table: Table) -> str | None:
    active = table.mine.active
    sick = active is not None and not _CURED.isdisjoint(active.conditions)
    return None if sick else "the active creature is neither asleep, stunned nor rooted"


def _take_energy(table: Table, _: Creature) -> None:
    table.take_energy_back()


def _discarded_energy(table: Table) -> str | None:
    found = any(card.energy for card in table.mine.discard)
    return None if found else "there is no energy in the discard pile"


def _kindle(table: Table, creature: Creature) -> None:
    for card in [card for card in table.mine.discard if card.energy][:2]:
        table.mine.discard.remove(card)
        creature.energy.append(card)
        table.log(Event.ATTACH, card=card, target=creature.top)


def _return(table: Table, creature: Creature) -> None:
    table.mine.bench.remove(creature)
    table.mine.hand.append(creature.cards[0])
    table.mine.discard.extend([*creature.cards[1:], *creature.energy])
    table.log(Event.RETURN, card=creature.cards[0])


def _is_benched(table: Table, creature: Creature) -> bool:
    return creature is not table.mine.active


_CURED: Final = frozenset({Condition.ASLEEP, Condition.STUNNED, Condition.ROOTED})

EFFECTS: Final[Mapping[str, Effect]] = {
    "Heal 20 damage from one of your creatures.": _heal(20),
    "Heal 30 damage from one of your basic creatures.": _heal(30, on=_is_hurt_basic),
    "Heal 60 damage from one of your creatures, then discard an energy from it.": Effect(
        do=_heal_for_energy, on=lambda _table, creature: creature.damage > 0
    ),
    "Heal 50 damage from one of your creatures.": _heal(50),
    "Draw two cards.": _draw(2),
    "Look at the top five cards of your deck. You may take a basic creature from among them into "
    "your hand. Shuffle your deck.": _search(is_playable_basic, top=5),
    "Search your deck for a basic creature and put it on your bench. Shuffle your deck.": _bench(1),
    "Search your deck for two basic creatures and put them on your bench. "
    "Shuffle your deck.": _bench(2),
    "Search your deck for a stage 1 creature, show it to your opponent and take it into your hand. "
    "Shuffle your deck.": _search(lambda card: card.stage is Stage.STAGE_1),
    "Look at the top six cards of your deck. Take one into your hand and shuffle the others "
    "back.": _search(lambda card: card.type is CardType.CREATURE, top=6),
    "Switch your active creature with one on your bench.": Effect(do=_switch, on=_is_benched),
    "Your opponent switches their active creature with one on their bench.": Effect(
        do=_switch_theirs,
        needs=lambda table: None if table.theirs.bench else "the opponent's bench is empty",
    ),
    "During this turn, attacks of your active creature do 10 more damage.": Effect(do=_strengthen),
    "Take an energy card from your discard pile into your hand.": Effect(
        do=_take_energy, needs=_discarded_energy
    ),
    "Your active creature is no longer asleep, stunned or rooted.": Effect(
        do=_cure, needs=_needs_curing
    ),
    "Shuffle your hand into your deck, then draw five cards.": Effect(do=_new_hand),
    "Your opponent shuffles their hand into their deck and draws four cards.": Effect(
        do=_new_hand_for_them
    ),
    "Return one creature on your bench to your hand and discard all cards attached to it.": Effect(
        do=_return, on=_is_benched
    ),
    "Attach up to two energy cards from your discard pile to one of your flame creatures.": Effect(
        do=_kindle,
        needs=_discarded_energy,
        on=lambda table, creature: table.definition(creature).element is Element.FLAME,
    ),
    "Flip three coins. Draw a card for each heads.": Effect(
        do=_draw_for_heads, needs=_cards_in_deck
    ),
}
