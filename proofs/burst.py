"""Promise 6: a pool that keeps what it has opened, so that bursts open nothing anew."""

import asyncio
import sys
import time
from functools import partial

from proofs import stacks
from proofs.contract import Outcome, Proof, Servers, Side, main
from proofs.fresh import fresh_database
from proofs.stacks import Open, Unit
from sqlalchemy import text

from holdfast.database import DatabasePolicy
from holdfast.pool import PoolPolicy

SMALL, LARGE = 5, 20  # connections: always, and at most
BURSTS, BURSTS_QUICK = 20, 6
QUERIES = 50  # at once
SESSIONS = "SELECT sessions FROM pg_stat_database WHERE datname = current_database()"


async def compare(open_stack: Open, servers: Servers) -> Outcome:
    """Count the connections that PostgreSQL was asked for on one stack."""
    bursts = BURSTS_QUICK if servers.quick else BURSTS
    async with fresh_database(servers.postgres) as database:
        before = await database.count(SESSIONS)
        async with open_stack(database.url()) as stack:
            began = time.perf_counter()
            for _ in range(bursts):
                await asyncio.gather(*(query(stack.begin) for _ in range(QUERIES)))
            took = time.perf_counter() - began
        await database.remaining()  # a session is counted for sure when it has ended
        opened = await database.count(SESSIONS) - before
    return Outcome(
        said=f"{bursts} bursts of {QUERIES} queries: {took / bursts * 1000:.0f} ms each",
        true=f"{opened} connections were made on the server",
        kept=opened <= LARGE,
    )


async def query(begin: Unit) -> None:
    """Do what a request does."""
    async with begin() as session:
        await session.execute(text("SELECT 1"))


def overflowing(open_stack: Open) -> Side:
    """Give a stack on SQLAlchemy's pool."""
    packages = ["sqlalchemy" if open_stack is stacks.plain else "advanced-alchemy", "asyncpg"]
    pooled = partial(open_stack, pool_size=SMALL, max_overflow=LARGE - SMALL)
    return Side(packages=packages, run=partial(compare, pooled))


POLICY = DatabasePolicy(pool=PoolPolicy(min_size=SMALL, max_size=LARGE))

PROOF = Proof(
    promise=6,
    title="Bursts open no connections anew",
    deed=(
        f"{BURSTS} bursts ({BURSTS_QUICK} in the short form) of {QUERIES} queries at once, on a "
        f"pool that has {SMALL} connections and grows to {LARGE}. The server counts the sessions."
    ),
    plain=overflowing(stacks.plain),
    peers=[overflowing(stacks.advanced_alchemy)],
    holdfast=Side(
        packages=["holdfast", "asyncpg"],
        run=partial(compare, partial(stacks.holdfast, policy=POLICY)),
    ),
)

if __name__ == "__main__":
    sys.exit(main([PROOF]))
