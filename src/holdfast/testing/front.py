"""A server in front of PostgreSQL, in a thread and a loop of its own.

So it goes on while the loop of a test stands still, under any plugin for asynchronous tests, and
for code that is not asynchronous.
"""

import asyncio
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from holdfast.errors import INVALID_AUTHORIZATION
from holdfast.testing.armed import Armed, Failure
from holdfast.testing.conversation import Conversation, Seen
from holdfast.testing.wire import (
    CANCEL_REQUEST,
    GSS_REQUEST,
    SSL_REQUEST,
    Line,
    Start,
    accept,
    make_error,
)

T = TypeVar("T")
HOST = "127.0.0.1"
_BACKLOG = 100
_CONNECTION_FAILURE = "08006"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where PostgreSQL listens: the folder of its socket, or a host; and the port."""

    host: str
    port: int

    async def dial(self) -> Line:
        """Connect, without TLS."""
        if self.host.startswith(("/", "@")):
            path = f"{self.host}/.s.PGSQL.{self.port}"
            return Line(*await asyncio.open_unix_connection(path))
        return Line(*await asyncio.open_connection(self.host, self.port))


class Front:
    """Listens, and passes each connection on.

    Args:
        place: of the server behind.
        context: for TLS, without which nobody is let in then.
    """

    def __init__(self, place: Place, context: ssl.SSLContext | None = None) -> None:
        self.armed = Armed()
        self.seen = Seen()
        self.refusal: Failure | None = None  # what new connections are answered with
        self._place = place
        self._context = context
        self._running = asyncio.Event()
        self._running.set()
        self._stopping = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._conversations: set[Conversation] = set()
        self._failed: list[BaseException] = []
        self._listening: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="holdfast-faults", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._reserved = _bind()
        self.port: int = self._reserved.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread.start()
        self.do(self._listen)

    def stop(self) -> None:
        """Cut all connections, and wait for the end of the thread."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._reserved.close()
        if self._failed:
            raise self._failed[0]

    def do(self, function: Callable[..., Awaitable[T]], *args: object) -> T:
        """Run a coroutine function in the thread, and wait for what it gives."""

        async def run() -> T:
            return await function(*args)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    async def pause(self) -> None:
        """Let nothing through."""
        self._running.clear()

    async def heal(self) -> None:
        """Let everything through."""
        self.refusal = None
        self._running.set()
        await self._listen()

    async def refuse(self, refusal: Failure | None) -> None:
        """Let nobody in: with an error of the server, or as if there were none."""
        self.refusal = refusal
        if refusal is None:
            await self._deafen()

    async def cut(self) -> None:
        """Cut every connection."""
        await asyncio.gather(*(each.cut() for each in self._conversations))

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._stay())

    async def _stay(self) -> None:
        await self._stopping.wait()
        await self._deafen()
        for task in self._tasks:
            task.cancel()
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others)

    async def _listen(self) -> None:
        if self._listening is None:
            self._listening = _bind(self.port)
            self._listening.listen(_BACKLOG)
            self._loop.add_reader(self._listening, self._accept, self._listening)

    async def _deafen(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            self._loop.remove_reader(listening)
            listening.close()

    def _accept(self, listening: socket.socket) -> None:
        # Not asyncio's server: it forgets a connection that comes while it is being closed.
        with suppress(BlockingIOError, ConnectionAbortedError):
            accepted, _ = listening.accept()
            accepted.setblocking(False)  # noqa: FBT003  -- its only parameter
            task = self._loop.create_task(self._receive(accepted))
            self._tasks.add(task)
            task.add_done_callback(lambda ended: self._end(ended, accepted))

    def _end(self, task: "asyncio.Task[None]", accepted: socket.socket) -> None:
        self._tasks.discard(task)
        accepted.close()  # of a task that was cancelled before it began
        if not task.cancelled() and (error := task.exception()):
            self._failed.append(error)

    async def _receive(self, accepted: socket.socket) -> None:
        client = await accept(accepted)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._serve(client)
                client.hang_up()
                # Closed before the client is, it might say that the connection was reset.
                await client.read_to_end()
        finally:
            await client.close()

    async def _serve(self, client: Line) -> None:
        encrypted = False
        while (start := await client.read_start()).code in {SSL_REQUEST, GSS_REQUEST}:
            await self._running.wait()
            if start.code == SSL_REQUEST and self._context:
                await client.write(b"S")
                await client.encrypt(self._context)
                encrypted = True
            else:
                await client.write(b"N")
        await self._running.wait()
        if start.code == CANCEL_REQUEST:
            await self._cancel(start)
        else:
            await self._admit(client, start, encrypted=encrypted)

    async def _admit(self, client: Line, start: Start, *, encrypted: bool) -> None:
        self.seen.counts["connections"] += 1
        if self.refusal is not None:
            await _turn_away(client, self.refusal.code, self.refusal.text)
        elif self._context and not encrypted:
            await _turn_away(client, INVALID_AUTHORIZATION, "no encryption, which is required here")
        else:
            await self._converse(client, start)

    async def _converse(self, client: Line, start: Start) -> None:
        try:
            server = await self._place.dial()
        except OSError as error:
            await _turn_away(client, _CONNECTION_FAILURE, f"the server behind: {error}")
            return
        conversation = Conversation(client, server, self.armed, self.seen, self._running.wait)
        self._conversations.add(conversation)
        try:
            await conversation.run(start)
        finally:
            self._conversations.discard(conversation)
            await server.close()

    async def _cancel(self, start: Start) -> None:
        self.seen.counts["cancels"] += 1
        server = await self._place.dial()
        try:
            await server.write(start.data)
            await server.read_to_end()
        finally:
            await server.close()


async def _turn_away(client: Line, code: str, text: str) -> None:
    await client.write(bytes(make_error("FATAL", code, text)))


def _bind(port: int = 0) -> socket.socket:
    """Take a port, and do not listen yet.

    One such socket stays for as long as the front is there: the port is nobody else's while
    connections are refused.
    """
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.setblocking(False)  # noqa: FBT003  -- its only parameter
    made.bind((HOST, port))
    return made
