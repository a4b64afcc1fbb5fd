"""Ask a PostgreSQL server what it is, what holds on a connection, and what time it has."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

_CLOCK = text("SELECT clock_timestamp()")
_PID = text("SELECT pg_backend_pid()")
_ROUNDS = 3  # the quickest counts: the first also prepares the statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The row of `facts.sql`: a server, the role, and the connection that asked.

    Attributes:
        pid: of the server's process that answered.
        version: `server_version_num`.
        version_text: the same for people.
        role: as whom the connection works.
        superuser: whether the role is one.
        bypasses_rls: whether row-level security does not hold for it.
        role_limit: connections that the role may have; -1 is any number.
        database_limit: connections that the database may have.
        standby: whether the server is in recovery.
        reads_only: whether transactions are READ ONLY unless they say otherwise.
        max_connections: of the server.
        reserved: of these, for superusers and for roles that may use them.
        others: clients that are not this role's in this database.
        others_in_database: those of them in this database.
        tls_version: of the connection that the server sees.
        tls_cipher: likewise.
    """

    pid: int
    version: int
    version_text: str
    role: str
    superuser: bool
    bypasses_rls: bool
    role_limit: int
    database_limit: int
    standby: bool
    reads_only: bool
    max_connections: int
    reserved: int
    others: int
    others_in_database: int
    tls_version: str
    tls_cipher: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """The server's clock against this machine's.

    Attributes:
        ahead: seconds that the server's is ahead; negative where it is behind.
        within: the error at most, half of the round trip.
    """

    ahead: float
    within: float


async def read_facts(connection: AsyncConnection) -> Facts:
    """Ask for everything that one row can tell."""
    return Facts(**(await connection.execute(_sql("facts"))).mappings().one())


async def read_limits(connection: AsyncConnection) -> Mapping[str, int]:
    """Ask for the limits of a statement here, in milliseconds; 0 is none."""
    rows = (await connection.execute(_sql("limits"))).all()
    return {row.name: row.milliseconds for row in rows}


async def find_shared(first: AsyncConnection, second: AsyncConnection) -> bool:
    """Tell whether a pooler was seen to give one client's server process to another one.

    False is no proof: there may be a process for everybody just now.

    Args:
        first: to the pooler, outside of a transaction.
        second: another one.
    """
    async with first.begin():
        one = await first.scalar(_PID)
    async with second.begin():
        if await second.scalar(_PID) == one:
            return True
        async with first.begin():
            return bool(await first.scalar(_PID) != one)


async def read_clock(connection: AsyncConnection) -> Clock:
    """Compare the clocks as NTP does: the server's answer against the middle of its round trip."""
    rounds = [await _ask_clock(connection) for _ in range(_ROUNDS)]
    return min(rounds, key=lambda each: each.within)


async def _ask_clock(connection: AsyncConnection) -> Clock:
    before = time.time()
    there: datetime = (await connection.execute(_CLOCK)).scalar_one()
    after = time.time()
    middle, half = (before + after) / 2, abs(after - before) / 2
    return Clock(ahead=there.timestamp() - middle, within=half)


@cache
def _sql(name: str) -> TextClause:
    return text(files(__package__).joinpath(f"{name}.sql").read_text(encoding="utf-8"))
