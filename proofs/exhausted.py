"""Promise 6: an exhausted pool names who holds it, and no error tells what was stored."""

import asyncio
import inspect
import re
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from proofs import stacks
from proofs.contract import Outcome, Proof, Servers, Side, main
from proofs.fresh import fresh_database
from proofs.stacks import Open, Unit
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from holdfast.database import DatabasePolicy
from holdfast.errors import PoolExhaustedError
from holdfast.pool import PoolPolicy

TASKS = ("send invoices", "count stock")  # each holds a connection
TIMEOUT = 1.0  # seconds of waiting for another one; to make one takes some of it
HELD = "SELECT 'for a report'"
CARD = "4111-1111"
CREATE = "CREATE TABLE cards (number text PRIMARY KEY)"
INSERT = "INSERT INTO cards VALUES (:number) RETURNING number"
LIMITS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")


async def compare(open_stack: Open, servers: Servers) -> Outcome:
    """Read the errors of one stack, and its limits on the server."""
    async with (
        fresh_database(servers.postgres) as database,
        open_stack(database.url()) as stack,
    ):
        async with stack.begin() as session:
            await session.execute(text(CREATE))
        async with everything_held(stack.begin):
            exhausted = await error_of(run(stack.begin, "SELECT 1"))
        await run(stack.begin, INSERT, number=CARD)
        failed = await error_of(run(stack.begin, INSERT, number=CARD))
        limits = [await run(stack.begin, f"SHOW {name}") for name in LIMITS]
    named = [what for what, how in ANSWERS.items() if how(exhausted)]
    told = CARD in failed
    return Outcome(
        said=f"{exhausted} | {failed}",
        true=(
            f"of each holder the first names {', '.join(named) or 'nothing'}; the second "
            f"{'tells' if told else 'does not tell'} the number of the card; limits of statement, "
            f"lock and idle transaction on the server: {', '.join(limits)}"
        ),
        kept=len(named) == len(ANSWERS) and not told and "0" not in limits,
    )


@asynccontextmanager
async def everything_held(begin: Unit) -> AsyncIterator[None]:
    """Have tasks that hold every connection of the pool."""
    all_hold, enough = asyncio.Barrier(len(TASKS) + 1), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for name in TASKS:
            group.create_task(hold(begin, all_hold, enough), name=name)
        await all_hold.wait()
        try:
            yield
        finally:
            enough.set()


async def hold(begin: Unit, all_hold: asyncio.Barrier, enough: asyncio.Event) -> None:
    """Hold a connection while something else is done."""
    async with begin() as session:
        await session.execute(text(HELD))
        await all_hold.wait()
        await enough.wait()


async def run(begin: Unit, sql: str, **values: object) -> str:
    """Run one statement and give its first value."""
    async with begin() as session:
        return str(await session.scalar(text(sql), values))


async def error_of(work: Coroutine[Any, Any, object]) -> str:
    """Give the text of the error that the work ends in, in one line."""
    try:
        await work
    except (PoolTimeoutError, PoolExhaustedError, IntegrityError) as error:
        return " ".join(f"{type(error).__name__}: {error}".split())
    raise RuntimeError("it did not fail")


def names_lines(message: str) -> bool:
    """Tell whether the message has, once for each holder, a line of `hold`."""
    source, first = inspect.getsourcelines(hold)
    lines = [int(line) for line in re.findall(r"exhausted\.py:(\d+)", message)]
    return len(lines) == len(TASKS) and all(line - first in range(len(source)) for line in lines)


ANSWERS: dict[str, Callable[[str], bool]] = {
    "task": lambda message: all(task in message for task in TASKS),
    "line": names_lines,
    "statement": lambda message: message.count(HELD) == len(TASKS),
}

FULL: dict[str, Any] = {"pool_size": len(TASKS), "max_overflow": 0, "pool_timeout": TIMEOUT}
POLICY = DatabasePolicy(pool=PoolPolicy(max_size=len(TASKS), timeout=TIMEOUT))

PROOF = Proof(
    promise=6,
    title="The pool explains itself, and limits are in force",
    deed=(
        f"{len(TASKS)} tasks hold the only {len(TASKS)} connections, and a third waits for "
        f"{TIMEOUT} s. Then a row with the number of a card is stored twice. Both errors go to a "
        "log that many can read."
    ),
    plain=Side(
        packages=["sqlalchemy", "asyncpg"], run=partial(compare, partial(stacks.plain, **FULL))
    ),
    peers=[
        Side(
            packages=["advanced-alchemy", "asyncpg"],
            run=partial(compare, partial(stacks.advanced_alchemy, **FULL)),
        )
    ],
    holdfast=Side(
        packages=["holdfast", "asyncpg"],
        run=partial(compare, partial(stacks.holdfast, policy=POLICY)),
    ),
)

if __name__ == "__main__":
    sys.exit(main([PROOF]))
