"""Tell of statements that take too long, with the line of code that sent them."""

import inspect
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from sqlalchemy import Connection, ExceptionContext, event

from holdfast.database import Database
from holdfast.errors import ConfigurationError, require_seconds
from holdfast.events import Event, Events
from holdfast.pool import find_caller

T = TypeVar("T")
_BEGUN = "_holdfast_begun"


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowPolicy:
    """What is slow.

    Attributes:
        over: seconds that a statement may take; one that takes longer is told of.
        length: characters of its text that are told.
    """

    over: float = 0.5
    length: int = 1000

    def __post_init__(self) -> None:
        require_seconds(self, "over")
        if type(self.length) is not int or self.length < 1:
            raise ConfigurationError(f"length is {self.length!r}; it is a number of characters")


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowStatement(Event):
    """A statement took longer than it may.

    Attributes:
        statement: its text in one line, without the values that were bound to it.
        seconds: from sending it until its answer was there; of rows that are streamed, what was
            waited for so far.
        caller: the innermost line that is neither a library's nor Holdfast's.
        rows: returned or changed, None where the driver does not tell.
        error: the name of what ended it, `CancelledError` among them; empty where it was done.
    """

    level: ClassVar[int] = logging.WARNING

    statement: str
    seconds: float
    caller: str
    rows: int | None = None
    error: str = ""


def watch(db: Database, policy: SlowPolicy | None = None) -> None:
    """Emit a `SlowStatement` for each that is, from now on; call it once for a database.

    It sees what goes through SQLAlchemy in any way, and not what is told to the driver itself. A
    statement that is not slow costs about a microsecond.

    Args:
        db: its `events` are told.
        policy: what is slow.

    Raises:
        ConfigurationError: it is watched already.
    """
    engine = db.engine.sync_engine
    if event.contains(engine, "before_cursor_execute", _begin):
        raise ConfigurationError(f"the database at {db.url.place} is watched already; call it once")
    watch = _Watch(db.events, policy or SlowPolicy())
    event.listen(engine, "before_cursor_execute", _begin)
    event.listen(engine, "after_cursor_execute", watch.end)
    event.listen(engine, "handle_error", watch.fail)


def _begin(
    _conn: object, _cursor: object, _sql: str, _values: object, context: Any, _many: object
) -> None:
    context._holdfast_begun = time.perf_counter()  # noqa: SLF001  -- one's own, as SQLAlchemy's recipe


class _Watch:
    def __init__(self, events: Events, policy: SlowPolicy) -> None:
        self._events = events
        self._over = policy.over
        self._length = policy.length

    def end(
        self, _conn: Connection, cursor: Any, sql: str, _values: object, context: Any, _many: object
    ) -> None:
        """Look at one that was answered."""
        begun = getattr(context, _BEGUN, None)
        if begun is None:  # it was sent before it was watched
            return
        seconds = time.perf_counter() - begun
        context._holdfast_begun = None  # noqa: SLF001  -- an error from now on is another matter
        if seconds > self._over:
            self._tell(sql, seconds, rows=_rows(cursor))
        elif getattr(cursor, "server_side", False):
            cursor._cursor = _Streamed(cursor._cursor, seconds, self._over, sql, self._tell)  # noqa: SLF001  -- SQLAlchemy tells nobody of fetching

    def fail(self, context: ExceptionContext) -> None:
        """Look at one that ended in an error, or was cancelled."""
        begun = getattr(context.execution_context, _BEGUN, None)
        if begun is None or context.statement is None:
            return
        seconds = time.perf_counter() - begun
        if seconds > self._over:
            name = type(context.original_exception).__name__
            self._tell(context.statement, seconds, error=name)

    def _tell(self, sql: str, seconds: float, *, rows: int | None = None, error: str = "") -> None:
        words = " ".join(sql.split())
        told = words if len(words) <= self._length else words[: self._length - 1] + "…"
        self._events.emit(
            SlowStatement(
                statement=told,
                seconds=round(seconds, 3),
                caller=str(find_caller()),
                rows=rows,
                error=error,
            )
        )


class _Streamed:
    """A driver's cursor whose rows are waited for: that is where a slow query spends its time."""

    def __init__(
        self, cursor: Any, seconds: float, over: float, sql: str, tell: Callable[..., None]
    ) -> None:
        self._cursor = cursor
        self._seconds = seconds
        self._over = over
        self._sql = sql
        self._tell = tell
        self._told = False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._cursor, name)
        return self._timed(found) if callable(found) else found

    def _timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **options: Any) -> Any:
            answer = call(*args, **options)
            return self._wait(answer) if inspect.isawaitable(answer) else answer

        return timed

    async def _wait(self, answer: Awaitable[T]) -> T:
        begun, error = time.perf_counter(), ""
        try:
            return await answer
        except BaseException as raised:
            error = type(raised).__name__
            raise
        finally:
            self._seconds += time.perf_counter() - begun
            if self._seconds > self._over and not self._told:
                self._told = True
                self._tell(self._sql, self._seconds, error=error)


def _rows(cursor: Any) -> int | None:
    count: int = getattr(cursor, "rowcount", -1)
    return None if count < 0 else count
