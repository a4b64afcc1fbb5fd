"""Facts that happened, handed to whoever wants them; by default they go to stdlib logging.

A part declares its events beside the code that emits them, as frozen dataclasses:

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Opened(Event):
        url: str
        seconds: float

An `Events` object belongs to one `Database`, server or store and is handed down; there is no
registry for the whole process.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import ClassVar, Literal

logger = logging.getLogger("holdfast")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One fact. Fields hold plain values and never a secret: handlers print them."""

    level: ClassVar[int] = logging.INFO

    def __str__(self) -> str:
        values = " ".join(f"{field.name}={getattr(self, field.name)}" for field in fields(self))
        return f"{type(self).__name__} {values}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What a part found when it looked at itself.

    Attributes:
        name: what was looked at, such as `tls`.
        said: what was found, with its values and without secrets.
        state: `failed` where something has to be changed, `warning` where it should be known.
        advice: what to change; empty where nothing is.
    """

    name: str
    said: str
    state: Literal["ok", "warning", "failed"] = "ok"
    advice: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing has to be changed."""
        return self.state != "failed"


Handler = Callable[[Event], None]


def log(event: Event) -> None:
    """Write the event to the logger `holdfast`, at the event's own level."""
    logger.log(event.level, "%s", event)


class Events:
    """Passes each event to every handler, in order, in the task that emitted it.

    A handler must be quick and must not await. One that raises is reported to the logger
    `holdfast` and the others still run: watching a fact never changes it.

    Args:
        *handlers: called with each event; `log` when none is given.
    """

    def __init__(self, *handlers: Handler) -> None:
        self._handlers = handlers or (log,)

    def emit(self, event: Event) -> None:
        """Hand one event to the handlers."""
        for handler in self._handlers:
            try:
                handler(event)
            except Exception:
                logger.exception("event handler %r failed on %s", handler, event)
