"""A unit of work: a session whose transaction begins and ends with a block."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, NoReturn, TypeVar

from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import SessionTransaction

from holdfast.database.sessions import (
    CONCURRENT,
    OwnedSession,
    ReadSession,
    give_up,
    lock,
    lost_connection,
    unlock,
    was_ended,
)
from holdfast.errors import (
    CommitUnknownError,
    TransactionAbortedError,
    TransactionOwnedError,
    UsageError,
)
from holdfast.pool import Background

S = TypeVar("S", bound=OwnedSession | ReadSession)

_BEGIN = "begin()"
_LOST = (
    "the connection was lost inside the block and the code went on, so none of its writes is "
    "stored; let the error out of the block, and run() does the work again"
)


class Unit(AbstractAsyncContextManager[S]):
    """Begins, and ends as the block ends; nobody inside may do either.

    A task that is cancelled does not wait for the rollback, and does not cut it short: the
    connection would have to be closed, and the next caller would wait for a new one.

    Args:
        session: new, and used by nobody else.
        leaving: holds what goes on in the background.
        finish: ends a transaction with which nothing went wrong.
        blocks: knows which block this is inside of; None where that does not matter.
    """

    # A class, and not a generator: this is most of what a block costs.
    def __init__(
        self,
        session: S,
        leaving: Background,
        finish: Callable[[], Awaitable[None]],
        blocks: "Blocks | None" = None,
    ) -> None:
        self._session = session
        self._leaving = leaving
        self._finish = finish
        self._blocks = blocks
        self._place: Place | None = None

    async def __aenter__(self) -> S:
        if self._blocks:
            self._place = self._blocks.enter_begin()
        self._transaction = self._session.sync_session.begin()
        lock(self._session)
        return self._session

    async def __aexit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        try:
            if error is not None:
                await self._undo(error)
            else:
                await self._end()
        finally:
            if self._place:
                self._place.leave()

    # Reached by mistake only, where Python would say no more than that the type lacks it.

    def __enter__(self) -> NoReturn:
        raise UsageError(f"{self._name()} was entered without async; {self._advice()}")

    def __exit__(self, *_exc: object) -> None:
        """Be there, for Python looks for it before it enters."""

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        raise AttributeError(
            f"{self._name()} gives a block and no session, so it has no {name!r}; {self._advice()}"
        )

    def _name(self) -> str:
        return "read()" if isinstance(self._session, ReadSession) else "begin()"

    def _advice(self) -> str:
        return f"write 'async with db.{self._name()} as session:' and use session in the block"

    async def _end(self) -> None:
        session = self._session
        try:
            _require_whole(session, self._transaction)
            unlock(session)
            await self._finish()
        except BaseException as error:
            await self._undo(error)
            raise
        if session.in_transaction():
            await _to_its_end(session.close(), self._leaving)
        elif not session.sync_session.closed:
            # Nothing to wait for: a task that is cancelled now would be told that what is
            # committed failed.
            session.sync_session.close()

    async def _undo(self, error: BaseException) -> None:
        give_up(self._session)
        try:
            await _to_its_end(_roll_back(self._session, error), self._leaving)
        except asyncio.CancelledError as cancelled:  # anyio does so at each await
            _pass_on_doubt(error, cancelled)
            raise


class Place:
    """Where a task is: inside a block of this name."""

    __slots__ = ("_inside", "_name", "_task")

    def __init__(self, inside: "dict[asyncio.Task[Any], list[str]]", name: str) -> None:
        # The task that began: a generator's end may come in another one.
        self._inside = inside
        self._name = name
        self._task = asyncio.current_task()
        if self._task:
            inside.setdefault(self._task, []).append(name)

    def leave(self) -> None:
        """Be there no more."""
        if self._task:
            self._inside[self._task].remove(self._name)
            if not self._inside[self._task]:
                del self._inside[self._task]


class Blocks:
    """Knows which task is inside which blocks of one database.

    What a unit of work would commit apart from the one around it stays when that one is rolled
    back, and is done twice when it is run again. A task that it starts is another matter.
    """

    def __init__(self) -> None:
        self._inside: dict[asyncio.Task[Any], list[str]] = {}

    def enter_begin(self) -> Place:
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
        return Place(self._inside, _BEGIN)

    def enter_run(self, name: str) -> Place:
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
        return Place(self._inside, f"run({name})")

    def _around(self) -> Sequence[str]:
        task = asyncio.current_task()
        return self._inside.get(task, ()) if task else ()


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
        # Another task is in the middle of the session, and has it end when it gets there.
        if not (isinstance(error, InvalidRequestError) and error.code == CONCURRENT):
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
