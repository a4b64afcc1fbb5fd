"""The start and the end of a process of Mantimon."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.exc import DBAPIError

from holdfast.database import Database
from mantimon.db.partitions import make_partitions
from mantimon.db.redis import close_redis
from mantimon.db.session import close_database, get_database
from mantimon.services.game_state_manager import GameStateManager, get_game_state_manager

logger = logging.getLogger("mantimon")
_LOCK_NOT_AVAILABLE = "55P03"


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
        await _make_room(get_database())
        yield get_database()
    finally:
        await close_redis()
        await close_database()


@asynccontextmanager
async def playing() -> AsyncIterator[GameStateManager]:
    """The same for a game server: every game is in Redis, and what is played there gets written.

        async with playing() as games:
            state = await games.load_state(game_id)

    Raises:
        ConfigurationError: as for `running`.
        UnavailableError: the database cannot be reached.
        StoreUnavailableError: Redis cannot be reached.
        sqlalchemy.exc.DBAPIError: the tables are not those of this version.
    """
    async with running():
        games = get_game_state_manager()
        await games.recover_active_games()
        async with games.store.flushing():
            yield games


async def _make_room(db: Database) -> None:
    """Make partitions ahead; a start does not fail for one that a game makes by itself as well."""
    try:
        await db.run(make_partitions)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        logger.warning("no partition was made ahead, since others write players: %s", error.orig)
