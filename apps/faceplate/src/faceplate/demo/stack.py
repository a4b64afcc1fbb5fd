"""The server that the demo runs on: the one that the environment names, else its own."""

import os
from contextlib import AsyncExitStack
from dataclasses import dataclass

from sqlalchemy import text

from holdfast.database import Database
from holdfast.services import PostgresPolicy, PostgresServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A PostgreSQL for the demo and its report; `given` when it is somebody's own.

    `seconds` is how long it took to answer.
    """

    owner: str
    app: str
    given: bool
    name: str
    source: str
    seconds: float


async def open_server(stack: AsyncExitStack) -> Server:
    """Start a server unless `DATABASE_URL` names one; the stack stops it again.

    Raises:
        UnavailableError: the server that the environment names does not answer.
        ServiceError: the server of our own did not start.
    """
    given = os.environ.get("DATABASE_URL")
    if given:
        return await _given(given, os.environ.get("DATABASE_OWNER_URL") or given)
    server = await stack.enter_async_context(
        PostgresServer(policy=PostgresPolicy(database="faceplate"))
    )
    return Server(
        owner=server.url("owner"),
        app=server.url("app"),
        given=False,
        name=f"{server.product} {server.version}",
        source=f"started, from {server.source}",
        seconds=server.seconds,
    )


async def _given(app: str, owner: str) -> Server:
    async with Database(app) as db:
        seconds = await db.ping()
        async with db.read() as session:
            version = await session.scalar(text("SHOW server_version"))
    return Server(
        owner=owner,
        app=app,
        given=True,
        name=f"PostgreSQL {version}",
        source="from DATABASE_URL",
        seconds=seconds,
    )
