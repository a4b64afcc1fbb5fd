"""Writes what was saved to its rows, when asked and in the background."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from holdfast.errors import StoreUnavailableError
from holdfast.events import Events
from holdfast.state.facts import StateRefused, StatesFlushed, StoreFailed
from holdfast.state.flushing import Batches, Flushed
from holdfast.state.inspecting import note_written
from holdfast.state.policy import StatePolicy
from holdfast.state.port import Port
from holdfast.state.requests import Marks
from holdfast.state.scripts import Client

_STOPPED = "the task that writes was cancelled by somebody else; it begins again at the end"


class Writer:
    """Writes the states of a store; any number of them may do so.

    Args:
        redis: of the store.
        port: to both servers.
        policy: limits.
        events: told what happens.
    """

    def __init__(self, redis: Client, port: Port, policy: StatePolicy, events: Events) -> None:
        self._redis = redis
        self._port = port
        self._policy = policy
        self._events = events
        self._most = policy.batch_size  # fewer while one takes longer than its limit
        self._batches = Batches(port)

    async def write(self, *, everywhere: bool) -> int:
        """Write what waits; give how many states were written.

        Args:
            everywhere: in a cluster, also what other processes have saved.

        Raises:
            StoreUnavailableError: Redis or PostgreSQL is away; what waits goes on waiting.
        """
        began, written = time.perf_counter(), 0
        found = await self._port(Marks(everywhere))
        self._port.touched.difference_update(found)
        left, seen = [*found], set[str]()
        try:
            while left:
                most = self._most
                done = await self._batches.write(left[:most], most, seen)
                written += done.written
                self._report(done)
                left = done.more + left[most:]
                self._most = min(2 * most, self._policy.batch_size)
        except StoreUnavailableError:
            self._most = max(1, self._most // 2)
            raise
        finally:
            self._port.touched.update(left)
        if written:
            await note_written(self._redis, self._port, written)
            seconds = round(time.perf_counter() - began, 4)
            self._events.emit(
                StatesFlushed(prefix=self._port.prefix, written=written, seconds=seconds)
            )
        return written

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write in the background, and what is left at the end."""
        stop = asyncio.Event()
        task = asyncio.create_task(self._write_until(stop))
        task.add_done_callback(lambda _: None if stop.is_set() else self._failed(_STOPPED))
        try:
            yield
        finally:
            stop.set()
            if task.done():
                task = asyncio.create_task(self._write_until(stop))
            try:
                await asyncio.wait([task], timeout=self._policy.drain_timeout)
                if not task.done():
                    self._failed("it had no end in time", what="drain")
            finally:  # also where this task is cancelled: another writer has the rest
                task.cancel()
                await asyncio.wait([task])

    async def _write_until(self, stop: asyncio.Event) -> None:
        swept, ended = -math.inf, False
        while not ended:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._policy.flush_interval):
                    await stop.wait()
            last = stop.is_set()  # it has all that was saved before
            due = last or time.monotonic() - swept >= self._policy.sweep_interval
            written = await self._try_to_write(everywhere=due)
            if written and due:
                swept = time.monotonic()
            ended = last and written
            if last and not written:  # the limit is that of whoever waits for the end
                await asyncio.sleep(self._policy.flush_interval)

    async def _try_to_write(self, *, everywhere: bool) -> bool:
        """Write what waits; whatever goes wrong is told, and tried again by the next round."""
        try:
            await self.write(everywhere=everywhere)
        except StoreUnavailableError as error:
            self._failed(str(error))
            return False
        except Exception as error:  # noqa: BLE001  -- a writer that ends would be missed too late
            self._failed(f"{type(error).__name__}: {error}")
            return False
        return True

    def _report(self, done: Flushed) -> None:
        for key, reason in done.refused.items():
            self._events.emit(StateRefused(key=key, reason=reason))
        for key, error in done.failed.items():
            self._failed(str(error), what=f"flush {key}")

    def _failed(self, error: str, *, what: str = "flush") -> None:
        self._events.emit(StoreFailed(prefix=self._port.prefix, what=what, error=error))
