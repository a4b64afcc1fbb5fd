"""The state of a game: every card of both players, whose turn it is, and what was done."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Self

import msgspec
from msgspec import Struct

from mantimon.cards.definition import Element
from mantimon.db.models.game import EndReason
from mantimon.services.inputs import require_ranges

ENERGY = "energy-"  # and an element: the card of an energy, which is in no set
# The least and the most of each rule; a limit far away keeps a slip of the pen out.
LIMITS: Mapping[str, tuple[int, int]] = {
    "opening_hand": (1, 20),
    "prizes": (1, 20),
    "bench_size": (1, 10),
    "turn_limit": (1, 1_000),
    "turn_seconds": (1, 7 * 24 * 3600),
}
# A set may have cards that begin in the same way.
_ENERGIES: Mapping[str, Element] = {f"{ENERGY}{element}": element for element in Element}


class Seat(StrEnum):
    """Who of the two."""

    PLAYER1 = "player1"
    PLAYER2 = "player2"

    @property
    def rival(self) -> "Seat":
        """The other one."""
        return Seat.PLAYER2 if self is Seat.PLAYER1 else Seat.PLAYER1


class Condition(StrEnum):
    """What holds for a creature for some turns."""

    ASLEEP = "asleep"  # neither attacks nor retreats; a coin decides each turn
    CURSED = "cursed"  # is not healed
    POISONED = "poisoned"
    PROTECTED = "protected"  # takes no damage from attacks
    ROOTED = "rooted"  # does not retreat
    SCORCHED = "scorched"
    STUNNED = "stunned"  # neither attacks nor retreats
    TIRED = "tired"  # does not attack


class Event(StrEnum):
    """What is told in the log: what players do, and what comes of it."""

    MULLIGAN = "mulligan"
    BEGIN_TURN = "begin_turn"
    DRAW = "draw"
    PLAY_BASIC = "play_basic"
    EVOLVE = "evolve"
    ATTACH = "attach"
    USE = "use"
    RETREAT = "retreat"
    SWITCH = "switch"
    PROMOTE = "promote"
    ATTACK = "attack"
    COIN = "coin"
    DAMAGE = "damage"
    HEAL = "heal"
    CONDITION = "condition"
    CURE = "cure"
    DISCARD = "discard"
    RETURN = "return"
    KNOCK_OUT = "knock_out"
    PRIZE = "prize"
    END_TURN = "end_turn"
    CONCEDE = "concede"
    TIME_OUT = "time_out"
    END = "end"


class Rules(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a game is played by; `turn_limit` counts the turns of both players.

    Raises:
        InvalidInputError: it names every rule that is out of its limits.
    """

    opening_hand: int = 7
    prizes: int = 4
    bench_size: int = 4
    turn_limit: int = 50
    turn_seconds: int = 120

    def __post_init__(self) -> None:
        require_ranges(self, LIMITS)


class CardInstance(Struct, frozen=True, kw_only=True, gc=False):
    """One copy of a card in one game: `id` is its own in this game, `card` what it is."""

    id: str
    card: str

    @property
    def energy(self) -> Element | None:
        """Which energy this is; None for a card of a set."""
        return _ENERGIES.get(self.card)


class Creature(Struct, kw_only=True):
    """A creature in play: its cards from the basic one up, and what lies with it.

    `since` is the turn in which its top card came; a condition holds up to the end of its turn.
    """

    cards: list[CardInstance]
    since: int
    damage: int
    energy: list[CardInstance]
    conditions: dict[Condition, int]

    @property
    def id(self) -> str:
        """The id of its basic card, by which actions name it: evolving does not change it."""
        return self.cards[0].id

    @property
    def top(self) -> CardInstance:
        """The card that says what it is now."""
        return self.cards[-1]

    @property
    def everything(self) -> list[CardInstance]:
        """Its own cards and its energy."""
        return [*self.cards, *self.energy]

    def copy(self) -> "Creature":
        """Copy it, so that changing the copy leaves this one alone."""
        return Creature(
            cards=self.cards.copy(),
            since=self.since,
            damage=self.damage,
            energy=self.energy.copy(),
            conditions=self.conditions.copy(),
        )


