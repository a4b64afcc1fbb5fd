"""How fast those who wait are served, and so how long one more would wait."""

from collections import deque

_TURNS = 2  # times that each connection is handed over, before that says anything


class Pace:
    """Counts what is handed over while callers wait, the latest only.

    It goes by what those who wait have seen: not by how long a connection was held in the night,
    or by the one caller who holds his for an hour.

    Args:
        size: of the pool.
        patience: seconds of waiting after which it is telling that fewer were served.
    """

    def __init__(self, size: int, patience: float) -> None:
        self._served: deque[float] = deque(maxlen=_TURNS * size)
        self._patience = patience
        self._since = 0.0

    def begin(self, now: float) -> None:
        """Forget what was: from now on somebody waits."""
        self._served.clear()
        self._since = now

    def serve(self, now: float) -> None:
        """Count one that was handed over."""
        self._served.append(now)

    def expect(self, waiting: int, now: float) -> float:
        """Say how many seconds one more would wait at least; 0 where nobody can tell yet."""
        served = len(self._served)
        if served == self._served.maxlen:
            return waiting * (now - self._served[0]) / served
        if now - self._since < self._patience:
            return 0.0
        return waiting * (now - self._since) / (served + 1)  # as if the next came now
