"""Promise 5: work whose COMMIT may have succeeded is not done a second time."""

import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from proofs import stacks
from proofs.contract import Outcome, Proof, Servers, Side, main
from proofs.fresh import fresh_database
from proofs.stacks import Open, Stack
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.database import DatabasePolicy
from holdfast.errors import CommitUnknownError
from holdfast.retry import RetryPolicy
from holdfast.testing.faults import Faults

OK = "acknowledged"
ATTEMPTS = 3
ORDERS, ORDERS_QUICK = 10, 4
CREATE = "CREATE TABLE orders (number integer)"
INSERT = text("INSERT INTO orders VALUES (:number)")
STORED = "SELECT number, count(*) AS times FROM orders GROUP BY number"

Place = Callable[[Stack, int], Awaitable[None]]


async def insert(number: int, session: AsyncSession) -> None:
    """Store one order."""
    await session.execute(INSERT, {"number": number})


async def by_a_loop(stack: Stack, number: int) -> None:
    """Try again when SQLAlchemy says that the connection was lost, as retry decorators do."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            async with stack.begin() as session:
                await insert(number, session)
        except DBAPIError as error:
            if not error.connection_invalidated or attempt == ATTEMPTS:
                raise
        else:
            return


async def by_run(stack: Stack, number: int) -> None:
    """Leave it to `Database.run()`."""
    await stack.run(partial(insert, number))


async def compare(open_stack: Open, place: Place, servers: Servers) -> Outcome:
    """Place orders on one stack, of which each COMMIT is cut off once."""
    numbers = range(ORDERS_QUICK if servers.quick else ORDERS)
    async with fresh_database(servers.postgres) as database:
        await database.witness.execute(f"SET ROLE owner; {CREATE}")
        with Faults(database.url()) as faults:
            async with open_stack(faults.url) as stack:
                said = [await place_one(stack, place, faults, number) for number in numbers]
        rows = await database.witness.fetch(STORED)
    stored = {row["number"]: row["times"] for row in rows}
    return Outcome(
        said=", ".join(f"{times} {what}" for what, times in sorted(Counter(said).items())),
        true=f"{len(stored)} orders are stored, {count_twice(stored)} of them twice",
        kept=not count_twice(stored)
        and all(what != OK or number in stored for number, what in zip(numbers, said, strict=True)),
    )


async def place_one(stack: Stack, place: Place, faults: Faults, number: int) -> str:
    """Place an order and give what the client was told; every second COMMIT does not arrive."""
    faults.cut_commit(reached=number % 2 == 0)
    try:
        await place(stack, number)
    except (DBAPIError, CommitUnknownError) as error:
        return type(error).__name__
    return OK


def count_twice(stored: Mapping[int, int]) -> int:
    """Count the orders that are there more than once."""
    return sum(times > 1 for times in stored.values())


def resolving(*, resolve: bool) -> Open:
    """Give Holdfast with and without asking the server for the outcome."""
    retry = RetryPolicy(resolve=resolve, reconnect_delay=0)
    return partial(stacks.holdfast, policy=DatabasePolicy(retry=retry))


async def holdfast(servers: Servers) -> Outcome:
    """Place them as it is, and with the server asked for the outcome."""
    told = await compare(resolving(resolve=False), by_run, servers)
    asked = await compare(resolving(resolve=True), by_run, servers)
    return stacks.together({"run()": told, "run() with resolve=True": asked})


PROOF = Proof(
    promise=5,
    title="A COMMIT whose answer is lost is not done a second time",
    deed=(
        f"{ORDERS} orders ({ORDERS_QUICK} in the short form), each in one transaction. The "
        "connection is cut at each first COMMIT, for every second one after the server did it. "
        "The usual stacks retry where SQLAlchemy says connection_invalidated."
    ),
    plain=Side(packages=["sqlalchemy", "asyncpg"], run=partial(compare, stacks.plain, by_a_loop)),
    peers=[
        Side(
            packages=["advanced-alchemy", "asyncpg"],
            run=partial(compare, stacks.advanced_alchemy, by_a_loop),
        )
    ],
    holdfast=Side(packages=["holdfast", "asyncpg"], run=holdfast),
)

if __name__ == "__main__":
    sys.exit(main([PROOF]))
