"""A unit of work: a session whose transaction begins and ends with a block."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from typing import Any

from sqlalchemy.orm import SessionTransaction

from holdfast.database.sessions import OwnedSession, ReadSession, lock, unlock, was_ended
from holdfast.errors import TransactionAbortedError, TransactionOwnedError
from holdfast.pool import Background

# The databases in whose `run()` this task is, and the task: one that it starts is another.
_RUNNING: ContextVar[tuple[tuple[object, str, object], ...]] = ContextVar("running", default=())


@asynccontextmanager
async def unit(session: OwnedSession | ReadSession, leaving: Background) -> AsyncIterator[None]:
    """Begin, and end as the block ends; nobody inside may do either.

    A task that is cancelled does not wait for the rollback, and does not cut it short: the
    connection would have to be closed, and the next caller would wait for a new one.

    Args:
        session: new, and used by nobody else.
        leaving: holds what goes on in the background.
    """
    transaction = session.sync_session.begin()
    lock(session)
    try:
        yield
        _require_whole(session, transaction)
        unlock(session)
        await session.finish()
    except BaseException as error:
        unlock(session)
        await _to_its_end(_roll_back(session, error), leaving)
        raise
    await _to_its_end(session.close(), leaving)


@contextmanager
def alone(database: object, name: str) -> Iterator[None]:
    """Keep this task from calling `run()` inside `run()` of the same database.

    Raises:
        TransactionOwnedError: it does.
    """
    running = _RUNNING.get()
    task = asyncio.current_task()
    for other, outer, its_task in running:
        if other is database and its_task is task:
            raise TransactionOwnedError(
                f"run({name}) inside run({outer}): what the inner one commits stays when the "
                f"outer one is rolled back and run again; call {name}(session, …) with the "
                "session of the outer one, or run it before or after"
            )
    token = _RUNNING.set((*running, (database, name, task)))
    try:
        yield
    finally:
        _RUNNING.reset(token)


async def _to_its_end(ending: Coroutine[Any, Any, None], leaving: Background) -> None:
    """Await it; cancelled meanwhile, let it go on in the background."""
    task = asyncio.create_task(ending)
    leaving.add(task)
    task.add_done_callback(leaving.discard)
    await asyncio.shield(task)


async def _roll_back(session: OwnedSession | ReadSession, cause: BaseException) -> None:
    # Before close(): an object that was flushed could otherwise be added again and be taken for
    # stored.
    try:
        await session.rollback()
    except Exception as error:  # noqa: BLE001  -- none may hide what went wrong
        cause.add_note(f"the rollback failed too: {error}")
    with suppress(Exception):  # it has nothing left to do, or fails for the same reason
        await session.close()


def _require_whole(session: OwnedSession | ReadSession, transaction: SessionTransaction) -> None:
    if not session.is_active:
        # A flush failed and the code went on: SQLAlchemy has rolled everything back.
        raise TransactionAbortedError
    same = session.sync_session.get_transaction() is transaction
    if not same or was_ended(session):
        raise TransactionOwnedError(
            "the transaction of this block was ended inside it, through its connection or its "
            "transaction object; leave that to the block"
        )
