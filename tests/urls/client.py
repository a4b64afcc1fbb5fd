"""One process of a service behind a pooler: its statements must have their own results.

Arguments: the URL, the number of transactions, a number that tells processes apart. It says that it
is ready, waits for a line, and prints how many transactions were right, wrong, and failed and how.
"""

import asyncio
import json
import sys
from collections import Counter

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from holdfast.urls import parse

TASKS = 3


async def main(pasted: str, transactions: int, number: int) -> None:
    url = parse(pasted)
    told = url.connect_args(settings={"application_name": f"client {number}"})
    engine = create_async_engine(url.engine, connect_args=told, pool_size=TASKS, max_overflow=0)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    ended: Counter[str] = Counter()
    await asyncio.gather(*(work(engine, transactions, number, ended) for _ in range(TASKS)))
    await engine.dispose()
    sys.stdout.write(json.dumps(ended) + "\n")


async def work(engine: AsyncEngine, transactions: int, number: int, ended: Counter[str]) -> None:
    for turn in range(transactions):
        try:
            ended[await transaction(engine, turn, number)] += 1
        except DBAPIError as error:
            ended[str(getattr(error.orig, "sqlstate", None))] += 1


async def transaction(engine: AsyncEngine, turn: int, number: int) -> str:
    """Run three statements in turn, each with a text and a result that only this process has."""
    async with engine.begin() as connection:
        for kind in range(3):
            said = f"{number}.{(turn + kind) % 7}"
            statement = text(f"SELECT '{said}' || '/' || CAST(:turn AS text)")
            if await connection.scalar(statement, {"turn": str(turn)}) != f"{said}/{turn}":
                return "wrong"
    return "right"


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
