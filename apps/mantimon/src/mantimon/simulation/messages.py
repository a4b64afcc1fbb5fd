"""What the processes of a simulation tell each other: one line of JSON each."""

import uuid
from enum import StrEnum

from msgspec import Struct

from mantimon.services.deck_rules import DeckList


class SimulatedPlayer(Struct, frozen=True, kw_only=True):
    """A player and the deck that is played with."""

    id: uuid.UUID
    deck: DeckList


class Job(Struct, frozen=True, kw_only=True):
    """What one worker has to play; it comes by a pipe, since the URLs have passwords."""

    url: str
    redis_url: str
    run: uuid.UUID
    seed: int
    players: list[SimulatedPlayer]
    numbers: list[int]


class Step(StrEnum):
    """What was done with a state."""

    LOADED = "loaded"
    SAVED = "saved"
    PERSISTED = "persisted"


class Seen(Struct, frozen=True, kw_only=True, tag=True):
    """A step has been acknowledged; it is told before the next one.

    `entries` is how many lines the log of the game has; `size` that of a state that was persisted,
    in bytes.
    """

    number: int
    step: Step
    turn: int
    version: int
    entries: int
    size: int = 0


class Played(Struct, frozen=True, kw_only=True, tag=True):
    """One game is in the history."""

    number: int


class Failed(Struct, frozen=True, kw_only=True, tag=True):
    """The worker cannot go on."""

    why: str


Message = Seen | Played | Failed
