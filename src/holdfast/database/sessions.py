"""Sessions that cannot end a transaction which is not theirs, or write where they only read."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NoReturn

from sqlalchemy import Connection, Engine, event
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, SessionTransaction

from holdfast.errors import ReadOnlyError, TransactionOwnedError

_LOCKED = "holdfast.locked"
# What a reading statement begins with; a WITH that writes, and SELECT … FOR UPDATE or INTO, are
# found by the second pattern, once texts, quoted names and comments are out of the way.
_READS = re.compile(r"[\s(]*(?:select|with|values|table|show|explain)\b", re.IGNORECASE)
_WRITES = re.compile(r"\b(?:insert|update|delete|merge|analyze|into)\b", re.IGNORECASE)
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/", re.DOTALL)


class _OwnedSession(Session):
    """Refuses what would end the transaction, until its owner unlocks it."""

    _block = "begin()"

    def begin(self, nested: bool = False) -> SessionTransaction:  # noqa: FBT001, FBT002
        if not nested:
            self._refuse_ending("begin")
        return super().begin(nested=nested)

    def commit(self) -> None:
        self._refuse_ending("commit")
        super().commit()

    def rollback(self) -> None:
        self._refuse_ending("rollback")
        super().rollback()

    def prepare(self) -> None:
        self._refuse_ending("prepare")
        super().prepare()

    def close(self) -> None:
        self._refuse_ending("close")
        super().close()

    def reset(self) -> None:
        self._refuse_ending("reset")
        super().reset()

    def invalidate(self) -> None:
        self._refuse_ending("invalidate")
        super().invalidate()

    def _refuse_ending(self, what: str) -> None:
        if _LOCKED in self.info:
            raise TransactionOwnedError(
                f"session.{what}() inside {self._block}: the transaction ends with the block; "
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


class ReadSession(AsyncSession):
    """The session of `read()`."""

    sync_session_class = _ReadSession


def lock(session: AsyncSession) -> None:
    """Make the session refuse commit, rollback and close from now on."""
    session.info[_LOCKED] = True


def unlock(session: AsyncSession) -> None:
    """Let the owner of the block end the transaction."""
    session.info.pop(_LOCKED, None)


def refuse_changes(session: AsyncSession) -> None:
    """Raise when a reading session holds changes, which would be dropped without a word."""
    if isinstance(session.sync_session, _ReadSession):
        session.sync_session.refuse_changes()


def refuse_writes(engine: Engine) -> None:
    """Make every statement on this engine that would write an error, before it is sent.

    It sees the final SQL, so ORM, Core, text and driver strings alike. A function that writes
    is not seen; `read(snapshot=True)` has the server itself refuse that.
    """
    event.listen(engine, "before_cursor_execute", _refuse_writing_sql)


def _refuse_writing_sql(_conn: Connection, _cursor: object, statement: str, *_more: object) -> None:
    if _may_write(statement):
        words = " ".join(statement.split())
        _refuse_write(f"the statement {words if len(words) <= 60 else words[:59] + '…'!r}")


@lru_cache(maxsize=1024)
def _may_write(sql: str) -> bool:
    bare = _QUOTED.sub(" ", sql)
    return not _READS.match(bare) or bool(_WRITES.search(bare))


def _refuse_write(what: str) -> NoReturn:
    raise ReadOnlyError(f"{what} inside read(): use begin() or run() to write")
