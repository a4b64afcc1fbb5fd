"""Promise 6: a pool leaves a primary that became a standby, without a restart of the service."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from proofs import stacks
from proofs.contract import Outcome, Proof, Servers, Side, main
from proofs.pair import Pair, pair
from proofs.relay import relay
from proofs.stacks import Open, Stack
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.database import DatabasePolicy
from holdfast.errors import READ_ONLY_TRANSACTION
from holdfast.pool import PoolPolicy

SIZE = 5  # connections, and tasks that write
PAUSE = 0.02  # seconds between two writes of a task
WATCHED, WATCHED_QUICK = 8.0, 1.2  # seconds after the new primary is there
RECOVERED = 1.0  # seconds
BEFORE = 20  # writes that go well before, and that fail while there is no primary
FAILS_FOR = 20.0  # seconds to wait for that, on a busy machine

CREATE = """
    DROP TABLE IF EXISTS orders;
    CREATE TABLE orders (number integer);
    ALTER TABLE orders OWNER TO owner
"""
INSERT = text("INSERT INTO orders VALUES (:number)")
STORED = "SELECT array_agg(number) FROM orders"
CONNECTED = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'owner'"


@dataclass(slots=True)
class Writing:
    """Tasks that write without a pause for longer, and how that goes."""

    stack: Stack
    acknowledged: dict[int, float] = field(default_factory=dict)
    failed: list[tuple[float, object]] = field(default_factory=list)
    started: int = 0

    async def go_on(self) -> None:
        """Write one order after the other, for ever."""
        while True:
            self.started += 1
            await self.write(self.started)
            await asyncio.sleep(PAUSE)

    async def write(self, number: int) -> None:
        """Write one, and note when it was acknowledged or failed."""

        async def insert(session: AsyncSession) -> None:
            await session.execute(INSERT, {"number": number})

        try:
            await self.stack.run(insert)
        except Exception as error:  # noqa: BLE001  -- a service answers 500 and lives on
            state = getattr(getattr(error, "orig", None), "sqlstate", None)
            self.failed.append((time.monotonic(), state))
        else:
            self.acknowledged[number] = time.monotonic()

    def refused(self, since: float = 0.0) -> list[float]:
        """Give the moments at which a server refused because it only reads."""
        return [at for at, why in self.failed if why == READ_ONLY_TRANSACTION and at >= since]

    def done(self, since: float) -> int:
        """Count the writes that were acknowledged."""
        return sum(at >= since for at in self.acknowledged.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a service gets to the primary: a URL, and what is done when another one is primary."""

    url: str
    switch: Callable[[], None]


Lead = Callable[[Pair], AbstractAsyncContextManager[Way]]


@asynccontextmanager
async def one_address(both: Pair) -> AsyncIterator[Way]:
    """Give one address that leads to the primary, as a proxy or a virtual IP does."""
    async with relay(both.primary.socket) as address:

        def switch() -> None:
            address.target = both.primary.socket

        yield Way(url=f"postgresql+asyncpg://owner@127.0.0.1:{address.port}/app", switch=switch)


@asynccontextmanager
async def two_hosts(both: Pair) -> AsyncIterator[Way]:
    """Give a URL with both servers."""
    async with relay(both.primary.socket) as one, relay(both.standby.socket) as two:
        hosts = "&".join(f"host=127.0.0.1:{each.port}" for each in (one, two))
        yield Way(url=f"postgresql+asyncpg://owner@/app?{hosts}", switch=lambda: None)


async def compare(lead: Lead, open_stack: Open, servers: Servers, *, query: str = "") -> Outcome:
    """Write on one stack while the servers change roles."""
    both = await servers.once(pair)
    await both.settle()
    await both.primary.do(CREATE)
    async with lead(both) as way, open_stack(way.url + query) as stack:
        writing = Writing(stack)
        tasks = [asyncio.create_task(writing.go_on()) for _ in range(SIZE)]
        switched = await change_roles(both, way, writing)
        await asyncio.sleep(WATCHED_QUICK if servers.quick else WATCHED)
        left = await both.standby.ask(CONNECTED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    stored = await both.primary.ask(STORED)
    assert isinstance(stored, list)
    return judge(writing, switched, lost=len(writing.acknowledged.keys() - set(stored)), left=left)


async def change_roles(both: Pair, way: Way, writing: Writing) -> float:
    """Demote the primary, let the pool find out, and promote the other one.

    Returns:
        The moment from which there is a primary at the end of the way.
    """
    await until(lambda: len(writing.acknowledged) >= BEFORE)
    await both.demote()
    failed = len(writing.failed)
    await until(lambda: len(writing.failed) >= failed + BEFORE)
    await both.promote()
    way.switch()
    return time.monotonic()


async def until(fact: Callable[[], bool]) -> None:
    """Wait for what the tasks that write will see."""
    async with asyncio.timeout(FAILS_FOR):
        while True:
            if fact():
                return
            await asyncio.sleep(PAUSE)


def judge(writing: Writing, since: float, *, lost: int, left: object) -> Outcome:
    """Tell how it went from the moment on when there was a primary again."""
    refused, done = writing.refused(since), writing.done(since)
    failed = sum(at >= since for at, _ in writing.failed)
    lasted = max((at for at, _ in writing.failed if at >= since), default=since) - since
    return Outcome(
        said=(
            f"{failed} of {failed + done} writes failed, {len(refused)} of them with 25006, the "
            f"last {lasted:.2f} s after there was a primary again"
        ),
        true=(
            f"{lost} of {len(writing.acknowledged)} acknowledged orders are lost; {left} "
            "connections still lead to the standby"
        ),
        kept=lasted < RECOVERED and done > 0 and not lost,
    )


async def holdfast(servers: Servers) -> Outcome:
    """Write by one address, and by a URL with both."""
    policy = DatabasePolicy(pool=PoolPolicy(max_size=SIZE))
    open_stack = partial(stacks.holdfast, policy=policy)
    ways: Mapping[str, Lead] = {"one address": one_address, "two hosts": two_hosts}
    return stacks.together(
        {name: await compare(lead, open_stack, servers) for name, lead in ways.items()}
    )


plain = partial(stacks.plain, pool_size=SIZE, max_overflow=0, pool_pre_ping=True)
peer = partial(stacks.advanced_alchemy, pool_size=SIZE, max_overflow=0, pool_pre_ping=True)

PROOF = Proof(
    promise=6,
    title="The pool leaves a demoted primary by itself",
    deed=(
        f"{SIZE} tasks write. The primary restarts as a standby, and the pool connects to it "
        "again; then the other one is promoted, and the address leads there. Open connections "
        "stay as they are. The usual stacks have pool_pre_ping. It is watched for "
        f"{WATCHED:g} s ({WATCHED_QUICK:g} in the short form)."
    ),
    plain=Side(
        way="one address",
        packages=["sqlalchemy", "asyncpg"],
        run=partial(compare, one_address, plain),
    ),
    peers=[
        Side(
            way="one address",
            packages=["advanced-alchemy", "asyncpg"],
            run=partial(compare, one_address, peer),
        ),
        Side(
            way="two hosts, target_session_attrs",
            packages=["sqlalchemy", "asyncpg"],
            run=partial(compare, two_hosts, plain, query="&target_session_attrs=primary"),
        ),
    ],
    holdfast=Side(packages=["holdfast", "asyncpg"], run=holdfast),
)

if __name__ == "__main__":
    sys.exit(main([PROOF]))
