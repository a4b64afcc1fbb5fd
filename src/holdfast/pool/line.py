"""The line of those who wait for a connection: first come, first served."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from itertools import islice, takewhile

from sqlalchemy.pool import ConnectionPoolEntry

from holdfast.errors import OverloadedError
from holdfast.pool.callers import Caller
from holdfast.pool.holders import Lease
from holdfast.pool.pace import Pace
from holdfast.pool.policy import PoolPolicy

Place = asyncio.Future[ConnectionPoolEntry]


class Line:
    """Keeps the places of those who wait, in the order in which they asked.

    Args:
        policy: how long anybody waits, and how many may.
    """

    def __init__(self, policy: PoolPolicy) -> None:
        self._policy = policy
        self._waiting: OrderedDict[Place, Lease] = OrderedDict()
        self._pace = Pace(policy.max_size, policy.timeout / 2)

    def __len__(self) -> int:
        return len(self._waiting)

    def callers(self) -> Sequence[Caller]:
        """Say who waits, in order."""
        return [lease.caller for lease in self._waiting.values()]

    def deadline(self, lease: Lease) -> float:
        """Say until when somebody waits."""
        return lease.asked + self._policy.timeout

    def join(self, place: Place, lease: Lease) -> None:
        """Wait, behind those who asked before."""
        if not self._waiting:
            self._pace.begin(time.monotonic())
        last = next(reversed(self._waiting.values()), lease)
        self._waiting[place] = lease
        if last.asked > lease.asked:
            # Its connection did not work: that does not put it behind those who came later.
            self._waiting = OrderedDict(
                sorted(self._waiting.items(), key=lambda each: each[1].asked)
            )

    def leave(self, place: Place) -> None:
        """Wait no more."""
        self._waiting.pop(place, None)

    def first(self) -> tuple[Place, Lease] | None:
        """Take out whoever has waited longest."""
        while self._waiting:
            place, lease = self._waiting.popitem(last=False)
            if not place.done():  # or it was cancelled a moment ago
                return place, lease
        return None

    def serve(self, lease: Lease) -> None:
        """Count one who got a connection."""
        self._pace.serve(lease.since)

    def overdue(self, now: float, *, behind: int) -> list[Place]:
        """Take out those who have waited for too long.

        Args:
            now: by the monotonic clock.
            behind: how many in front are not asked.
        """
        others = islice(self._waiting.items(), behind, None)
        late = [place for place, _ in takewhile(lambda each: self.deadline(each[1]) <= now, others)]
        for place in late:
            del self._waiting[place]
        return [place for place in late if not place.done()]

    def next_deadline(self, *, behind: int) -> float | None:
        """Say when the next one will have waited for too long; None where nobody waits there."""
        leases = islice(self._waiting.values(), behind, None)
        return next((self.deadline(lease) for lease in leases), None)

    def clear(self) -> None:
        """Forget all of them."""
        self._waiting.clear()

    def refuse_overload(self, free: int) -> None:
        """Let nobody wait in vain.

        Args:
            free: how many could be given a new connection.

        Raises:
            OverloadedError: the line is as long as may be, or would take too long.
        """
        limits, waiting = self._policy, len(self._waiting)
        expected = 0.0 if free else self._pace.expect(waiting, time.monotonic())
        if waiting - free >= limits.max_waiting:
            why = f"callers waiting already: {waiting}, as many as max_waiting allows"
        elif expected > limits.timeout:
            why = (
                f"callers waiting: {waiting}, and as fast as those before them got a connection it "
                f"would take {expected:.1f} s; timeout is {limits.timeout:g} s"
            )
        else:
            return
        raise OverloadedError(
            f"{why}; nothing was done: answer 503 and let the client come back, hold connections "
            "for a shorter time, or raise PoolPolicy.max_size"
        )
