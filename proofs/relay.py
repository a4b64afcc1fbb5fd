"""One address for servers that change places, as a proxy or a virtual IP gives it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path


class Relay:
    """Passes on what comes to a port of this machine to a unix socket.

    Switched over, it leads new connections elsewhere and leaves those that are open: they end
    with the server that they lead to.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> asyncio.Server:
        """Begin to listen."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def stop(self) -> None:
        """End every connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            far_reader, far_writer = await asyncio.open_unix_connection(self.target)
        except OSError:
            writer.close()
            return
        pumps = [pump(reader, far_writer), pump(far_reader, writer)]
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*pumps)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on until one end is closed, then close the other."""
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def relay(target: Path) -> AsyncIterator[Relay]:
    """Listen while the block runs."""
    made = Relay(target)
    server = await made.serve()
    try:
        yield made
    finally:
        server.close()
        await made.stop()
