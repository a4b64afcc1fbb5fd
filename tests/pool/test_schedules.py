"""Whatever happens in whatever order, no connection is lost and no caller is forgotten."""

import asyncio
import gc
import os
import warnings
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy.util import greenlet_spawn
from tests.pool.faking import (
    Clock,
    DriverError,
    FakeServer,
    check_out,
    clocked,
    fake_pool,
    turns,
)

from holdfast.errors import OverloadedError, PoolExhaustedError, UnavailableError
from holdfast.pool import ElasticPool, PoolPolicy, TurnTakingPool

MOST = 3
EXAMPLES = int(os.environ.get("HOLDFAST_SCHEDULES", "200"))
EXPECTED = (UnavailableError, DriverError, PoolExhaustedError, OverloadedError)
ACTIONS = (
    *("turn", "turn", "ask", "ask", "ask", "give_back", "give_back", "answer", "answer"),
    *("fail", "cancel", "cancel_all", "hang_up", "invalidate", "forget", "retire", "wait"),
    *("cut", "cut"),
)
steps = st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 7)), min_size=30, max_size=90)
policies = st.builds(
    PoolPolicy,
    min_size=st.integers(0, 2),
    max_size=st.just(MOST),
    ping_after=st.sampled_from([0, 60]),
    idle_timeout=st.sampled_from([0, 5]),
    max_lifetime=st.sampled_from([0, 20]),
)


