"""Let many tasks write while everything goes wrong, and count what is stored.

usage: storm.py [--seconds S] [--tasks T] [--seed N]

On a PostgreSQL of its own, through both drivers: back ends are terminated, the server is
restarted, tasks are cancelled in every way there is. Afterwards every acknowledged write is
there once, no write that failed is, no connection is left, and memory has not grown. It prints
the figures, and ends with 1 where anything of that is not so.
"""

import argparse
import asyncio
import gc
import os
import random
import secrets
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import asyncpg
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.database import Database, DatabasePolicy
from holdfast.errors import CommitUnknownError, HoldfastError
from holdfast.events import Event, Events
from holdfast.pool import PoolPolicy
from holdfast.retry import RetryPolicy
from holdfast.services import PostgresServer

DRIVERS = ("asyncpg", "psycopg")
POOL = PoolPolicy(min_size=2, max_size=10, timeout=10)
RETRY = RetryPolicy(reconnects=3, reconnect_delay=0.5)
CANCELLED_WITHIN = 0.2  # seconds
KILLS_EVERY = 0.3
RESTARTS_EVERY = 8.0
SETTLES_WITHIN = 30.0
GROWTH = 20 * 2**20  # bytes
UNKNOWN, STORED, FAILED = range(3)  # fates of a write
# Autovacuum comes and goes as it likes.
OTHERS = (
    "FROM pg_stat_activity WHERE datname = 'app' AND pid <> pg_backend_pid()"
    " AND backend_type = 'client backend'"
)
INSERT = text("INSERT INTO written (number, half) VALUES (:number, :half)")


@dataclass(slots=True)
class Ledger:
    """What became of each write, as its writer was told."""

    # A byte for each write, by its number: what is measured here is not the storm's own memory.
    fates: bytearray = field(default_factory=bytearray)
    said: Counter[str] = field(default_factory=Counter)

    def number(self) -> int:
        """Give the number of another write."""
        self.fates.append(UNKNOWN)
        return len(self.fates) - 1

    def note(self, number: int, fate: int) -> None:
        """Say what became of a write."""
        self.fates[number] = fate

    def all(self, fate: int) -> set[int]:
        """Give the numbers of those that had the same fate."""
        return {number for number, each in enumerate(self.fates) if each == fate}


async def write(session: AsyncSession, number: int) -> None:
    """Write two rows that belong together."""
    for half in ("a", "b"):
        await session.execute(INSERT, {"number": number, "half": half})


async def through_run(db: Database, number: int) -> None:
    """Leave it to the library to do it again."""
    await db.run(write, number)


async def through_begin(db: Database, number: int) -> None:
    """Do it once."""
    async with db.begin() as session:
        await write(session, number)


async def through_session(db: Database, number: int) -> None:
    """Commit by hand."""
    async with db.session() as session:
        await write(session, number)
        await session.commit()


WAYS = (through_run, through_run, through_begin, through_session)
Unit = Callable[[], Awaitable[None]]


async def in_peace(unit: Unit, _chance: random.Random) -> None:
    """Cancel nothing."""
    await unit()


async def cancelled(unit: Unit, chance: random.Random) -> None:
    """Cancel the task."""
    task = asyncio.ensure_future(unit())
    await asyncio.wait({task}, timeout=chance.uniform(0, CANCELLED_WITHIN))
    task.cancel()
    await task


async def timed_out(unit: Unit, chance: random.Random) -> None:
    """Give it too little time."""
    async with asyncio.timeout(chance.uniform(0, CANCELLED_WITHIN)):
        await unit()


async def left(unit: Unit, chance: random.Random) -> None:
    """Leave it by anyio's scopes, one in the other."""
    with anyio.fail_after(CANCELLED_WITHIN):
        with anyio.move_on_after(chance.uniform(0, CANCELLED_WITHIN)) as inner:
            await unit()
        if inner.cancelled_caught:
            raise TimeoutError


ENDINGS = (in_peace, in_peace, in_peace, cancelled, timed_out, left)


async def work(db: Database, ledger: Ledger, chance: random.Random, until: float) -> None:
    """Write one thing after the other, and note what was said of each."""
    while time.monotonic() < until:
        number = ledger.number()
        unit = partial(chance.choice(WAYS), db, number)
        try:
            await chance.choice(ENDINGS)(unit, chance)
        except (CommitUnknownError, asyncio.CancelledError, TimeoutError) as error:
            # Whoever was cancelled does not know how far it had come.
            ledger.said[type(error).__name__] += 1
        except (SQLAlchemyError, HoldfastError) as error:
            ledger.note(number, FAILED)
            ledger.said[type(error).__name__] += 1
        else:
            ledger.note(number, STORED)


class Chaos:
    """Ends back ends, and restarts the server."""

    def __init__(self, server: PostgresServer, chance: random.Random) -> None:
        self._server = server
        self._chance = chance
        self.terminated = self.restarts = 0

    async def run(self, until: float) -> None:
        """Do harm until then."""
        restart_at = time.monotonic() + RESTARTS_EVERY
        while time.monotonic() < until:
            await asyncio.sleep(self._chance.uniform(0, 2 * KILLS_EVERY))
            if time.monotonic() > restart_at:
                await self._server.stop()
                await self._server.start()
                self.restarts += 1
                restart_at = time.monotonic() + RESTARTS_EVERY
            else:
                await self._terminate(self._chance.choice((1, 1, 3)))

    async def _terminate(self, number: int) -> None:
        found = await ask(
            self._server,
            f"SELECT pg_terminate_backend(pid) FROM"
            f" (SELECT pid {OTHERS} ORDER BY random() LIMIT {number}) AS chosen",
        )
        self.terminated += len(found)


