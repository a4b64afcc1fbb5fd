"""A database of each kind with a table of notes, and a wire on which everything can be seen."""

import asyncio
import re
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from holdfast.database import Database, DatabasePolicy
from holdfast.events import Events
from holdfast.urls import parse

DRIVERS = ("asyncpg", "psycopg")
NOTES = "CREATE TABLE notes (id integer PRIMARY KEY, body text UNIQUE)"


def with_driver(url: str, driver: str) -> str:
    return url.replace("postgresql://", f"postgresql+{driver}://", 1)


@pytest.fixture(params=DRIVERS)
def postgres_url(request, database_url: str) -> str:
    """Give an empty PostgreSQL database, once for each driver."""
    return with_driver(database_url, request.param)


@pytest.fixture(params=[*DRIVERS, "sqlite"])
def any_url(request, tmp_path: Path) -> str:
    """Give an empty database, once for each driver and once as a SQLite file."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/notes.db"
    return with_driver(request.getfixturevalue("database_url"), request.param)


@pytest.fixture
async def db(postgres_url: str) -> AsyncIterator[Database]:
    """Give PostgreSQL with the table of notes; afterwards no connection may be in use."""
    async for each in opened(postgres_url):
        yield each


@pytest.fixture
async def any_db(any_url: str) -> AsyncIterator[Database]:
    """Give a database with the table of notes; afterwards no connection may be in use."""
    async for each in opened(any_url):
        yield each


async def opened(url: str) -> AsyncIterator[Database]:
    async with Database(url, policy=DatabasePolicy(), events=Events(lambda _: None)) as db:
        async with db.engine.begin() as connection:
            await connection.execute(text(NOTES))
        yield db
        assert db.engine.pool.checkedout() == 0


Look = Callable[[str], Awaitable[list[object]]]


@pytest.fixture
def look(request) -> Look:
    """Ask the database from outside, on a connection of its own; gives the first column."""
    name = "any_url" if "any_url" in request.fixturenames else "database_url"
    engine = create_async_engine(parse(request.getfixturevalue(name)).engine, poolclass=NullPool)

    async def ask(sql: str) -> list[object]:
        async with engine.connect() as connection:
            return list((await connection.execute(text(sql))).scalars())

    return ask


class Wire:
    """Passes bytes between a driver and the server, counts messages, and can fall silent."""

    def __init__(self, socket: str) -> None:
        self.socket = socket
        self.sent: list[bytes] = []
        self.answers: Counter[bytes] = Counter()
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Cut all connections."""
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def url(self, url: str) -> str:
        """Give the same database's URL, through this wire."""
        engine = parse(url).engine.difference_update_query(["host", "port"])
        return engine.set(host="127.0.0.1", port=self.port).render_as_string(hide_password=False)

    def clear(self) -> None:
        """Forget what was seen."""
        self.sent.clear()
        self.answers.clear()

    def thaw(self) -> None:
        """Let everything through again."""
        self._open.set()

    def freeze(self) -> None:
        """Let nothing through any more; connections stay open."""
        self._open.clear()

    @property
    def round_trips(self) -> int:
        """How often the server said that it is ready for the next query."""
        return self.answers[b"Z"]

    @property
    def transactions(self) -> list[str]:
        """The words that begin and end transactions, in the order sent."""
        found = re.findall(rb"\b(BEGIN|COMMIT|ROLLBACK)\b", b" ".join(self.sent))
        return [word.decode() for word in found]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._pass(reader, writer))
        self._tasks.add(task)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_unix_connection(self.socket)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._copy_requests(reader, to_server))
                group.create_task(self._copy_answers(from_server, writer))
        finally:
            for each in (writer, to_server):
                each.close()

    async def _copy_requests(self, source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            await self._open.wait()
            self.sent.append(data)
            to.write(data)
        to.close()

    async def _copy_answers(self, source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            await self._open.wait()
            # The answer to SSLRequest is one byte without a length.
            self._count(data if len(data) > 1 else b"")
            to.write(data)
        to.close()

    def _count(self, data: bytes) -> None:
        at = 0
        while at + 5 <= len(data):
            self.answers[data[at : at + 1]] += 1
            at += 1 + struct.unpack_from("!i", data, at + 1)[0]


@pytest.fixture
async def wire(database_url: str) -> AsyncIterator[Wire]:
    """Give a wire to the server of `database_url`."""
    url = parse(database_url).engine
    wire = Wire(f"{url.query['host']}/.s.PGSQL.{url.query.get('port', 5432)}")
    await wire.start()
    yield wire
    await wire.stop()
