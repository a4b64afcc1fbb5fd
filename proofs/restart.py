"""Promise 5: PostgreSQL restarts, and no request fails of it."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
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
TWICE = "SELECT count(*) - count(DISTINCT number) FROM orders"


@asynccontextmanager
async def own_server() -> AsyncIterator[PostgresServer]:
    """Give a server that may be restarted: its data outlives it."""
    with open_folder() as folder:
        policy = PostgresPolicy(settings={"fsync": "off"})  # it stops in good order
        async with PostgresServer(folder, policy=policy) as server:
            yield server


async def compare(open_stack: Open, servers: Servers) -> Outcome:
    """Restart the server under one stack, when nothing is under way and when something is."""
    server = await servers.once(own_server)
    async with fresh_database(server) as database:
        async with open_stack(database.url()) as stack:
            after = await restart_between(stack, server)
            during = await restart_within(stack, server)
        stored, twice = await look(database.pasted)
    failed = [sum(isinstance(end, Exception) for end in ends) for ends in (after, during)]
    done = len(after) + len(during) - sum(failed)
    return Outcome(
        said=f"after a restart {failed[0]} of {REQUESTS} requests failed, in the middle of one "
        f"{failed[1]} of {SIZE}",
        true=f"{done} orders were acknowledged, {stored} are stored, {twice} of them twice",
        kept=not any(failed) and stored == done and not twice,
    )


async def restart_between(stack: Stack, server: PostgresServer) -> Sequence[object]:
    """Fill the pool, restart, and send requests at once; give how they ended."""
    async with stack.begin() as session:
        await session.execute(CREATE)
    all_there = asyncio.Barrier(SIZE)

    async def fill(session: AsyncSession) -> None:
        await session.execute(text("SELECT 1"))
        await all_there.wait()

    async def order(number: int, session: AsyncSession) -> None:
        await session.execute(INSERT, {"number": number})

    await asyncio.gather(*(stack.run(fill) for _ in range(SIZE)))
    await restart(server)
    orders = (stack.run(partial(order, number)) for number in range(REQUESTS))
    return await asyncio.gather(*orders, return_exceptions=True)


async def restart_within(stack: Stack, server: PostgresServer) -> Sequence[object]:
    """Restart while requests are in their transactions; give how they ended."""
    restarted, under_way = asyncio.Event(), asyncio.Semaphore(0)

    async def order(number: int, session: AsyncSession) -> None:
        await session.execute(INSERT, {"number": number})
        under_way.release()
        await restarted.wait()
        await session.execute(text("SELECT 1"))

    numbers = range(REQUESTS, REQUESTS + SIZE)
    tasks = [asyncio.create_task(stack.run(partial(order, number))) for number in numbers]
    for _ in numbers:
        await under_way.acquire()
    await restart(server)
    restarted.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


async def restart(server: PostgresServer) -> None:
    """Stop the server and start it again; it is a matter of tenths of a second."""
    await server.stop()
    await server.start()


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
    title="A restart of PostgreSQL fails no request",
    deed=(
        f"{SIZE} connections are in the pool when PostgreSQL restarts, and {REQUESTS} requests "
        f"follow at once, each of which stores an order. Then it restarts while {SIZE} requests "
        "are in the middle of their transactions."
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
