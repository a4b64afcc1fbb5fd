"""Promise 5: another process changes a column's type, and no request fails of it."""

import asyncio
import sys
from functools import partial

from proofs import stacks
from proofs.contract import Outcome, Proof, Servers, Side, main
from proofs.fresh import Fresh, fresh_database
from proofs.stacks import Open, Stack
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.database import DatabasePolicy
from holdfast.pool import PoolPolicy

SIZE = 5  # connections
WARMING = 8  # times that each runs the statement; psycopg prepares it after five
REQUESTS = 10
SCHEMA = (
    "SET ROLE owner",
    "CREATE TABLE items (price integer)",
    "INSERT INTO items VALUES (3)",
)
CHANGE = "ALTER TABLE items ALTER COLUMN price TYPE bigint"
PRICE = text("SELECT price FROM items")


async def compare(open_stack: Open, driver: str, servers: Servers) -> Outcome:
    """Send requests on one stack and driver."""
    async with (
        fresh_database(servers.postgres) as database,
        open_stack(database.url(driver)) as stack,
    ):
        for statement in SCHEMA:
            await database.witness.execute(statement)
        await plan(stack)
        await database.witness.execute(CHANGE)
        return await ask(stack, database)


async def plan(stack: Stack) -> None:
    """Have the statement planned on every connection of the pool."""
    all_there = asyncio.Barrier(SIZE)

    async def look_up(session: AsyncSession) -> None:
        await session.execute(PRICE)
        await all_there.wait()

    for _ in range(WARMING):
        await asyncio.gather(*(stack.run(look_up) for _ in range(SIZE)))


async def ask(stack: Stack, database: Fresh) -> Outcome:
    """Send requests at once and count those that fail."""

    async def look_up(session: AsyncSession) -> object:
        return await session.scalar(PRICE)

    requests = (stack.run(look_up) for _ in range(REQUESTS))
    ends = await asyncio.gather(*requests, return_exceptions=True)
    failures = [str(end).splitlines()[0] for end in ends if isinstance(end, Exception)]
    price = await database.count(PRICE.text)
    return Outcome(
        said=f"{len(failures)} of {REQUESTS} requests failed{': ' if failures else ''}"
        f"{next(iter(failures), '')}",
        true=f"the price is {price}; {ends.count(price)} requests were told so",
        kept=ends.count(price) == REQUESTS,
    )


async def holdfast(servers: Servers) -> Outcome:
    """Send them on both drivers."""
    open_stack = partial(stacks.holdfast, policy=DatabasePolicy(pool=PoolPolicy(max_size=SIZE)))
    return stacks.together(
        {driver: await compare(open_stack, driver, servers) for driver in stacks.DRIVERS}
    )


plain = partial(stacks.plain, pool_size=SIZE, max_overflow=0)
peer = partial(stacks.advanced_alchemy, pool_size=SIZE, max_overflow=0)

PROOF = Proof(
    promise=5,
    title="A changed column does not fail the requests that know the old one",
    deed=(
        f"{SIZE} pooled connections have planned a statement; another connection runs ALTER COLUMN "
        f"TYPE, as a migration does while the service is up; {REQUESTS} requests follow at once."
    ),
    plain=Side(packages=["sqlalchemy", "asyncpg"], run=partial(compare, plain, "asyncpg")),
    peers=[
        Side(packages=["sqlalchemy", "psycopg"], run=partial(compare, plain, "psycopg")),
        Side(packages=["advanced-alchemy", "asyncpg"], run=partial(compare, peer, "asyncpg")),
    ],
    holdfast=Side(packages=["holdfast", "asyncpg", "psycopg"], run=holdfast),
)

if __name__ == "__main__":
    sys.exit(main([PROOF]))
