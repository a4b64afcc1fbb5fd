"""One timer for all that is due later."""

import asyncio
import math
import time
from collections.abc import Callable


class Alarm:
    """Rings once, at the soonest of the times it was set to; by the monotonic clock.

    Args:
        ring: called in the loop in which it was set.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None
        self._due = math.inf

    def set(self, due: float) -> None:
        """Have it ring then, if nothing is due before."""
        if due >= self._due:
            return
        self.stop()
        self._due = due
        delay = max(0.0, due - time.monotonic())
        self._timer = asyncio.get_running_loop().call_later(delay, self._ring)

    def stop(self) -> None:
        """Have it not ring."""
        if self._timer is not None:
            self._timer.cancel()
        self.forget()

    def forget(self) -> None:
        """Know nothing of a timer any more, whose loop was left."""
        self._timer, self._due = None, math.inf
