"""Run what a command asks for on the database that the settings name."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from faceplate.config import get_settings
from faceplate.db import session as database
from faceplate.errors import FaceplateError, InvalidInputError, NotFoundError
from faceplate.models import User
from faceplate.services.users import find_user, get_user
from holdfast.database import Database
from holdfast.errors import ConfigurationError

P = ParamSpec("P")
R = TypeVar("R")

Work = Callable[Concatenate[AsyncSession, P], Awaitable[R]]

# No such schema, table, column or function: the tables are of another version, or not made yet.
_NOT_MIGRATED = ("3F000", "42P01", "42703", "42883")


def do(work: Work[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a service that writes, in a transaction of its own.

    Raises:
        ConfigurationError: what was given makes no sense: the command was used wrongly.
        HoldfastError: it could not be done.
    """

    async def run() -> R:
        async with _open() as db:
            return await db.run(work, *args, **kwargs)

    with _in_one_line():
        return asyncio.run(run())


def ask(work: Work[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a service that reads.

    Raises:
        ConfigurationError, HoldfastError: as for `do`.
    """

    async def run() -> R:
        async with _open() as db, db.read() as session:
            return await work(session, *args, **kwargs)

    with _in_one_line():
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


@contextmanager
def _in_one_line() -> Iterator[None]:
    try:
        yield
    except InvalidInputError as error:
        raise ConfigurationError(str(error)) from error
    except DBAPIError as error:
        raise FaceplateError(_refused(error)) from error


def _refused(error: DBAPIError) -> str:
    """Say what the database answered, without the statement; its first line has the fact."""
    said = f"the database said: {str(error.orig).partition(chr(10))[0]}"
    if getattr(error.orig, "sqlstate", None) in _NOT_MIGRATED:
        return f"{said}; its tables are not those of this version: faceplate migrate"
    return said
