"""One process of a service behind a pooler, which checks each of its results.

`python -m proofs.pooler_client NUMBER` reads lines of JSON: `stack`, `url` and how many
`transactions`. It answers each with how many of them were right, and how the others ended.
"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import uuid4

from proofs import stacks
from proofs.stacks import Open, Stack
from sqlalchemy import NullPool, text
from sqlalchemy.exc import DBAPIError

TASKS = 3
STATEMENTS = 3  # in each transaction
KINDS = 7  # of statements, each with a text of its own

# What SQLAlchemy's page on asyncpg says for PgBouncer.
RECIPE: Mapping[str, Any] = {
    "poolclass": NullPool,
    "connect_args": {"prepared_statement_name_func": lambda: f"__asyncpg_{uuid4()}__"},
}
STACKS: Mapping[str, Open] = {
    "plain": stacks.plain,
    "recipe": partial(stacks.plain, **RECIPE),
    "advanced-alchemy": stacks.advanced_alchemy,
    "holdfast": stacks.holdfast,
}


async def main(number: int) -> None:
    """Answer each line that comes in."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked = json.loads(line)
        async with STACKS[asked["stack"]](asked["url"]) as stack:
            ended = await work(stack, number, asked["transactions"])
        print(json.dumps(ended), flush=True)


async def work(stack: Stack, number: int, transactions: int) -> Counter[str]:
    """Run transactions in several tasks, and count how they ended."""
    turns, ended = iter(range(transactions)), Counter[str]()

    async def one_after_the_other() -> None:
        for turn in turns:
            ended[await transaction(stack, number, turn)] += 1

    await asyncio.gather(*(one_after_the_other() for _ in range(TASKS)))
    return ended


async def transaction(stack: Stack, number: int, turn: int) -> str:
    """Run statements whose results only this process and this turn can have."""
    try:
        async with stack.begin() as session:
            for kind in range(turn, turn + STATEMENTS):
                said = f"{number}.{kind % KINDS}"
                statement = text(f"SELECT '{said} ' || CAST(:turn AS text)")
                if await session.scalar(statement, {"turn": str(turn)}) != f"{said} {turn}":
                    return "WRONG"
    except DBAPIError as error:
        return f"error {getattr(error.orig, 'sqlstate', None)}"
    return "right"


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
