"""The start and the end of a process of Mantimon."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from holdfast.database import Database
from mantimon.db.partitions import make_partitions
from mantimon.db.redis import close_redis
from mantimon.db.session import close_database, get_database


@asynccontextmanager
async def running() -> AsyncIterator[Database]:
    """Open the shared database with room for the games of the next months; close it at the end.

        async with running():   # for instance in the lifespan of a web application
            ...

    Raises:
        ConfigurationError: a setting is wrong; the message names it.
        UnavailableError: the database cannot be reached; within 5 s, with place and cause.
        sqlalchemy.exc.DBAPIError: its tables are not those of this version.
    """
    try:
        await get_database().open()
        await get_database().run(make_partitions)
        yield get_database()
    finally:
        await close_redis()
        await close_database()
