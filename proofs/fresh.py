"""An empty database for one side of a proof, and a connection that looks at it from outside."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import asyncpg
from sqlalchemy import make_url

from holdfast.services import PostgresServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """A database that nobody else uses.

    Attributes:
        pasted: its URL for the role `owner`, as providers print them: without a driver.
        near: the same by the server's unix socket, for what stands beside it.
        witness: a superuser's connection to it, for what the server says.
    """

    pasted: str
    near: str
    witness: "asyncpg.Connection[Any]"

    def url(self, driver: str = "asyncpg") -> str:
        """Give the URL with SQLAlchemy's name of a driver."""
        url = make_url(self.pasted).set(drivername=f"postgresql+{driver}")
        return url.render_as_string(hide_password=False)

    async def count(self, sql: str) -> int:
        """Ask the server for a number."""
        return int(await self.witness.fetchval(sql))

    async def connections(self, where: str = "true") -> int:
        """Count the connections to this database, without the witness."""
        return await self.count(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            f"AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND {where}"
        )

    async def remaining(self, where: str = "true", *, within: float = 10.0) -> int:
        """Wait until there are no such connections, or time is up, and count them; seconds."""
        end = time.monotonic() + within
        while (found := await self.connections(where)) and time.monotonic() < end:
            pass
        return found


@asynccontextmanager
async def fresh_database(server: PostgresServer) -> AsyncIterator[Fresh]:
    """Make a database, and drop it at the end with whatever is still connected to it."""
    name = f"proof_{uuid4().hex[:12]}"
    await server.create_database(name)
    witness = await asyncpg.connect(server.url("postgres", name))
    try:
        near = server.url("postgres", name).replace("postgres@", "owner@", 1)
        yield Fresh(pasted=server.url("owner", name), near=near, witness=witness)
    finally:
        await witness.close()
        await drop(server, name)


async def drop(server: PostgresServer, name: str) -> None:
    """Drop a database, whoever uses it."""
    admin = await asyncpg.connect(server.url("postgres", "postgres"))
    try:
        await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await admin.close()
