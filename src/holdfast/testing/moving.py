"""Connections that move from one event loop to the next, since each test has a loop of its own.

A driver ties its futures and its socket to the loop that it was made on. Here it is given
`AnyLoop`, which passes every call on to the loop that runs, and a `Wire` in place of asyncio's
transport, whose socket is watched by the loop that uses it.
"""

import asyncio
import select
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import Engine, event

if TYPE_CHECKING:
    from redis.asyncio import Redis

_CHUNK = 256 * 1024
_LATER = BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError


class Wire(asyncio.Transport):
    """A stream socket that is watched by one loop after the other."""

    def __init__(self, sock: socket.socket, protocol: asyncio.Protocol) -> None:
        self._told = {"socket": sock}
        super().__init__(self._told)
        self._socket = sock
        self._protocol = protocol
        self._waiting = bytearray()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reading = True

    def attach(self) -> None:
        """Let the running loop watch the socket, and no other one."""
        running = asyncio.get_running_loop()
        if self._loop is running or self.is_closing():
            return
        self._detach()
        self._loop = running
        self._watch()

    async def encrypt(self, context: ssl.SSLContext, host: str | None) -> None:
        """Speak TLS from now on.

        Raises:
            SSLError: the two do not agree, or the certificate is not trusted.
        """
        self._detach()
        self._socket = secured = context.wrap_socket(
            self._socket, do_handshake_on_connect=False, server_hostname=host
        )
        self._told.update(socket=secured, ssl_object=secured)
        try:
            await _shake_hands(secured)
        except BaseException:
            self.close()
            raise
        self.attach()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send what can be sent at once, and keep the rest for later."""
        if self.is_closing():
            return
        if not self._waiting:
            data = memoryview(data)[self._send(data) :]
        if data:
            self._waiting += data
            self._watch()

    def close(self) -> None:
        """Close at once; nothing that waits is sent."""
        self._lose(None)

    def abort(self) -> None:
        """Close at once."""
        self._lose(None)

    def is_closing(self) -> bool:
        """Tell whether the socket is closed."""
        return self._socket.fileno() < 0

    def is_quiet(self) -> bool:
        """Tell whether it is open, and nothing has arrived: its end neither."""
        if self.is_closing():
            return False
        arrived = select.poll()
        arrived.register(self._socket, select.POLLIN)
        return not arrived.poll(0)

    def get_protocol(self) -> asyncio.Protocol:
        """Give who is told about what arrives."""
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Tell another one from now on."""
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol

    def pause_reading(self) -> None:
        """Leave what arrives to the operating system."""
        self._reading = False
        self._watch()

    def resume_reading(self) -> None:
        """Read again."""
        self._reading = True
        self._watch()

    def _watch(self) -> None:
        if self._loop is None or self.is_closing():
            return
        number = self._socket.fileno()  # selectors describe a socket at length in errors, unseen
        self._loop.remove_reader(number)
        self._loop.remove_writer(number)
        if self._reading:
            self._loop.add_reader(number, self._receive)
        if self._waiting:
            self._loop.add_writer(number, self._send_waiting)

    def _detach(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._socket.fileno())
            self._loop.remove_writer(self._socket.fileno())
        self._loop = None

    def _receive(self) -> None:
        try:
            data = self._socket.recv(_CHUNK)  # with TLS a record, which is smaller
        except _LATER:
            return
        except OSError as error:
            self._lose(error)
            return
        if data:
            self._protocol.data_received(data)
        else:
            self._lose(None)

    def _send(self, data: bytes | bytearray | memoryview) -> int:
        try:
            return self._socket.send(data)
        except _LATER:
            return 0
        except OSError as error:
            self._lose(error)
            return len(data)

    def _send_waiting(self) -> None:
        del self._waiting[: self._send(self._waiting)]
        if not self._waiting:
            self._watch()

    def _lose(self, error: Exception | None) -> None:
        if self.is_closing():
            return
        self._detach()
        self._socket.close()
        self._protocol.connection_lost(error)


