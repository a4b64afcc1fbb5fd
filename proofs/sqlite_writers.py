"""Promise 8: on SQLite many write at once, and what is rolled back or refused is not stored."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from proofs import stacks
from proofs.contract import Outcome, Proof, Servers, Side, main
from proofs.folders import open_folder
from proofs.stacks import Open, Stack
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

WRITERS = 20
THINKS = 0.005  # seconds between reading and writing
CREATE = (
    "CREATE TABLE visits (number int)",
    "INSERT INTO visits VALUES (0)",
    "CREATE TABLE users (id int PRIMARY KEY)",
    "CREATE TABLE tasks (owner int REFERENCES users)",
)
READ = text("SELECT number FROM visits")
WRITE = text("UPDATE visits SET number = :number")
USERS = text("SELECT count(*) FROM users")
TASKS = text("SELECT count(*) FROM tasks")


async def compare(open_stack: Open, _servers: Servers) -> Outcome:
    """Count visits in many units of work at once, roll a unit back, and store an orphan."""
    with open_folder() as folder:
        async with open_stack(f"sqlite+aiosqlite:///{folder}/proof.db") as stack:
            async with stack.begin() as session:
                for statement in CREATE:
                    await session.execute(text(statement))
            units = (stack.run(count_visit) for _ in range(WRITERS))
            ends = await asyncio.gather(*units, return_exceptions=True)
            await asyncio.gather(
                stack.run(add_user_and_fail), stack.run(add_orphan), return_exceptions=True
            )
            async with stack.begin() as session:
                counts = [await session.scalar(query) for query in (READ, USERS, TASKS)]
    failed = Counter(describe(end) for end in ends if isinstance(end, BaseException))
    return describe_outcome(failed, *counts)


async def count_visit(session: AsyncSession) -> None:
    """Read, think and write."""
    number = await session.scalar(READ)
    await asyncio.sleep(THINKS)
    await session.execute(WRITE, {"number": number + 1})


async def add_user_and_fail(session: AsyncSession) -> None:
    """Store a row in a savepoint, and let all of it be rolled back."""
    async with session.begin_nested():
        await session.execute(text("INSERT INTO users VALUES (1)"))
    raise LookupError("roll back")


async def add_orphan(session: AsyncSession) -> None:
    """Store a row that refers to nothing."""
    await session.execute(text("INSERT INTO tasks VALUES (7)"))


def describe(error: BaseException) -> str:
    """Say why a unit failed, in a line."""
    return str(error.orig) if isinstance(error, DBAPIError) else f"{type(error).__name__}: {error}"


def describe_outcome(failed: Counter[str], visits: int, users: int, tasks: int) -> Outcome:
    """Compare what was said with what is stored."""
    succeeded = WRITERS - failed.total()
    why = "".join(f"; {number} failed: {said}" for said, number in failed.items())
    return Outcome(
        said=f"{succeeded} of {WRITERS} units of work succeeded{why}",
        true=(
            f"{visits} are counted, so {succeeded - visits} are lost; of the unit that was rolled "
            f"back {users} row is stored, of what refers to nothing {tasks}"
        ),
        kept=visits == WRITERS and not failed and not users and not tasks,
    )


@asynccontextmanager
async def by_the_manual(url: str) -> AsyncIterator[Stack]:
    """SQLAlchemy with what its page on SQLite says of transactions and of foreign keys."""
    async with stacks.plain(url) as stack:
        engine = stack.engine.sync_engine

        @event.listens_for(engine, "connect")
        def connect(connection: Any, _entry: object) -> None:
            connection.isolation_level = None
            cursor = connection.cursor()
            cursor.execute("PRAGMA foreign_keys=ON")
            cursor.close()

        @event.listens_for(engine, "begin")
        def begin(connection: Any) -> None:
            connection.exec_driver_sql("BEGIN")

        yield stack


PROOF = Proof(
    promise=8,
    title="SQLite: concurrent writers lose nothing, and a rollback takes all of it back",
    deed=(
        f"{WRITERS} units of work at once read a number of visits, think for "
        f"{THINKS * 1000:.0f} ms and write one more. Then one stores a user in a savepoint and is "
        "rolled back, and one stores a task of a user who is not there."
    ),
    plain=Side(packages=["sqlalchemy", "aiosqlite"], run=partial(compare, stacks.plain)),
    peers=[
        Side(
            way="by SQLAlchemy's page on SQLite",
            packages=["sqlalchemy", "aiosqlite"],
            run=partial(compare, by_the_manual),
        ),
        Side(
            packages=["advanced-alchemy", "aiosqlite"],
            run=partial(compare, stacks.advanced_alchemy),
        ),
    ],
    holdfast=Side(packages=["holdfast", "aiosqlite"], run=partial(compare, stacks.holdfast)),
)

if __name__ == "__main__":
    sys.exit(main([PROOF]))
