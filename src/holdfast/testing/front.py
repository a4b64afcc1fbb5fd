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

from holdfast.testing.armed import Armed
from holdfast.testing.conversation import Conversation, Seen
from holdfast.testing.wire import (
    CANCEL_REQUEST,
    GSS_REQUEST,
    SSL_REQUEST,
    Line,
    Start,
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
        """Connect."""
        if self.host.startswith(("/", "@")):
            path = f"{self.host}/.s.PGSQL.{self.port}"
            return Line(*await asyncio.open_unix_connection(path))
        return Line(*await asyncio.open_connection(self.host, self.port))


class Front:
    """Listens, and passes each connection on.

    Args:
        place: of the server behind.
        context: for TLS with those who ask for it.
    """

    def __init__(self, place: Place, context: ssl.SSLContext | None = None) -> None:
        self.armed = Armed()
        self.seen = Seen()
        self.refusal: str | None = None  # the SQLSTATE that new connections are answered with
        self._place = place
        self._context = context
        self._running = asyncio.Event()
        self._running.set()
        self._stopping = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._conversations: set[Conversation] = set()
        self._failed: list[BaseException] = []
        self._server: asyncio.Server | None = None
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

    async def refuse(self, code: str | None) -> None:
        """Let nobody in: with an error of the server, or as if there were none."""
        self.refusal = code
        if code is None:
            await self._deafen()

    async def cut(self) -> None:
        """Cut every connection; those that the server owes nothing are ended there before."""
        for each in self._conversations:
            each.hang_up()
        idle = [each.ended.wait() for each in self._conversations if each.idle]
        await asyncio.gather(*idle)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        await self._stopping.wait()
        await self._deafen()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _listen(self) -> None:
        if self._server is None:
            listening = _bind(self.port)
            self._server = await asyncio.start_server(
                self._accept, sock=listening, backlog=_BACKLOG
            )

    async def _deafen(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._receive(Line(reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._failed.append(error)

    async def _receive(self, client: Line) -> None:
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                start = await self._greet(client)
                await self._running.wait()
                await self._admit(client, start)
        finally:
            await client.close()

    async def _greet(self, client: Line) -> Start:
        """Give what the client begins with, once it has asked for encryption."""
        while (start := await client.read_start()).code in {SSL_REQUEST, GSS_REQUEST}:
            await self._running.wait()
            if start.code == SSL_REQUEST and self._context:
                await client.write(b"S")
                await client.encrypt(self._context)
            else:
                await client.write(b"N")
        return start

    async def _admit(self, client: Line, start: Start) -> None:
        if start.code == CANCEL_REQUEST:
            await self._cancel(start)
            return
        self.seen.counts["connections"] += 1
        if self.refusal is not None:
            await _turn_away(client, self.refusal, "refuse() of holdfast.testing.faults")
            return
        try:
            server = await self._place.dial()
        except OSError as error:
            await _turn_away(client, _CONNECTION_FAILURE, f"the server behind: {error}")
            return
        try:
            await self._converse(client, server, start)
        finally:
            await server.close()

    async def _converse(self, client: Line, server: Line, start: Start) -> None:
        conversation = Conversation(client, server, self.armed, self.seen, self._running.wait)
        self._conversations.add(conversation)
        try:
            await conversation.run(start)
        finally:
            self._conversations.discard(conversation)
            conversation.ended.set()

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
    made.bind((HOST, port))
    return made