class AnyLoop:
    """Stands for whichever loop runs, for a driver that asks for one when it connects."""

    def __init__(self) -> None:
        self.last: asyncio.AbstractEventLoop | None = None
        self._wires: list[Wire] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio.get_running_loop(), name)

    def attach(self) -> None:
        """Let the running loop watch every connection that was made here."""
        self.last = asyncio.get_running_loop()
        for wire in self._wires:
            wire.attach()

    def is_quiet(self) -> bool:
        """Tell whether there are connections, and all are open and quiet."""
        return bool(self._wires) and all(wire.is_quiet() for wire in self._wires)

    def create_future(self) -> "asyncio.Future[Any]":
        """Make a future of the running loop."""
        return asyncio.get_running_loop().create_future()

    def is_closed(self) -> bool:
        """Say no: there will be another loop."""
        return False

    async def create_unix_connection(
        self, protocol: Callable[[], asyncio.Protocol], path: str
    ) -> tuple[Wire, asyncio.Protocol]:
        """Connect to a Unix socket."""
        return await self._connect(socket.socket(socket.AF_UNIX), path, protocol)

    async def create_connection(
        self, protocol: Callable[[], asyncio.Protocol], host: str, port: int
    ) -> tuple[Wire, asyncio.Protocol]:
        """Connect over TCP, to the first of the host's addresses that answers."""
        error: OSError | None = None
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for family, kind, number, _, address in found:
            try:
                return await self._connect(socket.socket(family, kind, number), address, protocol)
            except OSError as refused:
                error = refused
        raise error or OSError(f"{host} has no address")

    async def start_tls(
        self,
        wire: Wire,
        _protocol: asyncio.Protocol,
        context: ssl.SSLContext,
        *,
        server_hostname: str | None = None,
    ) -> Wire:
        """Encrypt a connection that was made here."""
        await wire.encrypt(context, server_hostname)
        return wire

    async def _connect(
        self, sock: socket.socket, address: Any, make: Callable[[], asyncio.Protocol]
    ) -> tuple[Wire, asyncio.Protocol]:
        sock.setblocking(False)  # noqa: FBT003
        try:
            await asyncio.get_running_loop().sock_connect(sock, address)
        except BaseException:
            sock.close()
            raise
        protocol = make()
        wire = Wire(sock, protocol)
        wire.attach()
        self._wires = [*(each for each in self._wires if not each.is_closing()), wire]
        protocol.connection_made(wire)
        return wire, protocol


async def _shake_hands(sock: ssl.SSLSocket) -> None:
    loop, arrived = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sock.fileno(), arrived.set)
    try:
        while True:
            arrived.clear()
            try:
                return sock.do_handshake()
            except ssl.SSLWantReadError:  # what is sent here always fits into a new socket
                await arrived.wait()
    finally:
        loop.remove_reader(sock.fileno())


def make_movable(engine: Engine) -> AnyLoop:
    """Let the connections of an engine be used by one loop after the other."""
    loop = AnyLoop()

    def connect(dialect: Any, _entry: object, _arguments: object, options: dict[str, Any]) -> None:
        loop.attach()
        if dialect.driver == "asyncpg":
            options["loop"] = loop

    def attach(_connection: object, _entry: object, _proxy: object) -> None:
        loop.attach()

    def ping(connection: Any) -> bool:
        loop.attach()
        return do_ping(connection)

    pool: Any = engine.pool
    pool.any_loop = True
    do_ping = engine.dialect.do_ping
    engine.dialect.do_ping = ping  # type: ignore[method-assign, assignment]
    event.listen(engine, "do_connect", connect)
    event.listen(engine, "checkout", attach, insert=True)
    return loop


def make_redis_movable(client: "Redis") -> AnyLoop:
    """Let the connections of a client be used by one loop after the other."""
    loop = AnyLoop()
    pool = client.connection_pool

    class Moving(pool.connection_class):  # type: ignore[misc, name-defined]
        async def _connect(self) -> None:
            reader = asyncio.StreamReader(loop=cast("asyncio.AbstractEventLoop", loop))
            arguments = (reader, None, cast("asyncio.AbstractEventLoop", loop))
            async with asyncio.timeout(self.socket_connect_timeout):
                wire, protocol = await self._open(partial(asyncio.StreamReaderProtocol, *arguments))
                if hasattr(self, "ssl_context"):
                    await wire.encrypt(self.ssl_context.get(), self.host)
            self._reader = reader
            self._writer = asyncio.StreamWriter(wire, protocol, reader, arguments[-1])
            await self.on_connect()

        async def _open(self, make: Callable[[], asyncio.Protocol]) -> Any:
            if hasattr(self, "path"):
                return await loop.create_unix_connection(make, self.path)
            return await loop.create_connection(make, self.host, self.port)

        async def send_packed_command(self, *args: Any, **kwargs: Any) -> None:
            loop.attach()
            await super().send_packed_command(*args, **kwargs)

    pool.connection_class = Moving
    return loop
