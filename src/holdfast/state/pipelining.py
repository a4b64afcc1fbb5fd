"""Sends what many tasks ask one Redis at the same time in pipelines, first come, first served.

A command by itself costs a turn at the pool, a write, a read and several timers; fifty tasks share
them here. A lone one is sent at once.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine, Sequence
from typing import Any, Final, TypeVar

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as LostError
from redis.exceptions import TimeoutError as RedisTimeoutError

from holdfast.errors import StoreUnavailableError

TOO_LATE: Final = "Redis: not sent in time; nothing was done"
A = TypeVar("A")
Command = tuple[str | bytes | int, ...]

_LANES: Final = 4  # pipelines at once: the server works on one while answers of another are read
_MANY: Final = 16  # commands in one
_BYTES: Final = 262_144  # and so much in it, or a single one that is larger
_GRACE: Final = 0.1  # seconds until what goes on is cancelled again


class Pipelines:
    """Sends commands, each once; of one event loop.

    Args:
        client: whose pool keeps one connection for others, where it has several.
        timeout: seconds from the call to the answer.
    """

    def __init__(self, client: Redis, timeout: float) -> None:
        self._client = client
        self._pool: Any = client.connection_pool  # whose methods have no types
        self._timeout = timeout
        self._lanes = max(1, min(_LANES, self._pool.max_connections - 1))
        self._waiting: deque[_Waiting] = deque()
        self._starting: asyncio.Task[None] | None = None  # which has not taken anything yet
        self._sending: set[asyncio.Task[None]] = set()

    async def send(self, command: Command, size: int = 0) -> Any:
        """Send a command of about so many bytes, and give its answer, which may be an error.

        What is cancelled before its turn is not sent.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(command, size, loop.time() + self._timeout, loop.create_future())
        timer = loop.call_at(waiting.deadline, waiting.give_up)
        self._waiting.append(waiting)
        self._start()
        try:
            return await waiting.answer
        finally:
            timer.cancel()

    async def close(self) -> None:
        """Wait for the answers to what was sent before, and for no more."""
        if self._sending:
            await asyncio.wait(self._sending, timeout=self._timeout + _GRACE)

    def _start(self) -> None:
        """Send one more pipeline, once all that run now have said what they want."""
        while self._waiting and self._waiting[0].answer.done():
            self._waiting.popleft()
        if self._starting or not self._waiting or len(self._sending) >= self._lanes:
            return
        self._starting = asyncio.get_running_loop().create_task(self._send_waiting())
        self._sending.add(self._starting)
        self._starting.add_done_callback(self._go_on)

    def _go_on(self, ended: "asyncio.Task[None]") -> None:
        """Send for those who came while a task ended, or that a cancelled one has left."""
        self._sending.discard(ended)
        if self._starting is ended:
            self._starting = None
        self._start()

    async def _send_waiting(self) -> None:
        self._starting = None
        while batch := self._take():
            self._start()
            try:
                await self._exchange(batch)
            except asyncio.CancelledError:  # with its event loop
                for each in batch:
                    each.end(LostError("it was cancelled"))
                raise

    def _take(self) -> "list[_Waiting]":
        """Take the first that wait, without those whose callers have gone."""
        batch: list[_Waiting] = []
        size = 0
        while self._waiting and len(batch) < _MANY:
            size += self._waiting[0].size
            if batch and size > _BYTES:
                break
            each = self._waiting.popleft()
            if not each.answer.done():
                batch.append(each)
        return batch

    async def _exchange(self, batch: "Sequence[_Waiting]") -> None:
        """Send what was taken, and give each its answer."""
        try:
            connection = await _bounded(self._pool.get_connection(), batch[-1].deadline)
        except Exception as error:  # noqa: BLE001  -- whatever it is, it is the callers' to know
            for each in batch:
                each.end(error)
            return
        # From here to the sending nobody comes between: who has given up meanwhile is not sent.
        sent = [each for each in batch if not each.answer.done()]
        if not sent:
            await self._pool.release(connection)
            return
        pipeline = self._client.pipeline(transaction=False)
        pipeline.connection = connection  # which the pipeline gives back
        for each in sent:
            each.sent = True
            pipeline.execute_command(*each.command)
        try:
            answers = await _bounded(pipeline.execute(raise_on_error=False), sent[-1].deadline)
        except Exception as error:  # noqa: BLE001  -- the same
            answers = [_lost(error) if len(sent) > 1 else error] * len(sent)
        for each, answer in zip(sent, answers, strict=True):
            each.end(answer)


async def _bounded(work: Coroutine[Any, Any, A], deadline: float) -> A:
    """Do it until then; it is cancelled until it ends.

    Before Python 3.12 `asyncio.wait_for`, with which redis-py writes, may swallow a cancellation.

    Raises:
        TimeoutError: it was cancelled.
    """
    loop = asyncio.get_running_loop()
    working = loop.create_task(work)
    try:
        await asyncio.wait([working], timeout=deadline - loop.time())
        while not working.done():
            working.cancel()
            await asyncio.wait([working], timeout=_GRACE)
    finally:
        working.cancel()  # where this task is
    if working.cancelled():
        raise TimeoutError
    return working.result()


def _lost(error: Exception) -> Exception:
    """Say that it is not known what became of a command of several.

    At some answers redis-py closes the connection and does not say whose they were.
    """
    if isinstance(error, TimeoutError | RedisTimeoutError) or type(error) is LostError:
        return error
    lost = LostError(f"the connection was closed at another's answer: {error}")
    lost.__cause__ = error
    return lost


class _Waiting:
    __slots__ = ("answer", "command", "deadline", "sent", "size")

    def __init__(
        self, command: Command, size: int, deadline: float, answer: "asyncio.Future[Any]"
    ) -> None:
        self.command = command
        self.size = size
        self.deadline = deadline
        self.answer = answer
        self.sent = False

    def end(self, answer: Any) -> None:
        """Give the answer, unless the caller has gone."""
        if not self.answer.done():
            self.answer.set_result(answer)

    def give_up(self) -> None:
        """Give what is known at the deadline."""
        self.end(RedisTimeoutError() if self.sent else StoreUnavailableError(TOO_LATE))
