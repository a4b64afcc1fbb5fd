"""Who has a connection: the task, the line of code, since when, and its last statement."""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from holdfast.events import Event
from holdfast.pool.callers import Caller, find_caller

_SHOWN = 10  # holders in a message
_STATEMENT = 80  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who has a connection at this moment.

    Attributes:
        task: the name of the asyncio task that took it.
        caller: the innermost line that is neither a library's nor Holdfast's.
        seconds: how long it has been held.
        statement: the last SQL that was sent on it, without values; empty before the first.
    """

    task: str
    caller: Caller
    seconds: float
    statement: str

    def __str__(self) -> str:
        said = f"{self.seconds:.1f} s  {self.task} at {self.caller}"
        return f"{said}: {_in_one_line(self.statement)}" if self.statement else said


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionHeld(Event):
    """A connection has been held for longer than `report_after`; told once for each."""

    level: ClassVar[int] = logging.WARNING

    task: str
    caller: str
    seconds: float
    statement: str


class Lease:
    """One caller's use of a connection, from asking for it to giving it back."""

    __slots__ = ("asked", "caller", "reported", "since", "statement", "task")

    def __init__(self) -> None:
        self.caller = find_caller()
        task = asyncio.current_task()
        self.task = task.get_name() if task else "no task"
        self.asked = self.since = time.monotonic()
        self.statement = ""
        self.reported = False

    def begin(self) -> None:
        """Count the time from now: waiting is not holding."""
        self.since = time.monotonic()

    def seconds(self) -> float:
        """Say how long it has lasted."""
        return time.monotonic() - self.since

    def holder(self) -> Holder:
        """Give it as it is now."""
        return Holder(
            task=self.task, caller=self.caller, seconds=self.seconds(), statement=self.statement
        )

    def event(self) -> ConnectionHeld:
        """Give it as an event."""
        return ConnectionHeld(
            task=self.task,
            caller=str(self.caller),
            seconds=round(self.seconds(), 1),
            statement=_in_one_line(self.statement),
        )


def describe(holders: Sequence[Holder]) -> str:
    """List holders for a message, one a line, those that come first in full."""
    lines = [f"  {holder}" for holder in holders[:_SHOWN]]
    if len(holders) > _SHOWN:
        lines.append(f"  and {len(holders) - _SHOWN} more")
    return "\n".join(lines)


def _in_one_line(sql: str) -> str:
    words = " ".join(sql.split())
    return words if len(words) <= _STATEMENT else words[: _STATEMENT - 1] + "…"
