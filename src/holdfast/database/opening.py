"""Reach the database once, within a time limit."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from holdfast.database.connecting import unavailable
from holdfast.errors import PoolExhaustedError, UnavailableError
from holdfast.events import Event
from holdfast.pool import Background
from holdfast.urls import DatabaseUrl


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened(Event):
    """A database was reached; `seconds` is what that took."""

    place: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed(Event):
    """A database's connections are closed."""

    place: str


async def reach(
    engine: AsyncEngine, url: DatabaseUrl, *, within: float, leaving: Background
) -> float:
    """Run `SELECT 1` on a pooled or new connection and return the seconds it took.

    The time limit holds for a server that freezes, too, of which a driver takes its leave for
    up to ten seconds: that goes on in the background, in a task that `leaving` keeps.

    Raises:
        UnavailableError: it names place and likely cause, never the password.
    """
    begun = time.perf_counter()
    check = asyncio.create_task(_select(engine))
    leaving.add(check)
    check.add_done_callback(lambda ended: _let_go(ended, leaving))
    try:
        await asyncio.wait({check}, timeout=within)
        if not check.done():
            raise TimeoutError
        check.result()
    except UnavailableError:
        raise
    except (OSError, DBAPIError) as error:
        raise _explained(error, engine, url, within) from error
    finally:
        check.cancel()
    return time.perf_counter() - begun


def _let_go(check: "asyncio.Task[None]", leaving: Background) -> None:
    leaving.discard(check)
    if not check.cancelled():
        check.exception()  # asked for, so that nobody reports it as overlooked


async def _select(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))


def _explained(
    error: Exception, engine: AsyncEngine, url: DatabaseUrl, within: float
) -> UnavailableError:
    pool: Any = engine.pool
    if isinstance(error, PoolExhaustedError):
        return UnavailableError(str(error))
    full = pool.checkedout() >= pool.policy.max_size
    if isinstance(error, TimeoutError) and full and pool.waiting():
        held = "; ".join(map(str, pool.holders()))
        return UnavailableError(
            "all connections of the pool are in use: hold them for a shorter time, or raise "
            f"PoolPolicy.max_size; held, longest first: {held}"
        )
    return unavailable(getattr(error, "orig", None) or error, url, within)
