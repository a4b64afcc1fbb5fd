"""What is looked at before each statement is sent, and before each COMMIT."""

from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import Engine, PoolProxiedConnection, event
from sqlalchemy.pool import ConnectionPoolEntry

from holdfast.database.sessions import OWNER, mark, owner_of, refuse_write
from holdfast.database.statements import ends_transaction, may_write, shortened
from holdfast.errors import HoldfastError, SessionSharedError
from holdfast.pool import ElasticPool

# Execution option: that nothing may be written on a connection.
READS_ONLY = "holdfast_reads_only"


def guard_statements(engine: Engine, is_busy: Callable[[Any], bool]) -> None:
    """Look at each statement of the engine, and of its views, as it goes to the driver.

    It sees the final SQL, so ORM, Core, text and driver strings alike. A function that writes is
    not seen; `read(snapshot=True)` has the server itself refuse that.

    Args:
        engine: whose statements.
        is_busy: whether a statement is under way on a connection, as SQLAlchemy has it.
    """
    # The dialect's events and method, not the engine's events: with one of those each connection
    # joins all kinds of them to its own, at a tenth of what a small unit of work costs.
    for kind in ("do_execute", "do_executemany", "do_execute_no_params"):
        event.listen(engine, kind, partial(_look, is_busy))
    event.listen(engine.pool, "checkin", partial(_retire_busy, is_busy))
    engine.dialect.do_commit = partial(_commit, engine.dialect.do_commit, is_busy)  # type: ignore[method-assign]


def _look(is_busy: Callable[[Any], bool], _cursor: object, sql: str, *more: Any) -> None:
    context = more[-1]  # after the values, where there are any
    connection, pool = context.root_connection.connection, context.engine.pool
    if isinstance(pool, ElasticPool):
        pool.note(connection._connection_record, sql)  # noqa: SLF001  -- there is no other way to it
    if is_busy(connection.dbapi_connection):
        # It would wait for the other statement, without a word, in the middle of somebody's flush.
        raise SessionSharedError("execute a statement")
    options = context.execution_options
    if options.get(READS_ONLY) and may_write(sql):
        refuse_write(f"the statement {shortened(sql)}")
    if (owner := options.get(OWNER)) is not None:
        if ends_transaction(sql):
            owner.refuse_ending(f"the statement {shortened(sql)}")
        mark(connection, owner)  # it may have been made anew


def _retire_busy(is_busy: Callable[[Any], bool], adapted: Any, entry: ConnectionPoolEntry) -> None:
    # Another task still waits on it: the next caller's statement would meet that one's.
    if adapted is not None and is_busy(adapted):
        entry.invalidate(soft=True)


def _commit(
    commit: Callable[[Any], None], is_busy: Callable[[Any], bool], connection: PoolProxiedConnection
) -> None:
    # A commit must not get any further: what it stored could not be taken back.
    try:
        if owner := owner_of(connection):
            owner.refuse_ending("a commit of the connection or transaction")
        if is_busy(connection.dbapi_connection):
            raise SessionSharedError("commit")
    except HoldfastError:
        # SQLAlchemy takes a COMMIT that raised for an end: the next to have the connection would
        # be in its transaction, and commit that. So it is closed when it is given back.
        connection.invalidate(soft=True)
        raise
    commit(connection)
