"""A call of the driver that the rest of SQLAlchemy sees, and judges, as one of its own."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NoReturn, TypeVar

from sqlalchemy import ClauseElement, Connection, Dialect
from sqlalchemy.exc import ResourceClosedError
from sqlalchemy.orm import Session
from sqlalchemy.util import await_only

from holdfast.errors import ConfigurationError

R = TypeVar("R")


def connect(session: Session, what: ClauseElement) -> Connection:
    """Give the session's connection, with its pending changes flushed as before any statement.

    Raises:
        ConfigurationError: the driver is not asyncpg, or a listener would be passed by.
    """
    bind = session.get_bind(clause=what)
    require_asyncpg(bind.dialect)
    if session.dispatch.do_orm_execute:
        raise ConfigurationError(
            "this session has listeners of do_orm_execute, which may add criteria, and fastlane "
            "would pass them by; use session.execute(), or a session without them"
        )
    if session.autoflush:
        session.flush()
    return session.connection(bind_arguments={"bind": bind})


def require_asyncpg(dialect: Dialect) -> None:
    """Raise where the driver is another one."""
    if dialect.driver != "asyncpg":
        raise ConfigurationError(
            f"fastlane speaks to asyncpg only, and this is {dialect.name} with {dialect.driver}; "
            "write postgresql:// in the URL, or use session.execute(), session.stream() in a "
            "transaction, or insert() with a list of rows"
        )


class Lane:
    """One statement on the driver of a connection; made and used where SQLAlchemy may await.

    SQLAlchemy's events are fired for it, so that what refuses, counts or times statements
    sees this one too; its errors become SQLAlchemy's, and a lost connection is given up.

    Args:
        connection: whose driver is used.
        sql: what the events show.
        args: for the statement.
        begins: whether the connection's transaction is to be begun, if it is not.

    Attributes:
        driver: the asyncpg connection.
    """

    # SQLAlchemy has no public way to run a driver's own method as one of its statements; what is
    # private here is what `Connection.exec_driver_sql` does around the cursor.

    def __init__(
        self,
        connection: Connection,
        sql: str,
        args: Sequence[object] = (),
        *,
        begins: bool = True,
    ) -> None:
        dialect: Any = connection.dialect
        self.connection = connection
        self._transaction = connection.get_transaction()
        # Asked first, as SQLAlchemy does: the first look at its events costs a connection more
        # than the rest of this.
        self._watched = connection._has_events or connection.engine._has_events  # noqa: SLF001
        self._context: Any = dialect.execution_ctx_cls._init_statement(  # noqa: SLF001
            dialect,
            connection,
            connection.connection,
            connection.get_execution_options(),
            sql,
            [tuple(args)],
        )
        self._adapted: Any = connection.connection.dbapi_connection
        self.driver: Any = connection.connection.driver_connection
        self.sql, self.args = self._announce(sql, tuple(args))
        if begins:
            self._begin()

    @property
    def autocommits(self) -> bool:
        """Whether there is no transaction around the statement."""
        return bool(self._adapted.autocommit)

    def run(self, call: Callable[[], Awaitable[R]]) -> R:
        """Await what the driver does for this statement."""
        try:
            result = await_only(call())
        except BaseException as error:  # noqa: BLE001  -- it is raised again, as SQLAlchemy's
            self.fail(error)
        self._finish()
        return result

    def fail(self, error: BaseException) -> NoReturn:
        """Raise a driver's error as SQLAlchemy does, and give up the connection if it is lost."""
        try:
            self._translate(error)
        except BaseException as known:  # noqa: BLE001
            self._settle(self._adapted.rollback)
            self.connection._handle_dbapi_exception(  # noqa: SLF001
                known, self.sql, self.args, self._context.cursor, self._context
            )

    def require_same_transaction(self) -> None:
        """Raise where the transaction that the statement began in is over.

        The connection may be at work for somebody else.
        """
        connection = self.connection
        is_over = connection.closed or connection.invalidated
        if is_over or connection.get_transaction() is not self._transaction:
            raise ResourceClosedError(
                "the transaction in which this stream began has ended; read it to its end inside"
            )

    def _translate(self, error: BaseException) -> NoReturn:
        if isinstance(error, Exception):
            self._adapted._handle_exception(error)  # noqa: SLF001  -- raises the dialect's own
        raise error

    def _announce(self, sql: str, args: tuple[object, ...]) -> tuple[str, tuple[object, ...]]:
        of, many = self._context, False
        if self._watched:
            for listener in self.connection.dispatch.before_cursor_execute:
                sql, args = listener(self.connection, of.cursor, sql, args, of, many)
        for look in self.connection.dialect.dispatch.do_execute:
            look(of.cursor, sql, args, of)
        return sql, tuple(args)

    def _begin(self) -> None:
        # Holdfast's engines have begun already; others begin with the first statement that goes
        # through SQLAlchemy, so that this one would be outside.
        if self._adapted._transaction is None and not self.autocommits:  # noqa: SLF001
            try:
                await_only(self._adapted._start_transaction())  # noqa: SLF001
            except BaseException as error:  # noqa: BLE001
                self.fail(error)

    def _finish(self) -> None:
        of, many = self._context, False
        if self._watched:
            for listener in self.connection.dispatch.after_cursor_execute:
                listener(self.connection, of.cursor, self.sql, self.args, of, many)
        self._settle(self._adapted.commit)

    def _settle(self, end: Callable[[], object]) -> None:
        # A server's AUTOCOMMIT needs no help. One that is emulated, in a test's sandbox, does.
        if self.autocommits and not self.driver.is_closed():
            end()
