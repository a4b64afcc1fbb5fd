"""What a player can do."""

from enum import StrEnum

from msgspec import Struct

from mantimon.games.state import Seat


class ActionKind(StrEnum):
    """What an action is; what it needs besides is in brackets."""

    PLAY_BASIC = "play_basic"  # card: to the active spot if it is free, else to the bench
    EVOLVE = "evolve"  # card, target
    ATTACH = "attach"  # card, target
    USE = "use"  # card, and a target where its text asks for one
    RETREAT = "retreat"  # target: who comes from the bench
    ATTACK = "attack"  # attack
    PROMOTE = "promote"  # target: who comes from the bench
    END_TURN = "end_turn"
    CONCEDE = "concede"


class Action(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One thing that a player does: with a card in the hand, to a creature, both by their ids.

    `attack` is the name of an attack of the active creature.
    """

    seat: Seat
    kind: ActionKind
    card: str | None = None
    target: str | None = None
    attack: str | None = None
