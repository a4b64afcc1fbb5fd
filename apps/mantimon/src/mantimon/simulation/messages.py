"""What the processes of a simulation tell each other: one line of JSON each."""

import uuid

from msgspec import Struct

from mantimon.services.deck_rules import DeckList


class SimulatedPlayer(Struct, frozen=True, kw_only=True):
    """A player and the deck that is played with."""

    id: uuid.UUID
    deck: DeckList


class Job(Struct, frozen=True, kw_only=True):
    """What one worker has to play; it comes by a pipe, since the URL has a password."""

    url: str
    run: uuid.UUID
    seed: int
    players: list[SimulatedPlayer]
    numbers: list[int]


class Played(Struct, frozen=True, kw_only=True, tag=True):
    """One game is played; `sizes` are those of its states as they were written, in bytes."""

    number: int
    actions: int
    sizes: list[int]


class Failed(Struct, frozen=True, kw_only=True, tag=True):
    """The worker cannot go on."""

    why: str
