"""The PostgreSQL of a round, killed and frozen with all its processes, and watched from outside."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import asyncpg
import msgspec
from proofs.folders import open_folder
from proofs.state_log import Log, Moves
from proofs.state_stores import TABLES

from holdfast.errors import ServiceError
from holdfast.services import PostgresPolicy, PostgresServer

SETTINGS = {"fsync": "off"}  # processes are killed, no machine; synchronous_commit stays on
ANSWERS = 2.0  # seconds: what looks from outside is not held up by a frozen server
ATTEMPTS = 50  # at a start: processes of the PostgreSQL that was killed may be there for a moment
PROCESSES = "SELECT pid FROM pg_stat_activity"


@dataclass(slots=True)
class Postgres:
    """A PostgreSQL that is killed and frozen with all its processes."""

    server: PostgresServer
    _frozen: list[int] = field(default_factory=list)

    async def connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        """Connect as a superuser."""
        return await asyncpg.connect(
            self.server.url("postgres"), timeout=ANSWERS, command_timeout=ANSWERS
        )

    async def kill(self) -> None:
        """End every process with SIGKILL."""
        await self._signal(signal.SIGKILL)

    async def start(self) -> None:
        """Start it again; it recovers by what it has written."""
        for attempt in range(ATTEMPTS):
            try:
                await self.server.start()
            except ServiceError:
                if attempt + 1 == ATTEMPTS:
                    raise
                await asyncio.sleep(0.05)
            else:
                return

    async def freeze(self) -> None:
        """Stop every process where it is."""
        self._frozen = await self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        send(signal.SIGCONT, self._frozen)
        self._frozen = []

    async def make_tables(self) -> None:
        """Make the tables of a round, empty."""
        owner = await asyncpg.connect(self.server.url("owner"))
        try:
            for statement in TABLES:
                await owner.execute(statement)
        finally:
            await owner.close()

    async def _signal(self, number: signal.Signals) -> list[int]:
        connection = await self.connect()
        try:
            # First the one that makes others is stopped, so that there are no more.
            send(signal.SIGSTOP, [self.server.pid])
            found = [each["pid"] for each in await connection.fetch(PROCESSES)]
            pids = [*found, self.server.pid]
            send(number, pids)
        finally:
            connection.terminate()
        return pids


@asynccontextmanager
async def own_postgres() -> AsyncIterator[Postgres]:
    """Give a PostgreSQL that may be killed: its data outlive it."""
    with open_folder() as folder:
        server = PostgresServer(folder, policy=PostgresPolicy(settings=SETTINGS))
        async with server:
            yield Postgres(server)


@asynccontextmanager
async def watching(postgres: Postgres, log: Log) -> AsyncIterator[None]:
    """Look at the rows from outside all the time, and note each change."""
    task = asyncio.create_task(watch(postgres, log))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def watch(postgres: Postgres, log: Log) -> None:
    """Look until it is cancelled; again, when the server is away."""
    known: dict[int, Moves] = {}
    while True:
        with suppress(
            OSError, TimeoutError, ServiceError, asyncpg.PostgresError, asyncpg.InterfaceError
        ):
            connection = await postgres.connect()
            try:
                while True:
                    began = time.monotonic_ns()
                    rows = await read_rows(connection)
                    for key in sorted({*known, *rows}):
                        if known.get(key) != rows.get(key):
                            log.looked("row", key, began, rows.get(key))
                    known = rows
                    await asyncio.sleep(0.02)
            finally:
                connection.terminate()
        await asyncio.sleep(0.02)


async def read_rows(connection: "asyncpg.Connection[asyncpg.Record]") -> dict[int, Moves]:
    """Give the moves of each game."""
    rows = await connection.fetch("SELECT id, state FROM games")
    return {each["id"]: parse(each["state"])["moves"] for each in rows}


async def read_history(
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> list[tuple[int, Moves]]:
    """Give the games that were finished."""
    rows = await connection.fetch("SELECT game, moves FROM history ORDER BY id")
    return [(each["game"], tuple(msgspec.json.decode(each["moves"]))) for each in rows]


def parse(state: str) -> dict[str, Moves]:
    """Give the moves of a state."""
    return msgspec.json.decode(state, type=dict[str, Moves])


def send(number: signal.Signals, pids: list[int]) -> None:
    """Send a signal to processes, of which some may have ended."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
