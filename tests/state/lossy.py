"""A way to a Redis on which answers are lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class LossyWay:
    """Passes bytes on to a port, and loses the answers that it is told to."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self._to = port
        self._lose = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where a client connects to."""
        return f"redis://127.0.0.1:{self.port}/0"

    def lose_answers(self, count: int = 1) -> None:
        """Cut the connection of the next answer in place of passing it on, so many times."""
        self._lose = count

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on one connection."""
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with suppress(OSError, asyncio.CancelledError):
            there = await asyncio.open_connection("127.0.0.1", self._to)
            asking = asyncio.create_task(self._pump(reader, there[1]))
            try:
                await self._answer(there[0], writer)
            finally:
                asking.cancel()
                there[1].close()
                writer.close()

    async def end(self) -> None:
        """End every connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            # What a client sends before its first command is answered like any other.
            if self._lose and not data.startswith((b"+OK", b"%")):
                self._lose -= 1
                return
            writer.write(data)
            await writer.drain()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()


@asynccontextmanager
async def lossy_way(port: int) -> AsyncIterator[LossyWay]:
    """Listen while the block runs."""
    way = LossyWay(port)
    server = await asyncio.start_server(way.accept, "127.0.0.1", 0)
    way.port = server.sockets[0].getsockname()[1]
    try:
        yield way
    finally:
        server.close()
        await way.end()
