"""What a state store tells of itself while it works."""

import logging
from dataclasses import dataclass
from typing import ClassVar

from holdfast.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSaved(Event):
    """A state is in Redis, and will be written to its row."""

    level: ClassVar[int] = logging.DEBUG

    key: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StateConflicted(Event):
    """Somebody had not the newest state in hand; `found` is None where Redis has forgotten."""

    level: ClassVar[int] = logging.DEBUG

    key: str
    expected: int
    found: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatesFlushed(Event):
    """A round of writing ended; `written` states are in their rows."""

    level: ClassVar[int] = logging.DEBUG

    prefix: str
    written: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StateRefused(Event):
    """The database does not take a state; it is tried again later, or when another is saved."""

    level: ClassVar[int] = logging.ERROR

    key: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StateUnreadable(Event):
    """A row holds what is no state of the store, so that a recovery left it alone."""

    level: ClassVar[int] = logging.ERROR

    key: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatesRecovered(Event):
    """Every row was looked at; `ahead` are those where Redis had newer states."""

    prefix: str
    rows: int
    filled: int
    ahead: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFailed(Event):
    """Redis or PostgreSQL could not be reached, so something was not done."""

    level: ClassVar[int] = logging.WARNING

    prefix: str
    what: str
    error: str
