"""Run a unit of work again when that is safe, and only then.

    deck = await retry(attempt, policy=RetryPolicy())

What may be run again is decided by the SQLSTATE of its error, or by the loss of its connection:
see `TRANSIENT`. An error that is not there is passed on at once.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, TypeVar

from holdfast.errors import (
    CANNOT_CONNECT_NOW,
    DEADLOCK_DETECTED,
    SERIALIZATION_FAILURE,
    TOO_MANY_CONNECTIONS,
    ConfigurationError,
    HoldfastError,
    UnavailableError,
    require_seconds,
)
from holdfast.events import Event, Events

R = TypeVar("R")


class Kind(Enum):
    """Why something may be run again, which decides how soon and how often; the slowest first."""

    LOST = "the connection was lost"
    CONFLICT = "another transaction was in the way"
    STALE_PLAN = "a cached plan no longer fits the schema"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transient:
    """An error that another attempt may not meet.

    Attributes:
        kind: decides when there is another attempt.
        reason: why that is safe and may help.
    """

    kind: Kind
    reason: str


_LOST = Transient(
    kind=Kind.LOST,
    reason="the server has rolled the transaction back, and a new connection may find it well",
)
_UNREACHED = Transient(kind=Kind.LOST, reason="nothing was sent to the server")
_STALE_PLAN = Transient(
    kind=Kind.STALE_PLAN,
    reason="the transaction is undone, and the statement is planned anew",
)

# From PostgreSQL's appendix A. What is not here would fail again, or its outcome is not known.
TRANSIENT: Mapping[str, Transient] = {
    SERIALIZATION_FAILURE: Transient(
        kind=Kind.CONFLICT,
        reason="the server undid this transaction so that another one holds, also at COMMIT",
    ),
    DEADLOCK_DETECTED: Transient(
        kind=Kind.CONFLICT, reason="the server undid this transaction to end a deadlock"
    ),
    "08000": _LOST,  # connection_exception
    "08003": _LOST,  # connection_does_not_exist: asyncpg, when the server hung up
    "08006": _LOST,  # connection_failure
    "57P01": _LOST,  # admin_shutdown: pg_terminate_backend, a restart
    "57P02": _LOST,  # crash_shutdown: another server process crashed
    "57P05": _LOST,  # idle_session_timeout
    "08001": _UNREACHED,  # sqlclient_unable_to_establish_sqlconnection
    "08004": _UNREACHED,  # sqlserver_rejected_establishment_of_sqlconnection
    CANNOT_CONNECT_NOW: _UNREACHED,
    TOO_MANY_CONNECTIONS: _UNREACHED,
    "26000": _STALE_PLAN,  # invalid_sql_statement_name: a pooler moved us to another server
}
# The function of the server that answers 0A000 with "cached plan must not change result type";
# the SQLSTATE alone says no more than "not supported".
_REVALIDATES = "RevalidateCachedQuery"
_DOUBLES_AT_MOST = 30  # times: longer than any budget, and still a number


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often a unit of work is run again, and after how long; seconds.

    Attributes:
        reconnects: attempts after a lost connection; 0 for none.
        reconnect_delay: before each of them.
        conflict_budget: no new attempt begins when so much time has passed since the first; 0
            for none.
        conflict_delay: before the second attempt after a conflict at most; it doubles with each,
            and half of it is left to chance.
        resolve: ask the server for the outcome of a COMMIT that got no answer. It costs each unit
            of work a round trip.
    """

    reconnects: int = 1
    reconnect_delay: float = 1.0
    conflict_budget: float = 5.0
    conflict_delay: float = 0.02
    resolve: bool = False

    def __post_init__(self) -> None:
        if type(self.reconnects) is not int or self.reconnects < 0:
            raise ConfigurationError(
                f"reconnects is {self.reconnects!r}; it is a whole number of at least 0"
            )
        require_seconds(self, "reconnect_delay", "conflict_budget", "conflict_delay")
        if type(self.resolve) is not bool:
            raise ConfigurationError(f"resolve is {self.resolve!r}; it is True or False")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried(Event):
    """A unit of work failed and will be run again after `delay` seconds."""

    level: ClassVar[int] = logging.WARNING

    work: str
    attempt: int
    reason: str
    error: str
    delay: float


