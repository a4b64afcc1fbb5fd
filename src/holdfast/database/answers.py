"""Let the thread of a SQLite connection go on when nobody is left to hear its answers."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any


class Orders:
    """What aiosqlite has a connection's thread do, each with who waits for the answer.

    A statement may end after the loop that waits for it was closed. Answering that would end the
    thread with a traceback, before it has done what else it was told: roll back and close.

    Args:
        queue: that the thread takes its orders from.
    """

    def __init__(self, queue: Any) -> None:
        self.get = queue.get  # before 0.22 the thread takes them from here
        self._put = queue.put_nowait

    def put_nowait(self, order: Any) -> None:
        """Take a future, or None, with what to do; before 0.22 also what ends the thread."""
        self._put((_Answer(order[0]), order[1]) if isinstance(order, tuple) else order)


class _Answer:
    """What the thread takes for a future, and for its loop."""

    def __init__(self, future: "asyncio.Future[Any] | None") -> None:
        self._future = future

    def get_loop(self) -> "_Answer":
        return self

    def call_soon_threadsafe(
        self, tell: Callable[["asyncio.Future[Any]", Any], object], _future: object, what: object
    ) -> None:
        """Tell a result or an error to who waits for it, if anybody does."""
        if self._future is not None:
            with suppress(RuntimeError):  # the loop is closed
                self._future.get_loop().call_soon_threadsafe(tell, self._future, what)
