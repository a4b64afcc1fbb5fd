"""What an error on a connection means beyond itself: a COMMIT without an answer, a standby."""

import asyncio
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from sqlalchemy import Connection, Engine, ExceptionContext, PoolProxiedConnection, event
from sqlalchemy.exc import DBAPIError, MissingGreenlet

from holdfast.database.causes import POOLED, POOLER_MET
from holdfast.errors import (
    READ_ONLY_TRANSACTION,
    CommitUnknownError,
    HoldfastError,
    SessionSharedError,
)
from holdfast.events import Event, Events
from holdfast.pool import ElasticPool, explain_outside

_COMMITTING = "holdfast.committing"
# Said of a COMMIT, maybe by a pooler that keeps its own connection to us: the connection to the
# server was lost (08), the server ends (57P), the statement may have been completed (40003).
_NO_ANSWER = ("08", "57P", "40003")
# Said by asyncpg where the server's farewell was read before a statement was to be sent: it is not.
_NEVER_SENT = "cannot switch to state "
# Said by asyncpg of a statement, where another task is in the middle of ending the transaction.
_BUSY = "cannot perform operation: another operation is in progress"
# Said of a cursor without a transaction by asyncpg, and by the server to psycopg: its SQLSTATE is
# that of SAVEPOINT and LOCK there, too.
_NO_CURSOR = ("cursor cannot be created outside of a transaction", "DECLARE CURSOR can only")
_STREAM = "stream() needs a transaction: use read(snapshot=True) or begin(), or execute()"
# What the application prepares by itself has another cause where it is missing.
_PREPARED = re.compile(r"\s*(?:PREPARE|EXECUTE|DEALLOCATE)\b", re.IGNORECASE)
_UNKNOWN = (
    "COMMIT was sent to {place} and {what} before its answer arrived: the transaction may be "
    "stored, or not. Look whether its effect is there before it is done again, or give "
    "RetryPolicy(resolve=True) to have the server asked"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitUnknown(Event):
    """A COMMIT was sent and its answer never seen; `reason` says what came in between."""

    level: ClassVar[int] = logging.WARNING

    place: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PrimaryLost(Event):
    """A server refused to write; its connections are replaced when they are given back."""

    level: ClassVar[int] = logging.WARNING

    place: str


def watch_errors(
    engine: Engine, *, is_lost: Callable[[Any], bool], place: str, events: Events
) -> None:
    """Look at each error on a connection of the engine before anybody else gets it.

    Args:
        engine: whose connections.
        is_lost: whether it is known that a driver's connection is gone, without asking.
        place: where the database is, for messages.
        events: told what could not be known, and of a server that only reads.
    """
    watch = _Watch(place, events, is_lost)
    engine.dialect.do_commit = _noting(engine.dialect.do_commit, is_lost)  # type: ignore[assignment, method-assign]
    engine.dialect.do_rollback = partial(_roll_back, engine.dialect.do_rollback)  # type: ignore[method-assign]
    event.listen(engine, "handle_error", watch.look)


class _Watch:
    def __init__(self, place: str, events: Events, is_lost: Callable[[Any], bool]) -> None:
        self._place = place
        self._events = events
        self._is_lost = is_lost

    def look(self, context: ExceptionContext) -> None:
        """See what the error means, and raise what says it better."""
        error = context.original_exception
        _refuse_sharing(context)
        committing = _take_mark(context)
        if isinstance(error, MissingGreenlet):
            raise MissingGreenlet(explain_outside())
        if context.sqlalchemy_exception and any(said in str(error) for said in _NO_CURSOR):
            context.sqlalchemy_exception.add_note(_STREAM)
        if isinstance(error, TimeoutError):
            # The driver gave up, and has not seen the end of what it sent.
            context.is_disconnect = True
        if context.connection is None or context.connection.invalidated:
            return
        if committing and not _is_answer(context, error):
            self._report_unknown(error)
        if isinstance(error, ConnectionError) and self._has_lost(context):
            context.is_disconnect = True
            raise _wrapped(context, error)
        state = getattr(error, "sqlstate", None)
        if state == READ_ONLY_TRANSACTION:
            self._leave_standby(context.connection)
        own = _PREPARED.match(context.statement or "")
        if state in POOLED and context.sqlalchemy_exception and not own:
            context.sqlalchemy_exception.add_note(POOLER_MET)

    def _has_lost(self, context: ExceptionContext) -> bool:
        """Tell whether the system's own error, which asyncpg passes on, is that of a lost driver.

        What a listener or a type of the application raises is none.
        """
        if context.sqlalchemy_exception or isinstance(context.original_exception, HoldfastError):
            return False
        adapted: Any = context.connection and context.connection.connection.dbapi_connection
        return adapted is not None and self._is_lost(adapted.driver_connection)

    def _report_unknown(self, error: BaseException) -> None:
        cancelled = isinstance(error, asyncio.CancelledError)
        what = "the task was cancelled" if cancelled else "the connection was lost"
        said = _UNKNOWN.format(place=self._place, what=what)
        self._events.emit(CommitUnknown(place=self._place, reason=what))
        if not isinstance(error, Exception):
            error.add_note(said)  # it must stay what it is
            return
        raise CommitUnknownError(said)

    def _leave_standby(self, connection: Connection) -> None:
        """Replace the connection, and all that are as old: they lead to the same server."""
        pool: Any = connection.engine.pool
        if connection.get_execution_options().get("postgresql_readonly"):
            return  # it was asked for
        if isinstance(pool, ElasticPool) and (entry := _entry(connection)):
            pool.retire_with(entry)
            self._events.emit(PrimaryLost(place=self._place))


def _refuse_sharing(context: ExceptionContext) -> None:
    """Say so where another task came into the middle of a statement or its rows.

    What drivers say of it varies with the moment. A COMMIT has no context of execution, and is
    none that is known to be undone.
    """
    cancelled = not isinstance(context.original_exception, Exception)
    if cancelled or context.connection is None or context.execution_context is None:
        return
    if context.connection.closed:
        raise SessionSharedError("end the session")
    if str(context.original_exception).startswith(_BUSY):
        raise SessionSharedError("execute a statement")


def _take_mark(context: ExceptionContext) -> bool:
    """Tell whether the answer to a COMMIT was awaited, once."""
    connection = context.connection
    if connection is None or connection.invalidated or context.statement is not None:
        return False
    return bool(connection.info.pop(_COMMITTING, False))


def _is_answer(context: ExceptionContext, error: BaseException) -> bool:
    """Tell whether a COMMIT that failed with this error is known to have stored nothing."""
    if isinstance(error, HoldfastError) or str(error).startswith(_NEVER_SENT):
        return True
    if context.is_disconnect or context.sqlalchemy_exception is None:
        return False  # the connection is gone, or something else happened to it than an answer
    state = getattr(error, "sqlstate", None) or ""
    return not state.startswith(_NO_ANSWER)


def _wrapped(context: ExceptionContext, error: Exception) -> DBAPIError:
    """Give the error that a lost connection has on the other ways."""
    return DBAPIError(
        context.statement, None, error, hide_parameters=True, connection_invalidated=True
    )


def _noting(commit: Callable[[Any], None], is_lost: Callable[[Any], bool]) -> Callable[[Any], None]:
    """Have a COMMIT leave a mark for as long as its answer is awaited."""

    def noting(connection: Any) -> None:
        # What is lost before COMMIT is sent is not stored, for sure.
        connection.info[_COMMITTING] = not is_lost(connection.dbapi_connection.driver_connection)
        commit(connection)
        del connection.info[_COMMITTING]

    return noting


def _roll_back(rollback: Callable[[Any], None], connection: PoolProxiedConnection) -> None:
    try:
        rollback(connection)
    except BaseException:
        # A statement of another task is under way, maybe the BEGIN: it is in a transaction that
        # nobody knows of any more. So it is closed when it is given back.
        connection.invalidate(soft=True)
        raise


def _entry(connection: Connection) -> Any:
    proxy: Any = connection.connection
    return proxy._connection_record  # noqa: SLF001  -- there is no other way to it
