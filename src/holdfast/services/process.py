"""Run a server as a child that cannot outlive its owner."""

import asyncio
import math
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Self, TypeVar

from holdfast.errors import ServiceError
from holdfast.services.lock import Lock, held
from holdfast.services.place import Place

T = TypeVar("T")

PAUSE = 0.01  # seconds between two looks at a fact; a server needs at least a few of these
DETACHED_WITHIN = 5.0  # seconds for the shell to read one line and end

WATCH = files(__package__).joinpath("watch.sh").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to run in the place of a server, as its user.

    Attributes:
        command: the program and its arguments.
        lock: inherited by the program and by all of its children.
        output: file descriptor for what it prints.
        signals: sent in this order to stop it.
    """

    command: Sequence[str | Path]
    place: Place
    lock: Lock
    output: int
    signals: Sequence[signal.Signals]


class Child:
    """A server, or initdb, behind `watch.sh`: it is stopped when this object or process ends."""

    def __init__(self, popen: subprocess.Popen[bytes], lock: Path, mark: str) -> None:
        self._popen = popen
        self._lock = lock
        self._mark = mark

    @classmethod
    def spawn(cls, program: Program, patience: float) -> Self:
        """Start it in a session of its own, so that Ctrl-C reaches only the owner.

        Args:
            program: what to run.
            patience: seconds between two of its signals.
        """
        place, account = program.place, program.place.account
        names = " ".join(each.name.removeprefix("SIG") for each in program.signals)
        seconds = str(max(1, math.ceil(patience)))
        try:
            popen = subprocess.Popen(
                ["/bin/sh", "-c", WATCH, "holdfast-watch", names, seconds, *program.command],
                stdin=subprocess.PIPE,
                stdout=program.output,
                stderr=program.lock.fd,
                cwd=place.root,
                env=_environment(),
                bufsize=0,
                start_new_session=True,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
        except (OSError, ValueError) as error:
            who = f"as the user {account.name} " if account else ""
            raise ServiceError(f"/bin/sh could not be run {who}in {place.root}: {error}") from error
        return cls(popen, place.lock, program.lock.mark)

    @property
    def status(self) -> int | None:
        """The exit status of the program, 128 + the signal that killed it, None while it runs."""
        return self._popen.poll()

    def release(self) -> None:
        """Have it stopped: nothing to wait for, and safe to repeat."""
        self._say(b"stop\n")

    def gone(self) -> bool:
        """Tell whether nothing is left of it, not even a child of its own."""
        return self.status is not None and not held(self._lock, self._mark)

    def detach(self) -> None:
        """Let it go on after this process; takes some milliseconds.

        Raises:
            ServiceError: it has ended.
        """
        self._say(b"detach\n")
        if status := self._popen.wait(DETACHED_WITHIN):
            raise ServiceError(f"the server ended while it was being detached: {describe(status)}")

    def kill(self) -> None:
        """Kill the shell and what has stayed in its process group, when signals did not help."""
        if self.status is None:
            os.killpg(self._popen.pid, signal.SIGKILL)

    def _say(self, line: bytes) -> None:
        """Write a line, not only close the pipe: processes that were forked hold it as well."""
        if self._popen.stdin and not self._popen.stdin.closed:
            with suppress(BrokenPipeError):  # it has ended by itself
                self._popen.stdin.write(line)
            self._popen.stdin.close()


async def until(fact: Callable[[], bool], seconds: float) -> bool:
    """Wait until `fact()` is true, at most so many seconds; answer whether it became true."""
    deadline = time.monotonic() + seconds
    while not fact():
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(PAUSE)
    return True


async def in_thread(work: Callable[[], T]) -> T:
    """Run blocking work in a thread; a cancelled caller waits for its end before it leaves.

    Otherwise the thread would go on behind the caller's back, in folders that others may have
    taken over by then.
    """
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def describe(status: int) -> str:
    """Say how a program ended, from its exit status as a shell reports it."""
    number = -status if status < 0 else status - 128
    try:
        return f"killed by {signal.Signals(number).name}"
    except ValueError:
        return f"exit status {status}"


def alive(pid: int) -> bool:
    """Tell whether a process has this number now, whoever owns it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def runs_in(pid: int, folder: Path) -> bool:
    """Tell whether a process has this working folder, as a PostgreSQL has its data."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == folder.resolve()
    except PermissionError:
        return False  # of another user, and no server may use what another user owns
    except FileNotFoundError:
        if Path("/proc/self/cwd").exists():
            return False
    # Not Linux: the folder is among the arguments.
    command = ["ps", "-p", str(pid), "-o", "command="]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return str(folder) in done.stdout


def _environment() -> dict[str, str]:
    """Drop PostgreSQL's variables, which would change the server, and translated messages."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return kept | {"LC_ALL": "C"}
