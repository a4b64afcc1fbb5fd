"""A game while something happens in it: the moves that actions and effects are made of."""

import random
from collections.abc import Mapping

from mantimon.cards.definition import CardDefinition, Element
from mantimon.errors import IllegalActionError
from mantimon.games.state import (
    CardInstance,
    Condition,
    Creature,
    Entry,
    Event,
    GameState,
    Seat,
    Side,
)

Catalogue = Mapping[str, CardDefinition]

UNTIL_CURED = 1_000_000  # a turn that no game reaches


class Table:
    """A state that is changed in place, the cards' definitions, and chance.

    `seat` is whose turn it is, `mine` and `theirs` are the sides as they see it.
    """

    def __init__(self, state: GameState, cards: Catalogue, rng: random.Random) -> None:
        self.state = state
        self.cards = cards
        self.rng = rng
        self._turn_to(state.turn_of)

    def pass_turn(self) -> None:
        """Give the turn to the other player."""
        self._turn_to(self.seat.rival)

    def _turn_to(self, seat: Seat) -> None:
        self.state.turn_of = seat
        self.seat, self.mine, self.theirs = seat, self.state.side(seat), self.state.side(seat.rival)

    @property
    def active(self) -> Creature:
        """The active creature of whose turn it is.

        Raises:
            IllegalActionError: there is none yet, in the set-up.
        """
        if self.mine.active is None:
            raise IllegalActionError("there is no active creature yet")
        return self.mine.active

    def log(
        self,
        event: Event,
        *,
        seat: Seat | None = None,
        card: CardInstance | None = None,
        target: CardInstance | None = None,
        amount: int | None = None,
        note: str = "",
    ) -> None:
        """Add a line to the log, by whose turn it is unless told."""
        self.state.log.append(
            Entry(
                turn=self.state.turn_number,
                seat=seat or self.seat,
                event=event,
                card=card,
                target=target,
                amount=amount,
                note=note,
            )
        )

    def definition(self, creature: Creature) -> CardDefinition:
        """Give what is printed on a creature's top card."""
        return self.cards[creature.top.card]

    def flip(self) -> bool:
        """Flip a coin: True for heads."""
        heads = self.rng.random() < 0.5
        self.log(Event.COIN, note="heads" if heads else "tails")
        return heads

    def draw(self, seat: Seat, count: int = 1) -> None:
        """Draw cards, as many as there are."""
        side = self.state.side(seat)
        for _ in range(min(count, len(side.deck))):
            card = side.deck.pop()
            side.hand.append(card)
            self.log(Event.DRAW, seat=seat, card=card)

    def shuffle(self, seat: Seat) -> None:
        """Shuffle a deck."""
        self.rng.shuffle(self.state.side(seat).deck)

    def shuffle_hand_away(self, seat: Seat) -> None:
        """Shuffle a hand into its deck."""
        side = self.state.side(seat)
        side.deck.extend(side.hand)
        side.hand.clear()
        self.shuffle(seat)

    def put_in_play(self, side: Side, card: CardInstance) -> None:
        """Put a basic creature down: active if nobody is, else on the bench."""
        creature = Creature(
            cards=[card], since=self.state.turn_number, damage=0, energy=[], conditions={}
        )
        if side.active is None:
            side.active = creature
        else:
            side.bench.append(creature)

    def bring_forward(self, side: Side, creature: Creature) -> None:
        """Make a creature of the bench the active one; the active one goes to the bench, cured."""
        side.bench.remove(creature)
        if side.active:
            side.active.conditions.clear()
            side.bench.append(side.active)
        side.active = creature

    def switch_at_random(self, seat: Seat) -> None:
        """Let chance choose who comes from a bench, if anybody is there."""
        side = self.state.side(seat)
        if side.bench:
            creature = self.rng.choice(side.bench)
            self.bring_forward(side, creature)
            self.log(Event.SWITCH, seat=seat, target=creature.top)

    def take_energy_back(self) -> None:
        """Take an energy from one's discard pile into the hand, if there is one."""
        side = self.mine
        card = next((card for card in side.discard if card.energy), None)
        if card:
            side.discard.remove(card)
            side.hand.append(card)
            self.log(Event.RETURN, card=card)

    def hurt(self, seat: Seat, creature: Creature, amount: int, *, why: str = "") -> None:
        """Put damage on a creature of that seat."""
        if amount > 0:
            creature.damage += amount
            self.log(Event.DAMAGE, seat=seat, target=creature.top, amount=amount, note=why)

    def heal(self, creature: Creature, amount: int) -> None:
        """Take damage from a creature of whose turn it is, as much as there is."""
        healed = min(amount, creature.damage)
        if healed and Condition.CURSED not in creature.conditions:
            creature.damage -= healed
            self.log(Event.HEAL, target=creature.top, amount=healed)

    def afflict(self, creature: Creature, condition: Condition, until: int) -> None:
        """Let a condition hold up to the end of that turn."""
        creature.conditions[condition] = until
        self.log(Event.CONDITION, target=creature.top, note=condition)

    def discard_energy(self, side: Side, creature: Creature, energy: list[CardInstance]) -> None:
        """Discard some of a creature's energy."""
        for card in energy:
            creature.energy.remove(card)
            side.discard.append(card)
            self.log(Event.DISCARD, card=card, target=creature.top)

    def count_energy(self, creature: Creature, element: Element) -> int:
        """Count the energy of one element on a creature."""
        return sum(card.energy is element for card in creature.energy)