class World:
    """Callers of a pool, its server, and what may happen to each of them."""

    kind = ElasticPool

    def __init__(self, policy: PoolPolicy) -> None:
        self.clock = Clock()
        self.server = FakeServer()
        self.pool = fake_pool(self.server, policy, kind=self.kind)
        self.asking: list[asyncio.Task[Any]] = []
        self.cancelled: set[asyncio.Task[Any]] = set()
        self.held: list[Any] = []
        self.returning: list[asyncio.Task[Any]] = []
        self.lent: set[str] = set()

    async def live(self, script: list[tuple[str, int]]) -> None:
        """Do one thing after the other, without a turn of the loop but where one is asked for."""
        self.pool.keep_warm()
        try:
            for name, number in script:
                await getattr(self, name)(number)
                self.check()
                await self.check_waiting()
            await self.come_to_rest()
        finally:
            self.server.answer_all()
            await turns(50)

    # What may happen

    async def ask(self, _number: int) -> None:
        """Have a caller ask for a connection."""
        name = f"{len(self.asking):04}"
        self.asking.append(asyncio.create_task(self.take(), name=name))

    async def take(self) -> None:
        """Check one out and keep it."""
        self.held.append(await check_out(self.pool))

    async def turn(self, number: int) -> None:
        """Let the loop turn."""
        await turns(1 + number // 4)

    async def answer(self, number: int) -> None:
        """Have the server answer one request."""
        if waiting := [each for each in self.server.pending if not each.answer.done()]:
            waiting[number % len(waiting)].answer.set_result(None)

    async def fail(self, number: int) -> None:
        """Have one request fail."""
        if waiting := [each for each in self.server.pending if not each.answer.done()]:
            asked = waiting[number % len(waiting)]
            error = UnavailableError("no") if asked.what == "connect" else DriverError("no")
            asked.answer.set_exception(error)

    async def give_back(self, number: int) -> None:
        """Have a caller give a connection back."""
        if self.held:
            fairy = self.held.pop(number % len(self.held))
            self.returning.append(asyncio.create_task(greenlet_spawn(fairy.close)))

    async def cancel(self, number: int) -> None:
        """Cancel one caller, wherever it is."""
        if busy := [task for task in self.asking + self.returning if not task.done()]:
            self.stop(busy[number % len(busy)])

    async def cancel_all(self, number: int) -> None:
        """Cancel everybody who asks, sometimes."""
        if number == 0:
            for task in self.asking:
                self.stop(task)

    def stop(self, task: "asyncio.Task[Any]") -> None:
        """Cancel a task."""
        if not task.done():
            self.cancelled.add(task)
            task.cancel()

    async def hang_up(self, number: int) -> None:
        """Have the server hang up."""
        if connections := sorted(self.server.open, key=lambda each: each.number):
            connections[number % len(connections)].gone = True

    async def invalidate(self, number: int) -> None:
        """Have a caller find its connection broken."""
        self.give_up(number, None)

    async def cut(self, number: int) -> None:
        """Have a caller be cancelled in the middle of a statement."""
        self.give_up(number, asyncio.CancelledError())

    def give_up(self, number: int, error: BaseException | None) -> None:
        """Give back a connection on which nothing can be sent."""
        if self.held:
            fairy = self.held.pop(number % len(self.held))

            def give_up() -> None:
                fairy.invalidate(error)
                fairy.close()

            self.returning.append(asyncio.create_task(greenlet_spawn(give_up)))

    async def forget(self, number: int) -> None:
        """Lose a connection to the garbage collector."""
        if self.held:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                del self.held[number % len(self.held)]
                if number == 0:
                    gc.collect()

    async def retire(self, number: int) -> None:
        """Find a server demoted."""
        if self.held:
            self.pool.retire_with(self.held[number % len(self.held)]._connection_record)

    async def wait(self, number: int) -> None:
        """Let seconds pass."""
        self.clock.now += number

    # What must always hold

    def check(self) -> None:
        """No more connections than allowed, none lent twice, nobody overtaken or forgotten."""
        pool = self.pool
        assert pool.size() <= MOST, pool.status()
        assert self.server.busy_places <= MOST, f"the server has more: {pool.status()}"
        lent = [fairy.dbapi_connection for fairy in self.held]
        idle = [record.dbapi_connection for record, _ in pool._idle]
        assert len(set(map(id, lent + idle))) == len(lent + idle), "lent twice"
        self.check_order()

    async def check_waiting(self) -> None:
        """Nobody waits beside a place that is free, but for a moment or after a failure."""
        if self.is_overlooked():
            await turns(2)
            self.check()
            assert not self.is_overlooked(), f"a caller is forgotten: {self.pool.status()}"

    def is_at_rest(self) -> bool:
        """Tell whether everything has ended."""
        pool = self.pool
        done = all(task.done() for task in self.asking + self.returning) and not self.held
        return done and pool.size() == pool.checkedin() >= pool.policy.min_size

    def is_overlooked(self) -> bool:
        """Tell whether somebody waits who could be served."""
        pool = self.pool
        waiting = [future for future in pool._line._waiting if not future.done()]
        tries = pool._refused and (pool._connecting or pool._alarm._due <= self.clock.now + 1.1)
        served = pool.size() == MOST or len(pool._connecting) >= len(waiting) or tries
        return bool(waiting) and bool(pool._idle or not served)

    def check_order(self) -> None:
        """Whoever has got a connection since the last look had waited for longest."""
        lent = {holder.task for holder in self.pool.holders()}
        gone = {task.get_name() for task in self.cancelled}
        # Whose connection did not answer had one until now, and was not in the line.
        overtaken = self.waiting_names() - gone - self.lent
        if new := lent - self.lent:
            assert max(new) < min(overtaken, default="~"), f"{new} were served before {overtaken}"
        self.lent = lent

    def waiting_names(self) -> set[str]:
        """Give the names of those in the line."""
        return {lease.task for lease in self.pool._line._waiting.values()}

    async def come_to_rest(self) -> None:
        """Once everybody has what they ask for and gives it back, the pool is as good as new."""
        self.server.answer_all()
        await turns(20)
        # One that was cancelled before it began keeps its connection, in its traceback.
        self.cancelled = set()
        self.returning = [task for task in self.returning if not task.cancelled()]
        gc.collect(1)
        for _ in range(40):
            while self.held:
                await self.give_back(0)
            self.clock.now += 0.1
            await turns(10)
            self.check()
            if self.is_at_rest():
                break
        for task in self.asking + self.returning:
            assert task.done(), f"never served: {self.pool.status()}"
            if not task.cancelled() and (error := task.exception()):
                assert isinstance(error, EXPECTED), repr(error)
        assert self.pool.checkedout() == 0, self.pool.holders()
        assert not self.pool._line._waiting
        assert len(self.server.open) == self.pool.checkedin() == self.pool.size()
        assert self.pool.size() >= self.pool.policy.min_size
        await greenlet_spawn(self.pool.dispose)
        await turns(20)
        assert not self.server.open


# A connection is handed over, retired before its caller wakes, and a younger one is idle.
BESIDE_AN_IDLE_ONE = [
    *[("ask", 0), ("ask", 3), ("ask", 5), ("turn", 5), ("answer", 7), ("ask", 5), ("cancel", 3)],
    *[("turn", 2), ("answer", 0), ("cancel", 5), ("answer", 0), ("turn", 0), ("retire", 7)],
    *[("give_back", 5), ("give_back", 2), ("turn", 3), ("forget", 2)],
]


@pytest.mark.filterwarnings("ignore:The garbage collector:sqlalchemy.exc.SAWarning")
@settings(max_examples=EXAMPLES)
@given(policies, steps)
@example(PoolPolicy(min_size=2, max_size=MOST, idle_timeout=5), BESIDE_AN_IDLE_ONE)
def test_every_schedule(policy, script):
    """After each step the pool is within its size, fair, and has forgotten nobody."""
    world = World(policy)
    with clocked(world.clock) as run:
        run(world.live(script))


READER = "r"


class Taking(World):
    """The same where one caller writes at a time, and others read."""

    kind = TurnTakingPool

    async def ask(self, number: int) -> None:
        """Have a caller ask for a connection, every third one to read."""
        name = f"{len(self.asking):04}{READER if number % 3 == 0 else 'w'}"
        self.asking.append(asyncio.create_task(self.take(), name=name))

    async def take(self) -> None:
        """Check one out and keep it."""
        reads = asyncio.current_task().get_name().endswith(READER)
        taking = self.pool.connect_to_read if reads else self.pool.connect
        self.held.append(await greenlet_spawn(taking))

    def check(self) -> None:
        """There is one writer, whom nobody waits behind for nothing."""
        super().check()
        writing = [name for name in self.lent if not name.endswith(READER)]
        assert len(writing) <= 1, f"they write at once: {writing}"
        waiting = [place for place in self.pool._turns._waiting if not place.done()]
        assert self.pool._turn or not waiting, "nobody writes, and some wait for it"

    def check_order(self) -> None:
        """Writers get their turns, and readers their connections, in the order of asking."""
        lent = {holder.task for holder in self.pool.holders()}
        gone = {task.get_name() for task in self.cancelled}
        turns = {lease.task for lease in self.pool._turns._waiting.values()}
        readers = {name for name in self.waiting_names() if name.endswith(READER)}
        for waits, kind in ((turns, "w"), (readers, READER)):
            new = {name for name in lent - self.lent if name.endswith(kind)}
            overtaken = waits - gone - self.lent
            if new:
                assert max(new) < min(overtaken, default="~"), f"{new} came before {overtaken}"
        self.lent = lent

    async def come_to_rest(self) -> None:
        """In the end nobody's turn is left over."""
        await super().come_to_rest()
        assert self.pool._turn is None
        assert not self.pool._turns._waiting


@pytest.mark.filterwarnings("ignore:The garbage collector:sqlalchemy.exc.SAWarning")
@settings(max_examples=EXAMPLES)
@given(policies, steps)
def test_every_schedule_of_turns(policy, script):
    """No two write at once, none is overtaken or forgotten, and no turn is lost with its caller."""
    world = Taking(policy)
    with clocked(world.clock) as run:
        run(world.live(script))
