"""Promise 5: a unit of work that met another transaction is run again, all of it."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

from proofs import stacks
from proofs.contract import Outcome, Proof, Servers, Side, main
from proofs.fresh import Fresh, fresh_database
from proofs.stacks import Open, Stack, Unit
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

ATTEMPTS = 3
TRANSIENT = ("40001", "40P01")  # what PostgreSQL's manual says to retry
LAMPS = 10
SCHEMA = (
    "SET ROLE owner",
    "CREATE TABLE stock (lamps integer)",
    f"INSERT INTO stock VALUES ({LAMPS})",
)
LOOK = "SELECT lamps FROM stock"
SELL = "UPDATE stock SET lamps = lamps - 1"


@asynccontextmanager
async def retrying(begin: Unit) -> AsyncIterator[AsyncSession]:
    """Begin again after a conflict, as it is often written."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            async with begin() as session:
                yield session
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in TRANSIENT or attempt == ATTEMPTS:
                raise
        else:
            return


class Sale:
    """Sells a lamp in one snapshot, while somebody else sells one during its first attempt."""

    def __init__(self, database: Fresh) -> None:
        self._database = database
        self.attempts = 0

    async def __call__(self, session: AsyncSession) -> None:
        """Do the work."""
        self.attempts += 1
        await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        await session.execute(text(LOOK))
        if self.attempts == 1:
            await self._database.witness.execute(SELL)
        await session.execute(text(SELL))


async def in_a_block(stack: Stack, sale: Sale) -> None:
    """Do it in a context manager that retries."""
    async with retrying(stack.begin) as session:
        await sale(session)


async def by_run(stack: Stack, sale: Sale) -> None:
    """Do it by `Database.run()`."""
    await stack.run(sale)


async def compare(
    open_stack: Open, way: Callable[[Stack, Sale], Awaitable[None]], servers: Servers
) -> Outcome:
    """Sell a lamp on one stack, and count what is left."""
    async with (
        fresh_database(servers.postgres) as database,
        open_stack(database.url()) as stack,
    ):
        for statement in SCHEMA:
            await database.witness.execute(statement)
        sale, said = Sale(database), "sold"
        try:
            await way(stack, sale)
        except (DBAPIError, RuntimeError) as error:
            said = f"{type(error).__name__}: {error}".splitlines()[0]
        left = await database.count(LOOK)
    return Outcome(
        said=f"{said}; attempts: {sale.attempts}",
        true=f"{LAMPS - left} of 2 lamps are sold",
        kept=said == "sold" and left == LAMPS - 2,
    )


PROOF = Proof(
    promise=5,
    title="A unit of work is run again, which a context manager cannot do",
    deed=(
        "A transaction in REPEATABLE READ sells a lamp; somebody else sells one meanwhile, so "
        "that PostgreSQL refuses with 40001: run it again. The usual stacks do so in an async "
        "context manager with a loop around its yield."
    ),
    plain=Side(packages=["sqlalchemy", "asyncpg"], run=partial(compare, stacks.plain, in_a_block)),
    peers=[
        Side(
            packages=["advanced-alchemy", "asyncpg"],
            run=partial(compare, stacks.advanced_alchemy, in_a_block),
        )
    ],
    holdfast=Side(packages=["holdfast", "asyncpg"], run=partial(compare, stacks.holdfast, by_run)),
)

if __name__ == "__main__":
    sys.exit(main([PROOF]))
