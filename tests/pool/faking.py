"""A driver whose server answers when a test says so, and a clock that stands still meanwhile."""

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from sqlalchemy.util import await_only, greenlet_spawn
from sqlalchemy.util.concurrency import in_greenlet

from holdfast.events import Event, Events
from holdfast.pool import ElasticPool, PoolPolicy, alarm, condition, elastic, holders, line
from holdfast.pool.record import Record


@dataclass(eq=False)
class Pending:
    """Something that the server was asked and has not answered."""

    what: str
    answer: "asyncio.Future[None]"


@dataclass(eq=False)
class FakeConnection:
    """A connection of the driver."""

    number: int
    gone: bool = False

    def is_closed(self) -> bool:
        """Tell what the driver knows by itself."""
        return self.gone


class DriverError(Exception):
    """What the driver raises."""


class FakeServer:
    """Counts its connections, and answers each request when it is told to."""

    Error = DriverError

    def __init__(self) -> None:
        self.pending: list[Pending] = []
        self.open: set[FakeConnection] = set()
        self.made = 0
        self.patient = False

    @property
    def busy_places(self) -> int:
        """How many connections the server has to carry: those on their way are among them."""
        return len(self.open) + sum(each.what == "connect" for each in self.pending)

    async def ask(self, what: str) -> None:
        """Wait until the test lets the server answer."""
        if self.patient:
            await asyncio.sleep(0)
            return
        pending = Pending(what, asyncio.get_running_loop().create_future())
        self.pending.append(pending)
        try:
            await pending.answer
        finally:
            self.pending.remove(pending)

    def answer_all(self) -> None:
        """Answer what was asked, and from now on at once."""
        self.patient = True
        for each in self.pending:
            if not each.answer.done():
                each.answer.set_result(None)

    def connect(self) -> FakeConnection:
        """Make a connection, as the driver does."""
        await_only(self.ask("connect"))
        self.made += 1
        made = FakeConnection(self.made)
        self.open.add(made)
        return made

    # What a pool asks of a dialect

    is_async = has_terminate = True

    @property
    def loaded_dbapi(self) -> type["FakeServer"]:
        """Give what has the driver's errors."""
        return FakeServer

    def get_driver_connection(self, connection: FakeConnection) -> FakeConnection:
        """Give the connection itself."""
        return connection

    def do_ping(self, _connection: FakeConnection) -> bool:
        """Ask whether it lives."""
        await_only(self.ask("ping"))
        return True

    def renew(self, _place: Record) -> Callable[[], Awaitable[None]]:
        """Give what ends what was left on it."""
        return partial(self.ask, "renew")

    def do_rollback(self, _fairy: object) -> None:
        """Undo what is open."""
        await_only(self.ask("rollback"))

    def do_close(self, connection: FakeConnection) -> None:
        """Close it."""
        self.do_terminate(connection)

    def do_terminate(self, connection: FakeConnection) -> None:
        """Close it, whatever it does."""
        try:
            if in_greenlet():
                await_only(self.ask("close"))
        finally:
            connection.gone = True
            self.open.remove(connection)


class Clock:
    """A time that passes when a test says so; stands in for the module `time`."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def time(self) -> float:
        """Give the time."""
        self.now += 1e-6  # every look at a real clock is later than the one before, too
        return self.now

    monotonic = time


class ClockedLoop(asyncio.SelectorEventLoop):
    """An event loop whose timers go by a clock of the test."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        super().__init__(selectors.SelectSelector())

    def time(self) -> float:
        """Give the time."""
        return self.clock.now


@contextmanager
def clocked(clock: Clock) -> Iterator[Callable[[Coroutine[Any, Any, None]], None]]:
    """Run a coroutine in a loop of its own, by the clock, as is everything of the pool."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (alarm, condition, elastic, holders, line):
            patch.setattr(module, "time", clock)
        patch.setattr("sqlalchemy.pool.base.time", clock)
        with asyncio.Runner(loop_factory=lambda: ClockedLoop(clock)) as runner:
            yield runner.run


def fake_pool(
    server: FakeServer,
    policy: PoolPolicy,
    *handlers: Callable[[Event], None],
    kind: type[ElasticPool] = ElasticPool,
) -> Any:
    """Give a pool of connections to a server that is not there."""
    events = Events(*(handlers or (lambda _: None,)))
    return kind(server.connect, policy, events, set(), renew=server.renew, dialect=server)


async def check_out(pool: ElasticPool) -> Any:
    return await greenlet_spawn(pool.connect)


async def turns(number: int) -> None:
    """Let the loop turn so often."""
    for _ in range(number):
        await asyncio.sleep(0)
