"""Events reach every handler, and a handler cannot change what happened."""

import logging
from dataclasses import FrozenInstanceError, dataclass
from typing import ClassVar

import pytest

from holdfast.events import Event, Events, log


@dataclass(frozen=True, slots=True, kw_only=True)
class Served(Event):
    """A guest was served."""

    guest: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Burnt(Event):
    """A dish was burnt."""

    level: ClassVar[int] = logging.WARNING
    dish: str


def test_every_handler_gets_the_event_in_order():
    """Handlers are called one after the other, with the event itself."""
    seen = []
    events = Events(
        lambda event: seen.append(("a", event)), lambda event: seen.append(("b", event))
    )
    event = Served(guest="Ann", seconds=0.5)

    events.emit(event)

    assert seen == [("a", event), ("b", event)]


def test_without_a_handler_events_are_logged(caplog):
    """The default writes the event's name and fields, at the event's level."""
    caplog.set_level(logging.INFO, logger="holdfast")

    Events().emit(Served(guest="Ann", seconds=0.5))
    Events().emit(Burnt(dish="soup"))

    assert caplog.record_tuples == [
        ("holdfast", logging.INFO, "Served guest=Ann seconds=0.5"),
        ("holdfast", logging.WARNING, "Burnt dish=soup"),
    ]


def test_a_handler_that_raises_is_reported_and_the_others_run(caplog):
    """A broken handler is in the log, and neither the emitter nor the next handler notices."""
    seen = []

    def broken(_event: Event) -> None:
        raise ValueError("no")

    Events(broken, seen.append).emit(Burnt(dish="soup"))

    assert seen == [Burnt(dish="soup")]
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info[0] is ValueError


def test_the_log_can_stand_beside_another_handler(caplog):
    """`log` is a handler like others."""
    caplog.set_level(logging.INFO, logger="holdfast")
    seen = []

    Events(log, seen.append).emit(Burnt(dish="soup"))

    assert len(seen) == len(caplog.records) == 1


def test_an_event_does_not_change():
    """What happened stays as it was told."""
    with pytest.raises(FrozenInstanceError):
        Burnt(dish="soup").dish = "stew"
