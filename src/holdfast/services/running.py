"""What is known about a server that runs, and what a kind of server has to provide."""

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from holdfast.events import Event
from holdfast.services.lock import Lock
from holdfast.services.place import Info, Place
from holdfast.services.process import Child, Program


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStarted(Event):
    """A server answers; `attached` when it was found running."""

    name: str
    version: str
    source: str
    pid: int
    attached: bool
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStopped(Event):
    """A server that was started here has stopped."""

    name: str
    pid: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How to run a server, and what other processes are told about it."""

    info: Info
    command: Sequence[str | Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A server that answers; `mark` is what the one who started it left in the lock."""

    place: Place
    info: Info
    mark: str
    pid: int
    attached: bool
    seconds: float


# Runs a program that ends with the one who starts the server, whatever ends that one.
Spawn = Callable[[Program], Child]


class Engine(Protocol):
    """What PostgreSQL and Redis do each in their own way."""

    @property
    def name(self) -> str:
        """The name of its folder."""

    @property
    def title(self) -> str:
        """What messages call it."""

    @property
    def signals(self) -> tuple[signal.Signals, ...]:
        """What to send, in this order, until it has ended; `stop_timeout` apart."""

    async def launch(self, place: Place, lock: Lock, spawn: Spawn) -> Launch:
        """Prepare the data under the lock, and say how to run the server."""

    async def reach(self, info: Info, seconds: float) -> bool:
        """Try once to use the server, within some seconds.

        Raises:
            ServiceError: it answered with an error that time does not mend.
        """

    async def settle(self, info: Info) -> None:
        """Make what the policy promises in a server that answers; may be repeated."""

    def pid_file(self, place: Place) -> Path:
        """Say where the server notes its number, and removes it when it is told to stop."""

    def read_pid(self, place: Place) -> int | None:
        """Read the number of the server that lives, None while there is none."""


def noted_pid(file: Path) -> int | None:
    """Read a number from the first line of a file, None where there is none."""
    try:
        return int(file.read_text(encoding="utf-8").partition("\n")[0])
    except (FileNotFoundError, ValueError):
        return None
