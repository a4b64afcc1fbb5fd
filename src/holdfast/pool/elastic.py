"""The pool: SQLAlchemy's interface, growing and shrinking, first come, first served."""

import asyncio
import copy
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Self

from sqlalchemy.exc import MissingGreenlet
from sqlalchemy.pool import ConnectionPoolEntry, Pool
from sqlalchemy.util import await_only, greenlet_spawn
from sqlalchemy.util.concurrency import in_greenlet

from holdfast.errors import (
    PoolExhaustedError,
    UnavailableError,
    WrongLoopError,
)
from holdfast.events import Events
from holdfast.pool.alarm import Alarm
from holdfast.pool.callers import Caller
from holdfast.pool.condition import expiry, is_good, is_quiet
from holdfast.pool.holders import Holder, Lease, describe
from holdfast.pool.line import Line, Place
from holdfast.pool.outside import explain_outside
from holdfast.pool.policy import PoolPolicy
from holdfast.pool.record import Record

# A server that does not answer a ping by then is not worth a caller's time.
_PING_TIMEOUT = 2.0  # seconds
_RENEW_TIMEOUT = 2.0  # what has not ended by then is closed, which ends it, too
_TRY_AGAIN = 1.0  # seconds until another attempt where a connection could not be made

Background = set[asyncio.Task[Any]]
Renew = Callable[[Record], Callable[[], Awaitable[None]]]


