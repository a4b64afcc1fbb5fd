"""Sends what many tasks ask one Redis at the same time together, first come, first served.

redis-py takes a connection, a task and several timers for each command. Here what waits is sent in
one write, on a few connections of the same pool.
"""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as LostError
from redis.exceptions import RedisError, ResponseError

from holdfast.errors import StoreUnavailableError

NO_TURN: Final = "Redis: no turn in time; nothing was done"
Command = tuple[str | bytes | int, ...]

_LANES: Final = 4  # connections at once: the server works on one while the answers of another come
_MANY: Final = 32  # commands in one write
_BYTES: Final = 131_072  # and so much, which a socket takes without waiting


class Sender:
    """Sends commands, each once; of one event loop.

    Args:
        client: its pool's connections are used.
        timeout: seconds from the call to the answer.
        lanes: connections at once.
    """

    def __init__(self, client: Redis, timeout: float, lanes: int = _LANES) -> None:
        self._pool: Any = client.connection_pool  # whose methods have no types
        self._timeout = timeout
        connections = client.connection_pool.max_connections
        self._lanes = max(1, min(lanes, connections - 1))  # one is left for others
        self._alone = connections > 1
        self._busy = 0
        self._waiting: deque[_Waiting] = deque()
        self._starting: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def send(self, command: Command) -> Any:
        """Send a command and give its answer.

        An error is given as the answer: that of a lost connection is the answer of several.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(command, loop.time() + self._timeout, loop.create_future())
        if self._alone and not self._busy:  # it needs no task
            await self._carry_out([waiting])
        else:
            self._waiting.append(waiting)
            self._start()
        return await waiting.answer

    async def close(self) -> None:
        """Wait for the answers to what was sent."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self) -> None:
        """Have one more connection used, once all that run now have said what they want."""
        starting = self._starting and not self._starting.done()
        if starting or not self._waiting or self._busy >= self._lanes:
            return
        self._starting = asyncio.get_running_loop().create_task(self._send_waiting())
        self._tasks.add(self._starting)
        self._starting.add_done_callback(self._tasks.discard)

    async def _send_waiting(self) -> None:
        self._starting = None
        while batch := self._take():
            await self._carry_out(batch)
            await asyncio.sleep(0)  # whoever waits for a connection of this pool has one now

    def _take(self) -> "list[_Waiting]":
        """Take the first that wait, without those whose callers have gone."""
        batch: list[_Waiting] = []
        size, now = 0, asyncio.get_running_loop().time()
        while self._waiting and len(batch) < _MANY:
            size += self._waiting[0].size
            if batch and size > _BYTES:
                break
            each = self._waiting.popleft()
            if each.deadline < now:
                each.end(StoreUnavailableError(NO_TURN))
            elif not each.answer.done():
                batch.append(each)
        return batch

    async def _carry_out(self, batch: "Sequence[_Waiting]") -> None:
        self._busy += 1
        self._start()
        try:
            async with _limited(batch[0].deadline) as go_on:
                await self._exchange(batch, go_on)
        except Exception as error:  # noqa: BLE001  -- whatever it is, it is the callers' to know
            for each in batch:
                each.end(error)
        finally:
            self._busy -= 1
            for each in batch:
                each.answer.cancel()  # where this task was cancelled; else there is an answer
            self._start()

    async def _exchange(self, batch: "Sequence[_Waiting]", go_on: Callable[[], None]) -> None:
        connection = await self._pool.get_connection()
        try:
            packed = connection.pack_commands([each.command for each in batch])
            await connection.send_packed_command(packed)
            try:
                go_on()
            except BaseException:
                await connection.disconnect(nowait=True)  # nobody reads the answers
                raise
            for each in batch:
                try:
                    # The limit around all of them is enough.
                    each.end(await connection.read_response(timeout=math.inf))
                except ResponseError as error:
                    each.end(error)
                except RedisError as error:  # redis-py has closed the connection
                    each.end(error)
                    raise LostError("the connection was closed at another's answer") from error
        finally:
            await self._pool.release(connection)


class _Waiting:
    __slots__ = ("answer", "command", "deadline", "size")

    def __init__(self, command: Command, deadline: float, answer: "asyncio.Future[Any]") -> None:
        self.command = command
        self.deadline = deadline
        self.answer = answer
        self.size = sum(len(each) for each in command if isinstance(each, bytes))

    def end(self, answer: Any) -> None:
        """Give the answer, unless the caller has gone."""
        if not self.answer.done():
            self.answer.set_result(answer)


@asynccontextmanager
async def _limited(deadline: float) -> AsyncIterator[Callable[[], None]]:
    """Bound the block, and let its task be cancelled in it.

    Before Python 3.12 `asyncio.wait_for`, with which redis-py sends, may swallow that; what is
    given raises it again, as the end of the block does.
    """
    task = asyncio.current_task()
    assert task, "it is awaited"
    before = task.cancelling()

    def go_on() -> None:
        if task.cancelling() > before:
            raise asyncio.CancelledError

    async with asyncio.timeout_at(deadline):
        yield go_on
    go_on()
