"""`select()` into typed rows."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import MultipleResultsFound
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.util import greenlet_spawn

from holdfast.errors import ConfigurationError
from holdfast.fastlane.columns import Query
from holdfast.fastlane.lane import Lane, connect, require_asyncpg
from holdfast.fastlane.planning import Parameters, Plan, plan

T = TypeVar("T")


async def fetch(
    session: AsyncSession | AsyncEngine,
    statement: Query,
    parameters: Parameters | None = None,
    *,
    into: Callable[..., T],
) -> list[T]:
    """Run a `select()` and return its rows as objects of the caller's type.

        rows = await fetch(session, select(Card.id, Card.kind), into=CardRow)

    Args:
        session: whose transaction is used; an engine instead reads in no transaction, on a
            connection taken for this statement, which is the quickest way for a single one.
        statement: with its columns named as the fields of `into`; a mapped class in it stands
            for its columns.
        parameters: values of its `bindparam()`s.
        into: a dataclass, msgspec Struct, NamedTuple, pydantic model, or a function with named
            arguments; made with what the columns' types load.

    Raises:
        ConfigurationError: another driver than asyncpg, or columns and fields do not match;
            nothing was sent.
        ReadOnlyError: the statement would write, inside `read()`.
        DBAPIError: SQLAlchemy's, as from `session.execute()`.
    """
    work = partial(_fetch, statement=statement, parameters=parameters or {}, into=into)
    if isinstance(session, AsyncEngine):
        return await greenlet_spawn(_on_engine, session, work)
    return await session.run_sync(_in_session, statement, work)


async def fetch_one(
    session: AsyncSession | AsyncEngine,
    statement: Query,
    parameters: Parameters | None = None,
    *,
    into: Callable[..., T],
) -> T | None:
    """Run a `select()` that finds one row, and return it, or None where there is none.

    As `fetch`.

    Raises:
        MultipleResultsFound: SQLAlchemy's, there are more; narrow the statement or `.limit(1)`.
    """
    rows = await fetch(session, statement, parameters, into=into)
    if len(rows) > 1:
        raise MultipleResultsFound(
            f"{len(rows)} rows were found where one was asked for; narrow the statement, "
            "or take the first with .order_by(…).limit(1)"
        )
    return rows[0] if rows else None


async def stream(
    session: AsyncSession,
    statement: Query,
    parameters: Parameters | None = None,
    *,
    into: Callable[..., T],
    batch: int = 500,
) -> AsyncIterator[T]:
    """Run a `select()` and give its rows one by one, with no more than a batch in memory.

    The connection is the session's, which may run other statements meanwhile.

        async for row in stream(session, select(Card.id, Card.kind), into=CardRow):
            ...

    Args:
        session: in a transaction, as of `begin()` or `read(snapshot=True)`.
        statement: as of `fetch`.
        parameters: as of `fetch`.
        into: as of `fetch`.
        batch: rows that are asked of the server at once, at least 1. More in memory at once is
            more for the garbage collector to look through; fewer are more round trips.

    Raises:
        ConfigurationError: as of `fetch`; or the session is in AUTOCOMMIT, as that of `read()`.
        ResourceClosedError: SQLAlchemy's, the transaction ended before the rows did.
    """
    if batch < 1:
        raise ConfigurationError(f"batch is {batch}; it is at least 1")
    work = partial(_open, statement=statement, parameters=parameters or {}, into=into)
    lane, cursor, made = await session.run_sync(_in_session, statement, work)
    task = asyncio.current_task()
    records: list[Any] = [None] * batch
    try:
        while len(records) == batch:
            records = await _next(session, lane, cursor, batch)
            for row in made.build(records):
                yield row
    finally:
        # Whoever stops early may be gone: Python closes the generator in a task of its own, when
        # the connection may be at work. The server lets go at the end of the transaction.
        if asyncio.current_task() is task:
            await _close(lane, cursor)


def _in_session(session: Session, statement: Query, work: Callable[[Connection], T]) -> T:
    return work(connect(session, statement))


def _on_engine(engine: AsyncEngine, work: Callable[..., T]) -> T:
    require_asyncpg(engine.dialect)
    with engine.sync_engine.connect() as connection:
        return work(connection, alone=True)


def _fetch(
    connection: Connection,
    *,
    statement: Query,
    parameters: Parameters,
    into: Callable[..., T],
    alone: bool = False,
) -> list[T]:
    made, (sql, args) = plan(connection, statement, parameters, into)
    if alone and made.writes:
        raise ConfigurationError(
            "the statement writes, and an engine has no transaction for it; give a session"
        )
    lane = Lane(connection, sql, args, begins=not alone)
    return made.build(lane.run(lambda: lane.driver.fetch(lane.sql, *lane.args)))


def _open(
    connection: Connection, *, statement: Query, parameters: Parameters, into: Callable[..., T]
) -> tuple[Lane, Any, Plan[T]]:
    made, (sql, args) = plan(connection, statement, parameters, into)
    lane = Lane(connection, sql, args)
    if lane.autocommits:
        raise ConfigurationError(
            "stream() needs a transaction, which AUTOCOMMIT has not: use read(snapshot=True), "
            "or fetch()"
        )

    async def bind() -> Any:
        return await lane.driver.cursor(lane.sql, *lane.args)

    return lane, lane.run(bind), made


def _fail(_session: Session, lane: Lane, error: BaseException) -> NoReturn:
    lane.fail(error)


async def _next(session: AsyncSession, lane: Lane, cursor: Any, batch: int) -> list[Any]:
    lane.require_same_transaction()
    try:
        rows: list[Any] = await cursor.fetch(batch)
    except BaseException as error:  # noqa: BLE001  -- it is raised again, as SQLAlchemy's
        await session.run_sync(_fail, lane, error)
    return rows


async def _close(lane: Lane, cursor: Any) -> None:
    """Let the server forget the rows; asyncpg does it by itself only where it iterates."""
    with suppress(Exception):
        lane.require_same_transaction()
        await cursor._close_portal(None)  # noqa: SLF001
