"""Sessions that cannot end a transaction which is not theirs, or write where they only read."""

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, SessionTransaction

from holdfast.database.statements import ends_transaction, may_write, shortened
from holdfast.errors import ReadOnlyError, SessionSharedError, TransactionOwnedError

_LOCKED = "holdfast.locked"
_CONCURRENT = "isce"  # SQLAlchemy's code for a session in the middle of something
_CHECKS = "holdfast.checks"
_CONNECTIONS = "holdfast.connections"
# Execution options: which session a connection works for, what tells one of the driver's
# transactions from the next, and the engine's own BEGIN.
_OWNER = "holdfast_owner"
TRANSACTION = "holdfast_transaction"
OWN_STATEMENT = "holdfast_own_statement"
# Execution option: what begins a transaction of SQLite, None for no transaction at all.
SQLITE_BEGIN = "holdfast_sqlite_begin"


class _OwnedSession(Session):
    """Refuses what would end the transaction, until its owner unlocks it."""

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

    def reset(self) -> None:
        self.refuse_ending("session.reset()")
        super().reset()

    def invalidate(self) -> None:
        self.refuse_ending("session.invalidate()")
        super().invalidate()

    def _connection_for_bind(self, *args: Any, **options: Any) -> Any:
        try:
            return super()._connection_for_bind(*args, **options)
        except InvalidRequestError as error:
            if error.code == _CONCURRENT:
                raise SessionSharedError("take a connection") from error
            raise

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

    def flush(self, objects: Sequence[Any] | None = None) -> None:
        self.refuse_changes()
        super().flush(objects)

    def begin_nested(self) -> NoReturn:
        raise ReadOnlyError("session.begin_nested() inside read(): there is nothing to undo there")

    def refuse_changes(self) -> None:
        """Raise when an object was added, changed or deleted."""
        changed = [*self.new, *self.deleted, *filter(self.is_modified, self.dirty)]
        if changed:
            _refuse_write(f"a changed {type(changed[0]).__name__}")


class OwnedSession(AsyncSession):
    """The session of `begin()` and `run()`."""

    sync_session_class = _OwnedSession

    async def finish(self) -> None:
        """End the block's transaction: what it did is stored."""
        await self.commit()


class ReadSession(AsyncSession):
    """The session of `read()`."""

    sync_session_class = _ReadSession

    async def finish(self) -> None:
        """Let no change be dropped without a word; closing ends what there is to end."""
        assert isinstance(self.sync_session, _ReadSession)
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


def was_ended(session: AsyncSession) -> bool:
    """Tell whether a transaction of the connections was ended behind the session's back."""
    return not all(is_same() for is_same in session.info.get(_CHECKS, ()))


def lost_connection(session: AsyncSession) -> bool:
    """Tell whether a connection of the session's transaction was lost."""
    return any(each.invalidated for each in session.info.get(_CONNECTIONS, ()))


def guard_transactions(engine: Engine) -> None:
    """Make it an error to end an owned transaction through its connection or as SQL text.

    A commit must not get that far: what it stored could not be taken back.
    """
    event.listen(engine, "commit", _refuse_foreign_commit)
    event.listen(engine, "before_cursor_execute", _refuse_ending_sql)


def refuse_writes(engine: Engine) -> None:
    """Make every statement on this engine that would write an error, before it is sent.

    It sees the final SQL, so ORM, Core, text and driver strings alike. A function that writes
    is not seen; `read(snapshot=True)` has the server itself refuse that.
    """
    event.listen(engine, "before_cursor_execute", _refuse_writing_sql)


@event.listens_for(_OwnedSession, "after_begin")
def _note_connection(session: Session, _began: object, connection: Connection) -> None:
    if isinstance(session, _ReadSession):  # which has nothing to store
        return
    _refuse_autocommit(connection)
    _refuse_other_engine(connection)
    # By its own method the dialect would look for options of its own among them each time.
    connection._execution_options = connection._execution_options.union({_OWNER: session})  # noqa: SLF001
    session.info.setdefault(_CONNECTIONS, []).append(connection)
    session.info.setdefault(_CHECKS, []).append(_compare(connection))


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


def _refuse_foreign_commit(conn: Connection) -> None:
    owner = conn.get_execution_options().get(_OWNER)
    if owner is not None:
        owner.refuse_ending("a commit of the connection or transaction")


def _refuse_ending_sql(
    conn: Connection, _cursor: object, statement: str, _values: object, context: Any, _many: object
) -> None:
    if ends_transaction(statement) and not _is_own(context):
        conn.get_execution_options()[_OWNER].refuse_ending(f"the statement {shortened(statement)}")


def _refuse_writing_sql(
    _conn: Connection, _cursor: object, statement: str, _values: object, context: Any, _many: object
) -> None:
    if may_write(statement) and not _is_own(context):
        _refuse_write(f"the statement {shortened(statement)}")


def _is_own(context: Any) -> bool:
    return bool(context.execution_options.get(OWN_STATEMENT))


def _refuse_write(what: str) -> NoReturn:
    raise ReadOnlyError(f"{what} inside read(): use begin() or run() to write")
