"""Promise 5: PostgreSQL restarts, or ends connections, and no request fails of it."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import asyncpg
from proofs import stacks
from proofs.contract import Outcome, Proof, Servers, Side, main
from proofs.folders import open_folder
from proofs.fresh import fresh_database
from proofs.stacks import Open, Stack
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.database import DatabasePolicy
from holdfast.pool import PoolPolicy
from holdfast.services import PostgresPolicy, PostgresServer

SIZE = 5  # connections
REQUESTS = 10
CREATE = text("CREATE TABLE orders (number integer)")
INSERT = text("INSERT INTO orders VALUES (:number)")
STORED = "SELECT count(*) FROM orders"
# Each is waited for until it has ended; milliseconds. Autovacuum may be there, too.
TERMINATE = """
    SELECT count(*) FILTER (WHERE pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
        AND backend_type = 'client backend'
"""
TWICE = "SELECT count(*) - count(DISTINCT number) FROM orders"

Harm = Callable[[], Awaitable[None]]


@asynccontextmanager
async def own_server() -> AsyncIterator[PostgresServer]:
    """Give a server that may be restarted: its data outlives it."""
    with open_folder() as folder:
        policy = PostgresPolicy(settings={"fsync": "off"})  # it stops in good order
        async with PostgresServer(folder, policy=policy) as server:
            yield server


async def compare(open_stack: Open, servers: Servers) -> Outcome:
    """Do both harms to one stack, each when nothing is under way and when something is."""
    server = await servers.once(own_server)
    async with fresh_database(server) as database:
        ended: list[int] = []

        async def terminate() -> None:
            ended.append(await end_back_ends(database.pasted))

        async with open_stack(database.url()) as stack:
            async with stack.begin() as session:
                await session.execute(CREATE)
            restarted = await harm(stack, partial(restart, server), after=0)
            terminated = await harm(stack, terminate, after=REQUESTS + SIZE)
        stored, twice = await look(database.pasted)
    requests = REQUESTS + SIZE
    done = 2 * requests - restarted.failed - terminated.failed
    return Outcome(
        said=f"restarted: {restarted}; {sum(ended)} back ends terminated: {terminated}",
        true=f"{done} orders were acknowledged, {stored} are stored, {twice} of them twice",
        kept=done == stored == 2 * requests and not twice and ended == [SIZE, SIZE],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """How many requests failed of the harm between them, and of that in the middle of some."""

    between: int
    within: int

    @property
    def failed(self) -> int:
        """All of them."""
        return self.between + self.within

    def __str__(self) -> str:
        return (
            f"afterwards {self.between} of {REQUESTS} requests failed, in the middle of one "
            f"{self.within} of {SIZE}"
        )


async def harm(stack: Stack, do: Harm, *, after: int) -> Failed:
    """Do it twice; the orders' numbers come after what was ordered before."""
    between = await harm_between(stack, do, range(after, after + REQUESTS))
    within = await harm_within(stack, do, range(after + REQUESTS, after + REQUESTS + SIZE))
    counts = [sum(isinstance(end, Exception) for end in ends) for ends in (between, within)]
    return Failed(between=counts[0], within=counts[1])


async def harm_between(stack: Stack, do: Harm, numbers: range) -> Sequence[object]:
    """Fill the pool, do harm, and send requests at once; give how they ended."""
    all_there = asyncio.Barrier(SIZE)

    async def fill(session: AsyncSession) -> None:
        await session.execute(text("SELECT 1"))
        await all_there.wait()

    async def order(number: int, session: AsyncSession) -> None:
        await session.execute(INSERT, {"number": number})

    await asyncio.gather(*(stack.run(fill) for _ in range(SIZE)))
    await do()
    orders = (stack.run(partial(order, number)) for number in numbers)
    return await asyncio.gather(*orders, return_exceptions=True)


async def harm_within(stack: Stack, do: Harm, numbers: range) -> Sequence[object]:
    """Do harm while requests are in their transactions; give how they ended."""
    done, under_way = asyncio.Event(), asyncio.Semaphore(0)

    async def order(number: int, session: AsyncSession) -> None:
        await session.execute(INSERT, {"number": number})
        under_way.release()
        await done.wait()
        await session.execute(text("SELECT 1"))

    tasks = [asyncio.create_task(stack.run(partial(order, number))) for number in numbers]
    for _ in numbers:
        await under_way.acquire()
    await do()
    done.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


async def restart(server: PostgresServer) -> None:
    """Stop the server and start it again; it is a matter of tenths of a second."""
    await server.stop()
    await server.start()


async def end_back_ends(url: str) -> int:
    """Terminate every connection to the database but one's own, and count them."""
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval(TERMINATE))
    finally:
        await connection.close()


async def look(url: str) -> tuple[int, int]:
    """Count the orders, and those that are there more than once."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(STORED), await connection.fetchval(TWICE)
    finally:
        await connection.close()


plain = partial(stacks.plain, pool_size=SIZE, max_overflow=0)
peer = partial(stacks.advanced_alchemy, pool_size=SIZE, max_overflow=0)
POLICY = DatabasePolicy(pool=PoolPolicy(max_size=SIZE))

PROOF = Proof(
    promise=5,
    title="A restart of PostgreSQL, or a connection that it ends, fails no request",
    deed=(
        f"{SIZE} connections are in the pool when PostgreSQL restarts, and {REQUESTS} requests "
        f"follow at once, each of which stores an order. Then it restarts while {SIZE} requests "
        "are in the middle of their transactions. Then both again, with pg_terminate_backend for "
        "all connections instead of the restart."
    ),
    plain=Side(packages=["sqlalchemy", "asyncpg"], run=partial(compare, plain)),
    peers=[
        Side(
            way="pool_pre_ping",
            packages=["sqlalchemy", "asyncpg"],
            run=partial(compare, partial(plain, pool_pre_ping=True)),
        ),
        Side(
            way="pool_pre_ping",
            packages=["advanced-alchemy", "asyncpg"],
            run=partial(compare, partial(peer, pool_pre_ping=True)),
        ),
    ],
    holdfast=Side(
        packages=["holdfast", "asyncpg"],
        run=partial(compare, partial(stacks.holdfast, policy=POLICY)),
    ),
)

if __name__ == "__main__":
    sys.exit(main([PROOF]))