class Side(Struct, kw_only=True):
    """The cards of one player; the last card of the deck is its top.

    The fields from `attached` on are about the turn that is being played.
    """

    deck: list[CardInstance]
    hand: list[CardInstance]
    prizes: list[CardInstance]
    discard: list[CardInstance]
    active: Creature | None
    bench: list[Creature]
    attached: bool = False
    supported: bool = False
    retreated: bool = False
    bonus: int = 0

    @property
    def in_play(self) -> list[Creature]:
        """The active creature, if there is one, and the bench."""
        return [self.active, *self.bench] if self.active else self.bench

    def find(self, creature_id: str | None) -> Creature | None:
        """Give the creature in play of that id, or None."""
        return next((each for each in self.in_play if each.id == creature_id), None)

    def all_cards(self) -> Iterator[CardInstance]:
        """Give every card, wherever it is."""
        for zone in (self.deck, self.hand, self.prizes, self.discard):
            yield from zone
        for creature in self.in_play:
            yield from creature.everything

    def copy(self) -> "Side":
        """Copy it, so that changing the copy leaves this one alone."""
        return Side(
            deck=self.deck.copy(),
            hand=self.hand.copy(),
            prizes=self.prizes.copy(),
            discard=self.discard.copy(),
            active=self.active and self.active.copy(),
            bench=[each.copy() for each in self.bench],
            attached=self.attached,
            supported=self.supported,
            retreated=self.retreated,
            bonus=self.bonus,
        )


class Entry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the log; it tells the cards themselves, so that nobody has to look them up."""

    turn: int
    seat: Seat
    event: Event
    card: CardInstance | None = None
    target: CardInstance | None = None
    amount: int | None = None
    note: str = ""


class Outcome(Struct, frozen=True, kw_only=True):
    """How a game ended; a draw has no winner."""

    reason: EndReason
    winner: Seat | None


class GameState(Struct, kw_only=True, omit_defaults=True):
    """A whole game at one moment, with its rules: nothing else is needed to play on.

    Turn 0 is the set-up. `turn_over` says that this turn's attack is done, and only creatures
    have to be promoted before the next. `deadline` is until when this turn has to be played; None
    for one that has just begun, until it is stored. `version` is the one that the state was loaded
    with; it is not in the document.
    """

    rules: Rules
    turn_number: int
    turn_of: Seat
    turn_over: bool
    player1: Side
    player2: Side
    outcome: Outcome | None
    log: list[Entry]
    deadline: datetime | None = None
    version: int = 0

    def side(self, seat: Seat) -> Side:
        """Give the cards of that player."""
        return self.player1 if seat is Seat.PLAYER1 else self.player2

    @property
    def waiting_for(self) -> Seat | None:
        """Who has to do something now; None when the game is over."""
        if self.outcome:
            return None
        if self.turn_number:
            for seat in (self.turn_of.rival, self.turn_of):
                if self.side(seat).active is None:
                    return seat
        return self.turn_of

    def start_clock(self) -> None:
        """Give a turn that has just begun its deadline; one that has it already keeps it."""
        if self.deadline is None:
            self.deadline = datetime.now(UTC) + timedelta(seconds=self.rules.turn_seconds)

    def copy(self) -> "GameState":
        """Copy it, so that changing the copy leaves this one alone."""
        return GameState(
            rules=self.rules,
            turn_number=self.turn_number,
            turn_of=self.turn_of,
            turn_over=self.turn_over,
            player1=self.player1.copy(),
            player2=self.player2.copy(),
            outcome=self.outcome,
            log=self.log.copy(),
            deadline=self.deadline,
            version=self.version,
        )

    def to_json(self) -> bytes:
        """Write the document that is stored; the version is beside it."""
        return _encoder.encode(msgspec.structs.replace(self, version=0))

    @classmethod
    def from_json(cls, document: bytes | str | Mapping[str, Any], *, version: int) -> Self:
        """Read a stored document: as text, or as the database gives it, already taken apart.

        Raises:
            msgspec.ValidationError: it is not the state of a game; the message has the place.
        """
        if isinstance(document, Mapping):
            state = msgspec.convert(document, cls)
        else:
            state = msgspec.json.decode(document, type=cls)
        state.version = version
        return state


_encoder = msgspec.json.Encoder()
