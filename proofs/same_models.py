"""Promise 8: a model is the same on PostgreSQL and SQLite, and keeps what was put into it."""

import asyncio
import enum
import sys
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path

from proofs import stacks, tasks
from proofs.contract import Outcome, Proof, Servers, Side, main
from proofs.engines import ENGINES, Fact, Facts, all_good, describe, empty_databases
from proofs.stacks import Open, Stack
from proofs.tasks import Model, Models
from sqlalchemy import select, text
from sqlalchemy.exc import StatementError

from holdfast.errors import InvalidValueError

DUE = datetime(2026, 11, 23, 3, 5, tzinfo=timezone(timedelta(hours=3)))
STORED = "SELECT CAST(state AS varchar) FROM tasks"

READING = "reading both tasks"
WRITING = "storing the state 'bogus'"
CHANGE = "a change in place"
INSIDE = "one further in"
BY = "OPEN = 'open' is stored as"
AT = "03:05+03:00 comes back as"


class State(enum.Enum):
    """What this release knows."""

    OPEN = "open"


class NextState(enum.Enum):
    """What the next one knows."""

    OPEN = "open"
    PAUSED = "paused"


async def compare(open_stack: Open, models: Models, key: str, servers: Servers) -> Outcome:
    """Use the table on both engines, and make a key where uuid-utils is not installed."""
    seen: dict[str, Facts] = {}
    async with empty_databases(servers) as urls:
        for engine, url in urls.items():
            async with open_stack(url) as stack:
                seen[engine] = await use(stack, models)
    version, told = await version_of(key)
    made = f"a key has version {version}" if version else "no key is made"
    return Outcome(
        said=f"{describe(seen, [READING, WRITING])}; without uuid-utils: {told}",
        true=f"{describe(seen, [CHANGE, INSIDE, BY, AT])}; without uuid-utils {made}",
        kept=all_good(seen) and version in {None, "7"},
    )


async def use(stack: Stack, models: Models) -> Facts:
    """Store a task, change it and read it; then meet what the next release has stored."""
    task, of_next = models(State), models(NextState)
    async with stack.engine.begin() as connection:  # migrations come before their release
        await connection.run_sync(of_next.metadata.create_all)
    await add(stack, task(notes={"size": {"width": 1}}, state=State.OPEN, due=DUE))
    async with stack.begin() as session:
        found = (await session.scalars(select(task))).one()
        found.notes["colour"] = "red"
    async with stack.begin() as session:
        found = (await session.scalars(select(task))).one()
        found.notes["size"]["width"] = 2
    async with stack.begin() as session:
        found = (await session.scalars(select(task))).one()
        notes, due = found.notes, found.due
        stored = await session.scalar(text(STORED))
    await add(stack, of_next(notes={}, state=NextState.PAUSED, due=DUE))
    return {
        CHANGE: kept(notes.get("colour") == "red"),
        INSIDE: kept(notes["size"]["width"] == 2),
        BY: Fact(text=repr(stored), good=stored == "open"),
        AT: Fact(text=f"{due:%H:%M%z}", good=due == DUE),
        READING: await read(stack, task),
        WRITING: await store(stack, task(notes={}, state="bogus", due=DUE)),
    }


async def add(stack: Stack, task: object) -> None:
    """Store a task."""
    async with stack.begin() as session:
        session.add(task)


def kept(stored: bool) -> Fact:  # noqa: FBT001  -- what it is about
    """Say whether a change is there that was committed."""
    return Fact(text="stored" if stored else "lost", good=stored)


async def read(stack: Stack, task: Model) -> Fact:
    """Read all tasks, one of which has a state that this release does not know."""
    try:
        async with stack.begin() as session:
            states = [each.state for each in await session.scalars(select(task))]
    except LookupError as error:
        said, _, _ = str(error).partition(". ")
        return Fact(text=f"{type(error).__name__}: {said}", good=False)
    return Fact(text=f"their states are {states[0]} and {states[1]!r}", good=True)


async def store(stack: Stack, task: object) -> Fact:
    """Store a task whose state is none."""
    try:
        await add(stack, task)
    except (StatementError, InvalidValueError) as error:
        return Fact(text=f"refused with {type(error).__name__}", good=True)
    return Fact(text="stored", good=False)


async def version_of(key: str) -> tuple[str | None, str]:
    """Make a key in a process of its own, and give its version and what the process said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "ignore", "-m", "proofs.keys", key),
        cwd=Path(__file__).parent.parent,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    said = errors.decode().strip().splitlines()
    return output.decode().strip() or None, said[-1] if said else "nothing"


PROOF = Proof(
    promise=8,
    title="Models are the same on PostgreSQL and SQLite, and keep what was put into them",
    deed=(
        "A task is stored, with a document, a state and an instant. Its document is changed in "
        "place and committed, at the top and further in. The next release stores one in a state "
        "that this release does not know. A key is made where uuid-utils is not installed."
    ),
    plain=Side(
        packages=["sqlalchemy", *ENGINES],
        run=partial(compare, stacks.plain, tasks.plain, "plain"),
    ),
    peers=[
        Side(
            way="MutableDict, values_callable, validate_strings",
            packages=["sqlalchemy", *ENGINES],
            run=partial(compare, stacks.plain, tasks.careful, "plain"),
        ),
        Side(
            packages=["advanced-alchemy", "sqlalchemy", *ENGINES],
            run=partial(
                compare, stacks.advanced_alchemy, tasks.advanced_alchemy, "advanced_alchemy"
            ),
        ),
    ],
    holdfast=Side(
        packages=["holdfast", *ENGINES],
        run=partial(compare, stacks.holdfast, tasks.holdfast, "holdfast"),
    ),
)

if __name__ == "__main__":
    sys.exit(main([PROOF]))
