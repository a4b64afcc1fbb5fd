"""A unit of work: a session whose transaction begins and ends with a block."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from sqlalchemy.orm import SessionTransaction

from holdfast.database.sessions import (
    OwnedSession,
    ReadSession,
    lock,
    lost_connection,
    unlock,
    was_ended,
)
from holdfast.errors import CommitUnknownError, TransactionAbortedError, TransactionOwnedError
from holdfast.pool import Background

_BEGIN = "begin()"
_LOST = (
    "the connection was lost inside the block and the code went on, so none of its writes is "
    "stored; let the error out of the block, and run() does the work again"
)


@asynccontextmanager
async def unit(
    session: OwnedSession | ReadSession,
    leaving: Background,
    finish: Callable[[], Awaitable[None]],
) -> AsyncIterator[None]:
    """Begin, and end as the block ends; nobody inside may do either.

    A task that is cancelled does not wait for the rollback, and does not cut it short: the
    connection would have to be closed, and the next caller would wait for a new one.

    Args:
        session: new, and used by nobody else.
        leaving: holds what goes on in the background.
        finish: ends a transaction with which nothing went wrong.
    """
    transaction = session.sync_session.begin()
    lock(session)
    try:
        yield
        _require_whole(session, transaction)
        unlock(session)
        await finish()
    except BaseException as error:
        unlock(session)
        try:
            await _to_its_end(_roll_back(session, error), leaving)
        except asyncio.CancelledError as cancelled:  # anyio does so at each await
            _pass_on_doubt(error, cancelled)
            raise
        raise
    if session.in_transaction():
        await _to_its_end(session.close(), leaving)
    else:
        # Nothing to wait for: a task that is cancelled now would be told that what is committed
        # failed.
        session.sync_session.close()


class Blocks:
    """Knows which task is inside which blocks of one database.

    What a unit of work would commit apart from the one around it stays when that one is rolled
    back, and is done twice when it is run again. A task that it starts is another matter.
    """

    def __init__(self) -> None:
        self._open: dict[asyncio.Task[Any], list[str]] = {}

    @contextmanager
    def begin(self) -> Iterator[None]:
        """Be inside a `begin()`.

        Raises:
            TransactionOwnedError: the task is inside a `run()`.
        """
        outer = [name for name in self._around() if name != _BEGIN]
        if outer:
            raise TransactionOwnedError(
                f"begin() inside {outer[-1]}: what it commits stays when the work is rolled back, "
                "and is done twice when it is run again; use the session that the work was given "
                "(session.begin_nested() for a part), or db.session() to commit by hand"
            )
        with self._inside(_BEGIN):
            yield

    @contextmanager
    def run(self, name: str) -> Iterator[None]:
        """Be inside a `run()` of the work of this name.

        Raises:
            TransactionOwnedError: the task is inside another one, or inside a `begin()`.
        """
        if outer := self._around():
            raise TransactionOwnedError(
                f"run({name}) inside {outer[-1]}: what the inner one commits stays when the outer "
                "one is rolled back, and it would wait for the outer one's locks for ever; call "
                f"{name}(session, …) with the session of the outer one, or run it before or after"
            )
        with self._inside(f"run({name})"):
            yield

    def _around(self) -> list[str]:
        task = asyncio.current_task()
        return self._open.get(task, []) if task else []

    @contextmanager
    def _inside(self, name: str) -> Iterator[None]:
        # The task that began: a generator's end may come in another one.
        task = asyncio.current_task()
        if task is None:
            yield
            return
        self._open.setdefault(task, []).append(name)
        try:
            yield
        finally:
            self._open[task].remove(name)
            if not self._open[task]:
                del self._open[task]


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


def _pass_on_doubt(error: BaseException, cancelled: asyncio.CancelledError) -> None:
    """Have a cancellation that takes an error's place say that a COMMIT got no answer."""
    if isinstance(error, CommitUnknownError):
        cancelled.add_note(str(error))
    for note in getattr(error, "__notes__", ()):
        cancelled.add_note(note)


def _require_whole(session: OwnedSession | ReadSession, transaction: SessionTransaction) -> None:
    if not session.is_active:
        # A flush failed and the code went on: SQLAlchemy has rolled everything back.
        raise TransactionAbortedError
    if lost_connection(session):
        raise TransactionAbortedError(_LOST)
    same = session.sync_session.get_transaction() is transaction
    if not same or was_ended(session):
        raise TransactionOwnedError(
            "the transaction of this block was ended inside it, through its connection or its "
            "transaction object; leave that to the block"
        )