async def ask(server: PostgresServer, sql: str) -> list[asyncpg.Record]:
    """Ask the server on a connection of nobody else's."""
    connection = await asyncpg.connect(server.url("postgres"))
    try:
        found: list[asyncpg.Record] = await connection.fetch(sql)
        return found
    finally:
        await connection.close()


def resident() -> int:
    """Give the bytes that this process has in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def open_files() -> int:
    """Count the files and sockets that this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def storm(options: argparse.Namespace) -> list[str]:
    """Run it and print the figures; give what is wrong."""
    with TemporaryDirectory(prefix="hf-storm-") as folder:
        return await storm_on(PostgresServer(Path(folder)), options)


async def storm_on(server: PostgresServer, options: argparse.Namespace) -> list[str]:
    """Run it on a server that is not started yet."""
    chance = random.Random(options.seed)
    ledger, told = Ledger(), Counter[str]()

    def count(event: Event) -> None:
        told[type(event).__name__] += 1

    async with server:
        await ask(
            server, "CREATE TABLE written (number int, half text, PRIMARY KEY (number, half))"
        )
        await ask(server, "GRANT ALL ON written TO owner")
        before = open_files()
        databases = [
            Database(
                server.url("owner").replace("postgresql", f"postgresql+{driver}", 1),
                policy=DatabasePolicy(pool=POOL, retry=retry),
                events=Events(count),
            )
            for driver in DRIVERS
            for retry in (RETRY, RetryPolicy(reconnects=3, reconnect_delay=0.5, resolve=True))
        ]
        for db in databases:
            await db.open()
        memory = await through(options, databases, ledger, server, chance)
        wrong = await settle(databases, server)
        for db in databases:
            await db.close()
        wrong += await leave(server)
        wrong += await compare(server, ledger)
        gc.collect()  # what was cancelled while it connected has its socket until then
        if open_files() > before:
            wrong.append(f"{open_files() - before} files or sockets are still open")
    if memory[1] - memory[0] > GROWTH:
        wrong.append(f"memory grew by {(memory[1] - memory[0]) / 2**20:.0f} MB")
    print(f"  events: {dict(told)}")
    print(f"  memory: {memory[0] / 2**20:.0f} MB after a third, {memory[1] / 2**20:.0f} at the end")
    return wrong


async def through(
    options: argparse.Namespace,
    databases: list[Database],
    ledger: Ledger,
    server: PostgresServer,
    chance: random.Random,
) -> tuple[int, int]:
    """Let the tasks work through the storm; give the memory after a third of it and at its end."""
    began = time.monotonic()
    until = began + options.seconds
    chaos = Chaos(server, chance)
    async with asyncio.TaskGroup() as group:
        group.create_task(chaos.run(until))
        for task in range(options.tasks):
            own = random.Random(chance.random())
            group.create_task(work(databases[task % len(databases)], ledger, own, until))
        await asyncio.sleep(options.seconds / 3)
        gc.collect()
        third = resident()
    gc.collect()
    took = time.monotonic() - began
    writes = len(ledger.fates)
    print(f"  {writes} writes by {options.tasks} tasks in {took:.0f} s, seed {options.seed}")
    print(f"  {chaos.terminated} back ends terminated, {chaos.restarts} restarts")
    stored, unknown, failed = (ledger.fates.count(each) for each in (STORED, UNKNOWN, FAILED))
    print(f"  acknowledged {stored}, cancelled or unknown {unknown}, failed {failed}")
    print(f"  {dict(ledger.said)}")
    return third, resident()


async def settle(databases: list[Database], server: PostgresServer) -> list[str]:
    """Wait until nothing goes on any more; give what still does after a while."""

    async def look() -> list[str]:
        running = await ask(server, f"SELECT query {OTHERS} AND state <> 'idle'")
        held = [f"still held: {holder}" for db in databases for holder in db.holders()]
        return held + [f"still running: {record['query']}" for record in running]

    return await last_of(look)


async def last_of(look: Callable[[], Awaitable[list[str]]]) -> list[str]:
    """Look until there is nothing any more, or time is up; give what was there the last time."""
    found = await look()
    with suppress(TimeoutError):
        async with asyncio.timeout(SETTLES_WITHIN):
            while found:
                found = await look()
    return found


async def compare(server: PostgresServer, ledger: Ledger) -> list[str]:
    """Compare what was said with what is stored, now that every connection is closed."""
    rows = await ask(server, "SELECT number, count(*) AS halves FROM written GROUP BY number")
    there = {record["number"]: record["halves"] for record in rows}
    stored, unknown, failed = (ledger.all(each) for each in (STORED, UNKNOWN, FAILED))
    print(f"  {len(unknown & set(there))} of the cancelled or unknown are stored")
    found = {
        "acknowledged and not stored": stored - set(there),
        "failed and stored": failed & set(there),
        "stored by half": {number for number, halves in there.items() if halves != 2},
        "stored and never written": set(there) - stored - unknown - failed,
    }
    return [f"{what}: {sorted(numbers)[:10]}" for what, numbers in found.items() if numbers]


async def leave(server: PostgresServer) -> list[str]:
    """Wait until every connection has ended on the server too; give those that do not."""

    async def look() -> list[str]:
        left = await ask(server, f"SELECT pid, state, query {OTHERS}")
        return [f"still connected: {dict(record)}" for record in left]

    return await last_of(look)


def read(arguments: list[str]) -> argparse.Namespace:
    """Read the command line: ten minutes and 200 tasks where it says nothing else."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Run the storm; return 1 where something was lost, doubled or left behind."""
    wrong = asyncio.run(storm(read(arguments)))
    for each in wrong:
        print(f"  WRONG: {each}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
