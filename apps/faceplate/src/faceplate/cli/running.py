"""Run what a command asks for on the database that the settings name."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from faceplate.config import get_settings
from faceplate.db import session as database
from faceplate.errors import NotFoundError
from faceplate.models import User
from faceplate.services.users import find_user, get_user
from holdfast.database import Database

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


async def require_user(session: AsyncSession, named: str) -> User:
    """Give the user that an id or an e-mail address names.

    Raises:
        InvalidInputError: it is neither.
        NotFoundError: there is no such user.
    """
    try:
        return await get_user(session, uuid.UUID(named))
    except ValueError:
        user = await find_user(session, email=named)
    if user is None:
        raise NotFoundError(f"there is no user {named}")
    return user


def _open() -> Database:
    # A command asks one thing after the other.
    return database.make_database(get_settings().database_url.get_secret_value(), connections=1)
