"""Run what a command asks for on MoAI's database, which is made when it is not there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from holdfast.cli import Runner
from holdfast.database import Database
from moai.core.database import close_db, create_tables, get_database, init_db


@asynccontextmanager
async def opened() -> AsyncIterator[Database]:
    """Give the database with its tables, made or migrated by whoever comes first."""
    init_db()
    try:
        await get_database().ping()  # says in one sentence why it cannot be reached
        await create_tables()
        yield get_database()
    finally:
        await close_db()


_runner = Runner(opened)
do, ask = _runner.do, _runner.ask
