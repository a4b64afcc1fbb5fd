"""A pool for databases with one writer at a time: writers take turns, readers pass them by."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Self
from weakref import ref

from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection
from sqlalchemy.util import await_only
from sqlalchemy.util.concurrency import in_greenlet

from holdfast.errors import PoolExhaustedError
from holdfast.pool.callers import Caller
from holdfast.pool.elastic import ElasticPool
from holdfast.pool.holders import Lease, describe
from holdfast.pool.line import Line

# Another process that waits looks every few milliseconds whether it may write. Between two short
# turns it finds the moment soon; between long ones there are few, so that one has to be longer.
_LONG = 0.06  # seconds
_PAUSE = 0.006
_WRITER = "SQLite has one writer at a time"
_CONNECTION = "this database has one connection"
_DEADLOCK = "it is this task's already, which would wait for itself"
_LATE = "no turn came within {within:g} s"
_ADVICE = (
    "Use the session that is open there, or end it before another begins; do nothing slow while "
    "one is open"
)
_READ = ". What only reads is for read(), which takes no turn"


class TurnTakingPool(ElasticPool):
    """Lends a connection to one writer at a time, first come, first served.

    Who waits for a turn has no connection yet, so that writers, however many, leave the others to
    those who only read. A pool of one connection has turns for all of them.

    Attributes:
        takes_turns: False for a pool whose connections cannot be in each other's way.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.takes_turns = True
        self._reads = False
        self._turn: _Turn | None = None
        self._turns = Line(replace(self.policy, min_size=0, max_size=1))

    def connect_to_read(self) -> PoolProxiedConnection:
        """Lend a connection on which nothing will be written."""
        self._reads = True  # until `_do_get`, before anything is awaited
        return self.connect()

    def recreate(self) -> Self:
        """Give an empty pool of the same kind, which takes this one's place."""
        pool = super().recreate()
        pool.takes_turns = self.takes_turns
        return pool

    def waiting(self) -> Sequence[Caller]:
        """Say who waits: for a turn, and for a connection."""
        return [*self._turns.callers(), *super().waiting()]

    def _do_get(self) -> ConnectionPoolEntry:
        reads, self._reads = self._reads, False
        if not self.takes_turns or (reads and self.policy.max_size > 1) or not in_greenlet():
            return super()._do_get()
        self._enter_loop()
        turn = _Turn()
        if self._turn is None:
            self._turn = turn
        else:
            await_only(self._wait_behind(self._turn, turn))
        try:
            turn.record = super()._do_get()
        except BaseException:
            self._end_turn(turn)
            raise
        return turn.record

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        super()._do_return_conn(record)
        turn = self._turn
        if turn is None or turn.record is not record:
            return
        if self._is_at_home():
            self._end_turn(turn)
        elif self._loop is not None:  # Python's garbage collector found it, maybe in a thread
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._end_turn, turn)

    async def _wait_behind(self, now: "_Turn", turn: "_Turn") -> None:
        if now.asker() is turn.asker() is not None:
            raise PoolExhaustedError(self._explain(_DEADLOCK))
        self._turns.refuse_overload(0)
        place: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._turns.join(place, turn)
        try:
            await asyncio.wait({place}, timeout=self.policy.timeout)
            if self._turn is turn and turn.after > _LONG and self.policy.max_size > 1:
                await asyncio.sleep(_PAUSE)
        except BaseException:
            self._end_turn(turn)  # where it came in the same moment
            raise
        finally:
            self._turns.leave(place)
        if self._turn is not turn:
            raise PoolExhaustedError(self._explain(_LATE.format(within=self.policy.timeout)))

    def _end_turn(self, turn: "_Turn") -> None:
        """Let whoever has waited longest be the next."""
        if self._turn is not turn:
            return  # of a loop that was left, or nobody's yet
        self._turn = None
        if first := self._turns.first():
            place, lease = first
            assert isinstance(lease, _Turn)
            lease.begin()
            lease.after = turn.seconds()
            self._turn = lease
            self._turns.serve(lease)
            handed: asyncio.Future[Any] = place
            handed.set_result(None)

    def _explain(self, said: str) -> str:
        """Say who is in the way, and what to do."""
        what, advice = _CONNECTION, _ADVICE
        if self.policy.max_size > 1:
            what, advice = _WRITER, _ADVICE + _READ
        turn = self._turn
        lease = self._leases.get(turn.record, turn) if turn and turn.record else turn
        held = f"\nIn use:\n{describe([lease.holder()])}" if lease else ""
        return f"{what}, and {said}{held}\n{advice}"

    def _leave_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        super()._leave_loop(loop)
        self._turn = None
        self._turns.clear()


class _Turn(Lease):
    """One caller's time as the writer, from asking for it to giving the connection back.

    Attributes:
        asker: gives the task, as long as there is one.
        record: the connection, once there is one.
        after: how long the turn before it lasted, where it came at once after that.
    """

    __slots__ = ("after", "asker", "record")

    def __init__(self) -> None:
        super().__init__()
        task = asyncio.current_task()
        # Weak: what a task has forgotten would never be found by the garbage collector.
        self.asker: Callable[[], asyncio.Task[Any] | None] = ref(task) if task else _nobody
        self.record: ConnectionPoolEntry | None = None
        self.after = 0.0


def _nobody() -> None:
    return None