class ElasticPool(Pool):
    """Connections between `min_size` and `max_size`, handed over in the order they are asked for.

    A connection is made, and closed, by a task of the pool. So a caller that is cancelled takes
    nothing with it, and one that waits gets whatever is there first: a connection that was given
    back or a new one. Tasks that ask for a connection belong to one event loop at a time.

    Args:
        creator: as for any pool of SQLAlchemy.
        policy: sizes and limits.
        facts: told when a connection is held for too long.
        leaving: holds the pool's tasks; whoever closes the engine awaits them.
        renew: gives what makes a connection as new that a cancelled task has left in the middle of
            something, or raises; its place gets another object for it. Without it such a
            connection is closed.
        **options: of `sqlalchemy.pool.Pool`.
    """

    _is_asyncio = True
    # For connections that can move between event loops.
    any_loop = False

    def __init__(
        self,
        creator: Callable[..., Any],
        policy: PoolPolicy,
        facts: Events,
        leaving: Background,
        renew: Renew | None = None,
        **options: Any,
    ) -> None:
        super().__init__(creator, **options)
        self.policy = policy
        self._facts = facts
        self._leaving = leaving
        self.renew = renew
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle: deque[tuple[ConnectionPoolEntry, float]] = deque()
        self._leases: dict[ConnectionPoolEntry, Lease] = {}
        self._line = Line(policy)
        self._connecting: Background = set()
        self._closing: Background = set()
        self._refused: Exception | None = None  # why no connection could be made, the last time
        self._tries_after = 0.0
        self._doubted = -math.inf  # what has been idle since is asked before it is used
        self._keeps_warm = self._disposed = False
        self._alarm = Alarm(self._wake)

    # What SQLAlchemy asks of a pool

    def recreate(self) -> Self:
        """Give an empty pool of the same kind, which takes this one's place."""
        pool = type(self)(
            self._creator,
            policy=self.policy,
            facts=self._facts,
            leaving=self._leaving,
            renew=self.renew,
            recycle=self._recycle,
            echo=self.echo,
            logging_name=self._orig_logging_name,
            reset_on_return=self._reset_on_return,
            _dispatch=self.dispatch,
            dialect=self._dialect,
        )
        pool.any_loop = self.any_loop
        # From its first use on.
        pool._keeps_warm, self._keeps_warm = self._keeps_warm, False  # noqa: SLF001  -- of this class
        return pool

    def dispose(self) -> None:
        """Close what is idle now, and the rest when it is given back."""
        self._disposed = True
        idle = [record for record, _ in self._idle]
        self._idle.clear()
        if self._is_at_home():
            closing = {task for record in idle if (task := self._retire(record))}
            if closing and in_greenlet():
                await_only(asyncio.wait(closing))
        else:
            self._abandon(idle)
        if not self._line and not self._leases:
            self._alarm.stop()

    def status(self) -> str:
        """Say how many connections there are, and what they do."""
        return (
            f"connections: {self.size()} of {self.policy.max_size}, {self.checkedout()} in use, "
            f"{self.checkedin()} idle, {len(self._connecting)} being made, "
            f"{len(self._closing)} being closed; callers waiting: {len(self._line)}"
        )

    def size(self) -> int:
        """Count the connections, those included that are being made or closed."""
        busy = len(self._connecting) + len(self._closing)
        return len(self._idle) + len(self._leases) + busy

    def checkedin(self) -> int:
        """Count those that are idle."""
        return len(self._idle)

    def checkedout(self) -> int:
        """Count those that somebody has."""
        return len(self._leases)

    # What is more than SQLAlchemy's

    def connecting(self) -> int:
        """Count those that are being made."""
        return len(self._connecting)

    def holders(self) -> Sequence[Holder]:
        """Say who has a connection, who has had one for longest first."""
        return [lease.holder() for lease in self._leases.values()]  # in the order they were lent

    def waiting(self) -> Sequence[Caller]:
        """Say who waits for a connection, first come, first served."""
        return self._line.callers()

    def note(self, entry: ConnectionPoolEntry | None, statement: str) -> None:
        """Remember the last statement that was sent on a connection."""
        lease = self._leases.get(entry) if entry else None
        if lease is not None:
            lease.statement = statement

    def keep_warm(self) -> None:
        """Have `min_size` connections from now on, without waiting for them."""
        self._enter_loop()
        self._keeps_warm = True
        self._grow()

    def retire_with(self, entry: ConnectionPoolEntry) -> None:
        """Use no more what is as old as this connection, or older; each goes when it is idle."""
        made = entry.last_connect_time  # type: ignore[attr-defined]  # SQLAlchemy's record has it
        self._invalidate_time = max(self._invalidate_time, math.nextafter(made, math.inf))

    def _invalidate(
        self,
        connection: Any,
        exception: BaseException | None = None,
        _checkin: bool = True,  # noqa: FBT001, FBT002  -- SQLAlchemy's signature
    ) -> None:
        """Doubt what is idle when a connection was found lost, rather than close it all.

        A server that restarted has ended all of them, an administrator perhaps the one.
        """
        self._doubted = time.monotonic()
        if _checkin and connection.is_valid:
            connection.invalidate(exception)

    # Taking and giving back

    def _do_get(self) -> ConnectionPoolEntry:
        if not in_greenlet():
            raise MissingGreenlet(explain_outside())
        self._enter_loop()
        lease = Lease()
        record = self._lend_idle(lease)
        if record is None:
            # Places that a connection is made for.
            self._line.refuse_overload(self.policy.max_size - len(self._leases))
        while record is None:
            record = await_only(self._wait(lease)) or self._lend_idle(lease)
        return record

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        lease = self._leases.pop(record, None)
        if self._is_at_home():
            if lease is not None:
                self._offer(record)
            else:  # lent in a loop that has ended
                self._abandon([record])
        elif self._loop is not None:
            # Python's garbage collector found it, maybe in another thread; SQLAlchemy closed it.
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._grow_at_home)

    def _lend_idle(self, lease: Lease) -> ConnectionPoolEntry | None:
        """Lend the connection that was used last, so that the others may be given up."""
        while self._idle and not self._line:
            record, since = self._idle.pop()
            if not is_good(record, self.policy.max_lifetime):
                self._retire(record)
                continue
            self._lend(record, lease)
            if self._still_works(record, since):
                return record
        return None

    async def _wait(self, lease: Lease) -> ConnectionPoolEntry | None:
        place: Place = asyncio.get_running_loop().create_future()
        self._line.join(place, lease)
        self._grow()
        self._alarm.set(self._line.deadline(lease))
        try:
            record = await place
        except BaseException:
            self._line.leave(place)
            if place.done() and not place.cancelled() and place.exception() is None:
                self._do_return_conn(place.result())  # handed over in the same moment
            raise
        if not record._is_hard_or_soft_invalidated():  # type: ignore[attr-defined]  # noqa: SLF001
            return record
        # Since it was handed over another caller has found its server gone or demoted.
        del self._leases[record]
        self._retire(record)
        return None

    def _offer(self, record: ConnectionPoolEntry, *, new: bool = False) -> None:
        """Hand a connection to whoever has waited longest, or keep it for the next."""
        # A new one serves once, however short its lifetime: nobody would ever get any.
        if not is_good(record, 0 if new else self.policy.max_lifetime):
            self._retire(record)
        elif first := self._line.first():
            place, lease = first
            self._lend(record, lease)
            self._line.serve(lease)
            place.set_result(record)
        elif self._disposed:
            self._retire(record)
        else:
            now = time.monotonic()
            self._idle.append((record, now))
            self._alarm.set(
                min(
                    now + (self.policy.idle_timeout or math.inf),
                    expiry(record, self.policy.max_lifetime),
                )
            )

    def _lend(self, record: ConnectionPoolEntry, lease: Lease) -> None:
        lease.begin()
        self._leases[record] = lease
        self._alarm.set(lease.since + (self.policy.report_after or math.inf))

    def _exhausted(self) -> PoolExhaustedError:
        busy = f"{self.checkedout()} of {self.policy.max_size} are in use"
        said = f"no connection came free within {self.policy.timeout:g} s: {busy}"
        if self._refused is not None:
            said += f"\nA new one could not be made: {self._refused}"
        if self._leases:
            said += (
                f"\nHeld, longest first:\n{describe(self.holders())}\nEnd sessions and "
                "transactions there sooner (no slow call while one is open), or raise "
                "PoolPolicy.max_size"
            )
        return PoolExhaustedError(said)

    # Whether a connection works, and what happens if not

    def _still_works(self, record: ConnectionPoolEntry, since: float) -> bool:
        """Ask the server after a while, or in doubt; without an answer, no older one is used."""
        fresh = time.monotonic() - since < self.policy.ping_after
        if fresh and since > self._doubted and is_quiet(record):
            return True
        try:
            works = await_only(self._ping(record))
        except BaseException:
            self._drop(record)
            raise
        if not works:
            self._invalidate_time = time.time()
        if not is_good(
            record, self.policy.max_lifetime
        ):  # because of this answer, or another caller's
            self._drop(record)
            return False
        return True

    async def _ping(self, record: ConnectionPoolEntry) -> bool:
        dialect: Any = self._dialect
        # In a task of its own: what a driver makes of a cancelled ping is not the caller's end.
        ping = asyncio.create_task(greenlet_spawn(dialect.do_ping, record.dbapi_connection))
        self._leaving.add(ping)
        ping.add_done_callback(self._let_go)
        try:
            await asyncio.wait({ping}, timeout=_PING_TIMEOUT)
            return ping.done() and bool(ping.result())
        except (dialect.loaded_dbapi.Error, OSError):
            return False
        finally:
            ping.cancel()

    def _drop(self, record: ConnectionPoolEntry) -> None:
        self._leases.pop(record, None)
        record.invalidate()
        self._grow()

    # Making and closing connections, in tasks of the pool

    def _grow(self) -> None:
        """Begin to make the connections that are wanted and allowed."""
        while self.size() < self.policy.max_size:
            wanted = len(self._line) > len(self._connecting)
            cold = self._keeps_warm and not self._disposed and self.size() < self.policy.min_size
            if not (wanted or cold) or not self._may_try(wanted=wanted):
                return
            self._start(self._connect(), self._connecting)

    def _may_try(self, *, wanted: bool) -> bool:
        """Tell whether to connect now; after a failure one at a time, and not all the time."""
        if self._refused is None:
            return True
        if self._connecting:
            return False
        if (wanted and not self._leases) or time.monotonic() >= self._tries_after:
            return True
        self._alarm.set(self._tries_after)
        return False

    def _grow_at_home(self) -> None:
        if self._is_at_home():
            self._grow()

    async def _connect(self) -> None:
        task = asyncio.current_task()
        try:
            record = await greenlet_spawn(self._create_connection)
        except Exception as error:  # noqa: BLE001  -- whoever waits gets it
            self._connecting.discard(task)
            self._pass_on(error)
        else:
            self._connecting.discard(task)
            self._refused = None
            self._offer(record, new=True)

    def _pass_on(self, error: Exception) -> None:
        """Let those who wait know why there is no connection, if none can come free."""
        self._refused, self._tries_after = error, time.monotonic() + _TRY_AGAIN
        unavailable = isinstance(error, UnavailableError)
        if unavailable and self._leases:
            return
        while first := self._line.first():
            first[0].set_exception(_copied(error))
            if self._connecting or not unavailable:
                return  # the next may have more luck

    def _create_connection(self) -> ConnectionPoolEntry:
        return Record(self, self._cut)

    def _cut(self, record: Record) -> None:
        """Have what a cancelled task left made as new, for to connect takes ten times as long."""
        if self.renew is not None and self._is_at_home():
            self._start(self._take_back(record, self.renew(record)), self._connecting)
        else:
            self._close_connection(record.dbapi_connection, terminate=True)

    async def _take_back(self, record: Record, renew: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.current_task()
        try:
            async with asyncio.timeout(_RENEW_TIMEOUT):
                await renew()
                await greenlet_spawn(self.dispatch.connect, record.dbapi_connection, record)
        except Exception:  # noqa: BLE001  -- whatever it is, another one will do
            self._connecting.discard(task)
            self._close_connection(record.dbapi_connection, terminate=True)
        except BaseException:
            self._abandon([record])  # the loop ends
            raise
        else:
            self._connecting.discard(task)
            self._offer(record)

    def _retire(self, record: ConnectionPoolEntry) -> "asyncio.Task[Any] | None":
        """Close a connection that nobody has, politely."""
        if record.dbapi_connection is None:
            # In a moment: it may be closing only now.
            asyncio.get_running_loop().call_soon(self._grow_at_home)
            return None
        return self._start(greenlet_spawn(record.close), self._closing)

    def _close_connection(self, connection: Any, *, terminate: bool = False) -> None:
        """Close a connection; one that was cut short ends its statement first, by itself.

        A cancelled task cannot wait for that: in anyio's scopes each further await is cancelled,
        too, so that the statement would go on on the server. Where there is time to be polite
        terminating is, too, but it has a limit, and expects that the connection may be broken.
        """
        close = partial(super()._close_connection, connection, terminate=True)
        if terminate and self._is_at_home():
            self._start(greenlet_spawn(close), self._closing)
        elif terminate and self._loop is not None and self._loop.is_running():
            self._loop.call_soon_threadsafe(self._close_at_home, close)
        else:
            close()

    def _close_at_home(self, close: Callable[[], None]) -> None:
        self._start(greenlet_spawn(close), self._closing)

    def _start(self, work: Coroutine[Any, Any, Any], kind: Background) -> "asyncio.Task[Any]":
        task = asyncio.get_running_loop().create_task(work)
        kind.add(task)
        self._leaving.add(task)
        task.add_done_callback(lambda ended: self._end(ended, kind))
        return task

    def _end(self, task: "asyncio.Task[Any]", kind: Background) -> None:
        kind.discard(task)
        self._let_go(task)
        if not task.cancelled():
            self._grow_at_home()

    def _let_go(self, task: "asyncio.Task[Any]") -> None:
        self._leaving.discard(task)
        if not task.cancelled():
            task.exception()  # asked for, so that nobody reports it as overlooked

    # The loop, and what is due later

    def _enter_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if self._is_at_home():
            return
        if self._loop is not None:
            self._leave_loop(self._loop)
        self._move_to(loop)

    def _move_to(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._alarm.forget()

    def _leave_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin anew when the loop of before is closed."""
        if not loop.is_closed() and self.size():
            raise WrongLoopError(
                f"connections of this database ({self.size()}) belong to another event loop, which "
                "is not closed: an asyncio connection works in one loop only. Make a Database in "
                "each loop (in each thread), or give tests and fixtures that share one the same "
                "loop (loop_scope)"
            )
        idle = [record for record, _ in self._idle]
        for kept in (self._idle, self._leases, self._line, self._connecting, self._closing):
            kept.clear()
        self._abandon(idle)

    def _abandon(self, records: Sequence[ConnectionPoolEntry]) -> None:
        """Let go of connections whose loop has ended: nothing can be sent on them any more."""
        for record in records:
            with suppress(Exception):
                super()._close_connection(record.dbapi_connection, terminate=True)  # type: ignore[arg-type]  # idle ones have it

    def _is_at_home(self) -> bool:
        """Tell whether the pool's own loop runs here."""
        running = asyncio._get_running_loop()  # noqa: SLF001  -- get_running_loop raises
        if self.any_loop and running is not None and running is not self._loop:
            self._move_to(running)
        return running is not None and running is self._loop

    def _wake(self) -> None:
        """Do what is due, and come back when something else is."""
        if not self._is_at_home():
            return  # a timer of a loop that was left
        self._alarm.stop()
        now = time.monotonic()
        dues = [self._expire(now), self._report(now), self._shrink(now)]
        self._grow()
        self._alarm.set(min(dues))

    def _expire(self, now: float) -> float:
        """Tell those who have waited for too long.

        Whoever came first gets what is being made, which has a limit of its own.
        """
        first = len(self._connecting)
        for place in self._line.overdue(now, behind=first):
            place.set_exception(self._exhausted())
        due = self._line.next_deadline(behind=first)
        if due is None:
            return now + _TRY_AGAIN if self._line else math.inf
        return due

    def _report(self, now: float) -> float:
        """Tell of each connection that is held for too long, once."""
        if not self.policy.report_after:
            return math.inf
        next_due = math.inf
        for lease in list(self._leases.values()):  # an event's handler may give one back
            due = lease.since + self.policy.report_after
            if lease.reported:
                continue
            if due > now:
                next_due = min(next_due, due)
                continue
            lease.reported = True
            self._facts.emit(lease.event())
        return next_due

    def _shrink(self, now: float) -> float:
        """Close what has been idle for too long, or is too old."""
        keep = self.policy.idle_timeout or math.inf
        while self._idle and self._is_large():
            record, since = self._idle[0]
            if since + keep > now:
                break
            self._idle.popleft()
            self._retire(record)
        for each in [
            each for each in self._idle if expiry(each[0], self.policy.max_lifetime) <= now
        ]:
            self._idle.remove(each)
            self._retire(each[0])
        dues = [expiry(record, self.policy.max_lifetime) for record, _ in self._idle]
        if self._idle and self._is_large():
            dues.append(self._idle[0][1] + keep)
        return min(dues, default=math.inf)

    def _is_large(self) -> bool:
        """Tell whether there are more than stay open, without those that are being closed."""
        return self.size() - len(self._closing) > self.policy.min_size


def _copied(error: Exception) -> Exception:
    """Give each of several callers an error of its own: a traceback is added to it."""
    copied = copy.copy(error)
    copied.__cause__ = error.__cause__
    return copied
