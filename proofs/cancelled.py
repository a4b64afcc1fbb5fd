"""Promise 3: what was cancelled ends on the server."""

import sys
import time
from functools import partial

import anyio
from proofs import stacks
from proofs.contract import Outcome, Proof, Servers, Side, main
from proofs.fresh import Fresh, fresh_database
from proofs.stacks import Open, Stack
from sqlalchemy import text

from holdfast.database import DatabasePolicy
from holdfast.pool import PoolPolicy

SIZE = 3  # connections in the pool
TIMEOUT = 0.15  # seconds
TIMES, TIMES_QUICK = 8, 3
LATER, LATER_QUICK = 2.0, 0.5  # seconds; the promise says 2
SLEEP = text("SELECT pg_sleep(8)")
RUNS = "state = 'active' AND query LIKE '%pg_sleep%'"  # not what makes a connection as new


async def compare(open_stack: Open, driver: str, servers: Servers) -> Outcome:
    """Cancel on one stack and driver."""
    async with (
        fresh_database(servers.postgres) as database,
        open_stack(database.url(driver)) as stack,
    ):
        return await cancel(stack, database, servers)


async def cancel(stack: Stack, database: Fresh, servers: Servers) -> Outcome:
    """Let statements time out one after the other, and look at the server afterwards."""
    times = TIMES_QUICK if servers.quick else TIMES
    for _ in range(times):
        with anyio.move_on_after(TIMEOUT):
            async with stack.begin() as session:
                await session.execute(SLEEP)
    in_use = stack.engine.pool.checkedout()  # type: ignore[attr-defined]  # both pools have it
    began = time.monotonic()
    running = await database.remaining(RUNS, within=LATER_QUICK if servers.quick else LATER)
    took = time.monotonic() - began
    there = await database.connections()
    return Outcome(
        said=f"{times} statements timed out; the pool has {in_use} of {SIZE} connections in use",
        true=f"{running} of them still run {took:.2f} s later; {there} connections on the server",
        kept=running == 0 and there <= SIZE,
    )


async def holdfast(servers: Servers) -> Outcome:
    """Cancel on both drivers."""
    policy = DatabasePolicy(pool=PoolPolicy(max_size=SIZE))
    open_stack = partial(stacks.holdfast, policy=policy)
    return stacks.together(
        {driver: await compare(open_stack, driver, servers) for driver in stacks.DRIVERS}
    )


plain = partial(stacks.plain, pool_size=SIZE, max_overflow=0)
peer = partial(stacks.advanced_alchemy, pool_size=SIZE, max_overflow=0)

PROOF = Proof(
    promise=3,
    title="Cancellation reaches the server, also that of anyio's scopes",
    deed=(
        f"On a pool of {SIZE}, requests one after the other time out after {TIMEOUT} s "
        f"(anyio.move_on_after) in a statement of 8 s. {LATER:g} s after the last ({LATER_QUICK:g} "
        "in the short form) pg_stat_activity says which of the statements still run."
    ),
    plain=Side(packages=["sqlalchemy", "asyncpg", "anyio"], run=partial(compare, plain, "asyncpg")),
    peers=[
        Side(packages=["sqlalchemy", "psycopg", "anyio"], run=partial(compare, plain, "psycopg")),
        Side(
            packages=["advanced-alchemy", "asyncpg", "anyio"],
            run=partial(compare, peer, "asyncpg"),
        ),
    ],
    holdfast=Side(packages=["holdfast", "asyncpg", "psycopg", "anyio"], run=holdfast),
)

if __name__ == "__main__":
    sys.exit(main([PROOF]))
