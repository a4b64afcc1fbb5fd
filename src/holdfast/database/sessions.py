"""Sessions that cannot end a transaction which is not theirs, or write where they only read."""

from asyncio import Task, current_task
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn
from weakref import ref

from sqlalchemy import Connection, PoolProxiedConnection, event
from sqlalchemy.exc import (
    DBAPIError,
    InterfaceError,
    InvalidRequestError,
    ResourceClosedError,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, SessionTransaction
from sqlalchemy.orm.exc import StaleDataError
from sqlalchemy.orm.state import InstanceState
from sqlalchemy.orm.state_changes import _StateChangeStates

from holdfast.database.versions import Written, lost, overtaken, written
from holdfast.errors import ReadOnlyError, SessionSharedError, TransactionOwnedError

_LOCKED = "holdfast.locked"
_OVER = "holdfast.over"
_CLOSING = "holdfast.closing"
CONCURRENT = "isce"  # SQLAlchemy's code for a session in the middle of something
_ANY = _StateChangeStates.ANY  # no state is forbidden: nothing is under way
_CHECKS = "holdfast.checks"
_CONNECTIONS = "holdfast.connections"
_OWNER = "holdfast.owner"
_NOBODY: Any = (lambda: None, lambda: None)
# Execution options: which session a connection works for, what tells one of the driver's
# transactions from the next.
OWNER = "holdfast_owner"
TRANSACTION = "holdfast_transaction"
# Execution option: what begins a transaction of SQLite, None for no transaction at all.
SQLITE_BEGIN = "holdfast_sqlite_begin"


class _TellingSession(Session):
    """Says so when two tasks use it, and gives its connection back all the same."""

    _flusher: Task[Any] | None = None
    _written: Sequence[Written] = ()

    def close(self) -> None:
        self._refuse_changing()
        transaction = self.get_transaction()
        self.info[_CLOSING] = True
        try:
            super().close()
        except DBAPIError as error:
            _give_back(transaction)
            if isinstance(error, InterfaceError) and not error.connection_invalidated:
                raise SessionSharedError("end the session") from error
            raise
        finally:
            self.info.pop(_CLOSING, None)
        self.info.pop(_OVER, None)

    def reset(self) -> None:
        self._refuse_changing()
        with self._letting_go():
            super().reset()

    def invalidate(self) -> None:
        self._refuse_changing()
        with self._letting_go():
            super().invalidate()

    def commit(self) -> None:
        if _CLOSING in self.info:
            raise SessionSharedError("commit")  # there is nothing left, and nothing would be stored
        super().commit()

    def expunge_all(self) -> None:
        if _CLOSING not in self.info:
            self._refuse_letting_go()
        super().expunge_all()

    def flush(self, objects: Sequence[Any] | None = None) -> None:
        before, self._flusher = self._flusher, current_task()
        try:
            super().flush(objects)
        except SessionSharedError:
            self._close_late()
            raise
        except ResourceClosedError as error:
            _blame_sharing(error)
            raise
        except StaleDataError as error:
            self._name_the_lost(error)
            raise
        finally:
            self._flusher, self._written = before, ()

    def _name_the_lost(self, error: StaleDataError) -> None:
        # SQLAlchemy says how many rows, not which, and has rolled back.
        for connection in list(_connections(self._transaction)):
            with suppress(DBAPIError):
                if stale := lost(self._written, connection):
                    raise stale from error

    def _merge(self, state: InstanceState[Any], *args: Any, **options: Any) -> Any:
        try:
            return super()._merge(state, *args, **options)
        except StaleDataError as error:
            raise overtaken(state, self) from error

    def _connection_for_bind(self, *args: Any, **options: Any) -> Any:
        try:
            return super()._connection_for_bind(*args, **options)
        except InvalidRequestError as error:
            if error.code == CONCURRENT:
                raise SessionSharedError("take a connection") from error
            raise
        except SessionSharedError:
            self._close_late()
            raise

    def _close_late(self) -> None:
        """Close what could not be closed while this task was to get its connection."""
        if _OVER in self.info and not self._is_changing():
            self.close()

    def _refuse_changing(self) -> None:
        # SQLAlchemy would refuse, too, but let go of the objects first: a flush that waits for its
        # connection would store them without their values.
        if self._is_changing():
            self.info[_OVER] = True
            raise SessionSharedError("end the session")

    @contextmanager
    def _letting_go(self) -> Iterator[None]:
        """Let all objects go, as what ends a session does by itself."""
        self.info[_CLOSING] = True
        try:
            yield
        finally:
            self.info.pop(_CLOSING, None)

    def _refuse_letting_go(self) -> None:
        # A flush that goes on would store its objects without their values, or not know them.
        if self._flusher not in {None, current_task()}:
            raise SessionSharedError("let go of all objects")

    def _is_changing(self) -> bool:
        """Tell whether a task is in the middle of beginning or ending a transaction."""
        inner = self._transaction
        while inner is not None and inner._next_state is _ANY:  # noqa: SLF001  -- nothing else tells
            inner = inner.parent
        return inner is not None


class _OwnedSession(_TellingSession):
    """Refuses what would end the transaction, until its owner unlocks it.

    Attributes:
        closed: whether it was.
    """

    closed = False
    _block = "begin()"

    def begin(self, nested: bool = False) -> SessionTransaction:  # noqa: FBT001, FBT002
        if not nested:
            self.refuse_ending("session.begin()")
        return super().begin(nested=nested)

    def commit(self) -> None:
        self.refuse_ending("session.commit()")
        super().commit()

    def rollback(self) -> None:
        self.refuse_ending("session.rollback()")
        super().rollback()

    def prepare(self) -> None:
        self.refuse_ending("session.prepare()")
        super().prepare()

    def close(self) -> None:
        self.refuse_ending("session.close()")
        super().close()
        self.closed = True

    def reset(self) -> None:
        self.refuse_ending("session.reset()")
        super().reset()

    def invalidate(self) -> None:
        self.refuse_ending("session.invalidate()")
        super().invalidate()

    def refuse_ending(self, what: str) -> None:
        """Raise while the block that owns the transaction runs."""
        if _LOCKED in self.info:
            raise TransactionOwnedError(
                f"{what} inside {self._block}: the transaction ends with the block; "
                "leave the block to commit, raise to roll back, use session.begin_nested() for "
                "a part, or db.session() to commit by hand"
            )


class _ReadSession(_OwnedSession):
    """Refuses to write: in AUTOCOMMIT a flushed row would stay whatever happens next."""

    _block = "read()"
    refuses_writes = True  # `models` need not hold objects that were changed in place

    def flush(self, objects: Sequence[Any] | None = None) -> None:
        self.refuse_changes()
        super().flush(objects)

    def begin_nested(self) -> NoReturn:
        raise ReadOnlyError("session.begin_nested() inside read(): there is nothing to undo there")

    def refuse_changes(self) -> None:
        """Raise when an object was added, changed or deleted."""
        if self._is_clean():  # what a flush asks first, too
            return
        changed = [*self.new, *self.deleted, *filter(self.is_modified, self.dirty)]
        if changed:
            refuse_write(f"a changed {type(changed[0]).__name__}")


class PlainSession(AsyncSession):
    """The session of `session()`."""

    sync_session_class = _TellingSession

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            await super().__aexit__(kind, error, trace)
        except SessionSharedError as shared:
            if error is None:
                raise
            error.add_note(str(shared))  # what went wrong inside is what the caller is to see


class OwnedSession(AsyncSession):
    """The session of `begin()` and `run()`."""

    sync_session: _OwnedSession
    sync_session_class = _OwnedSession

    async def finish(self) -> None:
        """End the block's transaction: what it did is stored."""
        await self.commit()


class ReadSession(AsyncSession):
    """The session of `read()`."""

    sync_session: _ReadSession
    sync_session_class = _ReadSession

    async def finish(self) -> None:
        """Let no change be dropped without a word; closing ends what there is to end."""
        self.sync_session.refuse_changes()

    async def release(self) -> None:
        """End what has no transaction on the server, so that there is nothing to wait for."""
        await self.finish()
        await self.close()


def lock(session: AsyncSession) -> None:
    """Make the session refuse commit, rollback and close from now on."""
    session.info[_LOCKED] = True


def unlock(session: AsyncSession) -> None:
    """Let the owner of the block end the transaction."""
    session.info.pop(_LOCKED, None)


def give_up(session: AsyncSession) -> None:
    """Unlock, and have a task that still waits for the session's connection give it back."""
    unlock(session)
    session.info[_OVER] = True


def was_ended(session: AsyncSession) -> bool:
    """Tell whether a transaction of the connections was ended behind the session's back."""
    return not all(is_same() for is_same in session.info.get(_CHECKS, ()))


def lost_connection(session: AsyncSession) -> bool:
    """Tell whether a connection of the session's transaction was lost."""
    return any(each.invalidated for each in session.info.get(_CONNECTIONS, ()))


def mark(connection: PoolProxiedConnection, owner: _OwnedSession) -> None:
    """Have it known of a connection, until it is given back, whose transaction it is in."""
    connection.info[_OWNER] = ref(owner), ref(connection)


def owner_of(connection: PoolProxiedConnection) -> _OwnedSession | None:
    """Give the session of a block whose transaction the connection is in."""
    owner, marked = connection.info.get(_OWNER, _NOBODY)
    return owner() if marked() is connection else None


def refuse_write(what: str) -> NoReturn:
    """Raise for what would write where nothing may."""
    raise ReadOnlyError(f"{what} inside read(): use begin() or run() to write")


@event.listens_for(_TellingSession, "before_flush")
def _look_at_versions(session: _TellingSession, *_flush: object) -> None:
    session._written = written(session)  # noqa: SLF001  -- of this file


@event.listens_for(_TellingSession, "after_begin")
def _look_at_connection(
    session: _TellingSession, began: SessionTransaction, connection: Connection
) -> None:
    try:
        _refuse_late(session)
        if isinstance(session, _OwnedSession) and not isinstance(session, _ReadSession):
            _refuse_autocommit(connection)
            _refuse_other_engine(connection)
            _note(session, connection)
    except (SessionSharedError, TransactionOwnedError):
        # The session has it already, and would use it if somebody swallowed the error.
        _give_back(began, connection)
        raise


def _blame_sharing(error: ResourceClosedError) -> None:
    """Raise what came first, where it was another task that closed the transaction.

    SQLAlchemy rolls back what failed, and says that it is closed already.
    """
    before = error.__context__
    while before is not None and not isinstance(before, SessionSharedError):
        before = before.__context__
    if before is not None:
        raise SessionSharedError("end the session") from error


def _refuse_late(session: _TellingSession) -> None:
    if _OVER in session.info:
        raise SessionSharedError("end the block")


def _note(session: _OwnedSession, connection: Connection) -> None:
    # By its own method the dialect would look for options of its own among them each time.
    connection._execution_options = connection._execution_options.union({OWNER: session})  # noqa: SLF001
    mark(connection.connection, session)
    session.info.setdefault(_CONNECTIONS, []).append(connection)
    session.info.setdefault(_CHECKS, []).append(_compare(connection))


def _connections(transaction: SessionTransaction | None) -> Iterator[Connection]:
    while transaction is not None:
        yield from {held[0] for held in transaction._connections.values()}  # noqa: SLF001
        transaction = transaction.parent


def _give_back(transaction: SessionTransaction | None, only: Connection | None = None) -> None:
    """Let go of connections as SQLAlchemy does, which leaves those that fail to the collector."""
    while transaction is not None:
        held = transaction._connections  # noqa: SLF001  -- there is no other way
        for connection, begun, ours, taken in set(held.values()):
            if only is not None and connection is not only:
                continue
            for key in (connection, connection.engine):
                held.pop(key, None)
            with suppress(Exception):
                if ours and begun.is_active:
                    begun.close()
            with suppress(Exception):
                if taken:
                    connection.close()
        transaction = transaction.parent


def _compare(connection: Connection) -> Callable[[], bool]:
    """Give a function that tells whether the connection's transaction is still the one of now."""
    root, driver = connection.get_transaction(), connection.get_execution_options()[TRANSACTION]
    begun = driver(connection)

    def is_same() -> bool:
        if root is None or not root.is_active or connection.closed or connection.invalidated:
            return False
        return bool(driver(connection) == begun)

    return is_same


def _refuse_autocommit(connection: Connection) -> None:
    if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
        raise TransactionOwnedError(
            "isolation level AUTOCOMMIT inside begin(): each statement would be stored by itself; "
            "use db.session() for that"
        )


def _refuse_other_engine(connection: Connection) -> None:
    if TRANSACTION not in connection.get_execution_options():
        raise TransactionOwnedError(
            "a statement for another engine inside begin(): the block is one transaction of its "
            "own database; open a session for the other"
        )