def classify(error: BaseException) -> Transient | None:
    """Tell why the work that ended with this error may be run again; None where it may not.

    It looks at errors of SQLAlchemy and of drivers, and at `UnavailableError`. An OSError of
    somebody's own is nobody's lost connection. A group may be run again when all in it may.
    """
    if isinstance(error, ExceptionGroup):
        return _slowest([classify(each) for each in error.exceptions])
    if isinstance(error, UnavailableError):
        return _classify_connecting(error)
    if isinstance(error, HoldfastError):
        return None
    origin: Any = getattr(error, "orig", None) or error
    if getattr(error, "connection_invalidated", False):
        return _LOST
    if _is_stale_plan(origin):
        return _STALE_PLAN
    return TRANSIENT.get(getattr(origin, "sqlstate", None) or "")


async def retry(
    attempt: Callable[[], Awaitable[R]],
    *,
    policy: RetryPolicy,
    name: str = "work",
    events: Events | None = None,
) -> R:
    """Await `attempt()` until it succeeds, fails for good, or the policy says that it is enough.

    Each attempt must be whole in itself: its own session, its own transaction, COMMIT included.

    Raises:
        Exception: the one of the last attempt.
    """
    turn = _Turn(policy)
    while True:
        try:
            return await attempt()
        except Exception as error:
            transient = classify(error)
            delay = turn.delay(transient)
            if transient is None or delay is None:
                if turn.attempts > 1:
                    error.add_note(f"{name} was tried {turn.attempts} times")
                raise
            if events:
                events.emit(_retried(name, turn, transient, error, delay))
        await asyncio.sleep(delay)


class _Turn:
    """How far one unit of work has come with its attempts."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._began = time.monotonic()
        self._by_kind = dict.fromkeys(Kind, 0)
        self.attempts = 0

    def delay(self, transient: Transient | None) -> float | None:
        """Give the seconds until another attempt, None for no other."""
        self.attempts += 1
        if transient is None:
            return None
        before = self._by_kind[transient.kind]
        self._by_kind[transient.kind] += 1
        if transient.kind is Kind.CONFLICT:
            return self._after_conflict(before)
        if transient.kind is Kind.STALE_PLAN:
            return 0.0 if before == 0 else None
        return self._policy.reconnect_delay if before < self._policy.reconnects else None

    def _after_conflict(self, before: int) -> float | None:
        most = self._policy.conflict_delay * 2 ** min(before, _DOUBLES_AT_MOST)
        delay = most * random.uniform(0.5, 1)  # noqa: S311  -- no secret
        left = self._policy.conflict_budget - (time.monotonic() - self._began)
        return delay if delay < left else None


def _classify_connecting(error: UnavailableError) -> Transient | None:
    """Refused, silent or not found may be a server that is being restarted."""
    if error.lasting:
        return None
    if error.sqlstate:
        return TRANSIENT.get(error.sqlstate)
    return _UNREACHED if error.__cause__ else None


def _slowest(verdicts: Sequence[Transient | None]) -> Transient | None:
    """Give the verdict that asks for the longest wait; None where one of them says no."""
    found = [verdict for verdict in verdicts if verdict is not None]
    if len(found) < len(verdicts):
        return None
    return min(found, key=lambda verdict: list(Kind).index(verdict.kind))


def _is_stale_plan(origin: Any) -> bool:
    # asyncpg's own fields, psycopg's under `diag`; SQLAlchemy's adapter keeps asyncpg's error as
    # the cause.
    for error in (origin, getattr(origin, "__cause__", None), getattr(origin, "diag", None)):
        for field in ("server_source_function", "source_function"):
            if getattr(error, field, None) == _REVALIDATES:
                return True
    return type(getattr(origin, "__cause__", None)).__name__ == "InvalidCachedStatementError"


def _retried(
    name: str, turn: _Turn, transient: Transient, error: Exception, delay: float
) -> Retried:
    origin: Any = getattr(error, "orig", None) or error
    said = type(origin).__name__
    state = getattr(origin, "sqlstate", None)
    return Retried(
        work=name,
        attempt=turn.attempts,
        reason=transient.kind.value,
        error=f"{said} {state}" if state else said,
        delay=round(delay, 3),
    )
