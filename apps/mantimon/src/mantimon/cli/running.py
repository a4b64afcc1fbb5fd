"""Run what a command asks for on the database that the settings name."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.database import Database
from mantimon.config import get_settings
from mantimon.db import session as database

P = ParamSpec("P")
R = TypeVar("R")

Work = Callable[Concatenate[AsyncSession, P], Awaitable[R]]


def do(work: Work[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a service that writes, in a transaction of its own.

    Raises:
        HoldfastError: it could not be done, or what was given makes no sense.
        sqlalchemy.exc.DBAPIError: the database refused it.
    """

    async def run() -> R:
        async with _open() as db:
            return await db.run(work, *args, **kwargs)

    return asyncio.run(run())


def ask(work: Work[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a service that reads.

    Raises:
        HoldfastError, sqlalchemy.exc.DBAPIError: as for `do`.
    """

    async def run() -> R:
        async with _open() as db, db.read() as session:
            return await work(session, *args, **kwargs)

    return asyncio.run(run())


def _open() -> Database:
    # A command asks one thing after the other.
    return database.make_database(get_settings().database_url.get_secret_value(), connections=1)
