"""Read and write the messages of PostgreSQL's protocol, version 3, the long ones in pieces.

A message is a letter, its length and a body; the first of a connection has no letter.
https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

import asyncio
import socket
import ssl
import struct
from contextlib import suppress
from dataclasses import dataclass

CANCEL_REQUEST = 80877102
SSL_REQUEST = 80877103
GSS_REQUEST = 80877104

_HEAD = 16_384  # bytes of a body that are looked at; statements are compared by their beginning
_PIECE = 65_536  # bytes that are passed on at once
_LONGEST_START = 10_000  # bytes, the server's own limit


@dataclass(frozen=True, slots=True)
class Message:
    """A message whose body may not be there yet in full.

    Attributes:
        kind: its letter; the same one may mean another thing from the other side.
        head: the beginning of the body.
        rest: bytes of the body that are still to be read.
    """

    kind: bytes
    head: bytes
    rest: int = 0

    def __bytes__(self) -> bytes:
        length = 4 + len(self.head) + self.rest
        return self.kind + struct.pack("!I", length) + self.head

    def strings(self, count: int) -> list[str]:
        """Give the strings that the body begins with, the last one as far as it is there."""
        parts = self.head.split(b"\0", count)[:count]
        return [part.decode("utf-8", "replace") for part in parts]


@dataclass(frozen=True, slots=True)
class Start:
    """The first message of a connection: who wants what, or a request before that."""

    code: int
    data: bytes


class Line:
    """One end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._hung_up = False

    async def read_start(self) -> Start:
        """Give the first message."""
        length, code = struct.unpack("!II", await self._reader.readexactly(8))
        if not 8 <= length <= _LONGEST_START:
            raise ConnectionError("this is not PostgreSQL's protocol")
        rest = await self._reader.readexactly(length - 8)
        return Start(code, struct.pack("!II", length, code) + rest)

    async def read(self) -> Message:
        """Give the next message; of a long one the rest is still to be passed on or skipped."""
        header = await self._reader.readexactly(5)
        length = struct.unpack("!I", header[1:])[0] - 4
        head = await self._reader.readexactly(min(length, _HEAD))
        return Message(header[:1], head, length - len(head))

    async def read_to_end(self) -> None:
        """Wait until the other side hangs up, whatever it says before that."""
        while await self._reader.read(_PIECE):
            pass

    async def pass_on(self, message: Message, to: "Line") -> None:
        """Write a message of this line to another one."""
        await to.write(bytes(message))
        rest = message.rest
        while rest:
            piece = await self._reader.readexactly(min(rest, _PIECE))
            await to.write(piece)
            rest -= len(piece)

    async def skip(self, message: Message) -> None:
        """Read what is left of a message."""
        rest = message.rest
        while rest:
            rest -= len(await self._reader.readexactly(min(rest, _PIECE)))

    async def write(self, data: bytes) -> None:
        """Write, and wait while the other side does not read."""
        if self._hung_up:
            raise ConnectionError("this side has hung up")
        self._writer.write(data)
        await self._writer.drain()

    async def encrypt(self, context: ssl.SSLContext) -> None:
        """Go on in TLS."""
        await self._writer.start_tls(context)

    def hang_up(self) -> None:
        """Say that nothing follows; the other side may still answer, except in TLS."""
        self._hung_up = True
        with suppress(OSError):
            if self._writer.can_write_eof():
                self._writer.write_eof()
            else:
                self._writer.close()

    async def close(self) -> None:
        """Close at once, and free the socket."""
        self._writer.transport.abort()
        with suppress(OSError, ssl.SSLError):
            await self._writer.wait_closed()


async def accept(accepted: socket.socket) -> Line:
    """Make the server's end of a connection that was accepted."""
    # asyncio does so itself only for sockets that were made by the protocol's name. Each answer is
    # several messages here, and the next would wait 40 ms for the client to say that it got one.
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    ends: list[Line] = []
    protocol = asyncio.StreamReaderProtocol(
        asyncio.StreamReader(), lambda reader, writer: ends.append(Line(reader, writer))
    )
    await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, accepted)
    return ends[0]


def make_query(sql: str) -> Message:
    """Make the message that asks for a statement in the simple protocol."""
    return Message(b"Q", sql.encode() + b"\0")


def make_execute(portal: str) -> Message:
    """Make the message that asks for all rows of a portal, which Bind has made."""
    return Message(b"E", portal.encode() + b"\0\0\0\0\0")


def make_error(severity: str, code: str, text: str) -> Message:
    """Make the server's answer that something failed."""
    fields = (("S", severity), ("V", severity), ("C", code), ("M", text))
    return Message(b"E", b"".join(f"{key}{value}\0".encode() for key, value in fields) + b"\0")


SYNC = Message(b"S", b"")
