"""Cut connections at random while others use them, and count how many there are."""

import asyncio
import random

from sqlalchemy import text

from holdfast.database import Database

# Any role may end the sessions of its own. One that still ends would be counted beside the one that
# takes its place, so it is waited for; milliseconds.
_CUT = text(
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
    " WHERE application_name = :name AND datname = current_database()"
    " ORDER BY random() LIMIT 1"
)
_COUNT = text(
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE application_name = :name AND datname = current_database()"
)


class Trouble:
    """Ends one back end after the other, of those with a name, until it is cancelled.

    Args:
        db: another one than the one that is troubled.
        name: the `application_name` of the connections to cut.
        pause: seconds between two of them, on average.
        rng: decides when.
    """

    def __init__(self, db: Database, name: str, *, pause: float, rng: random.Random) -> None:
        self._db = db
        self._name = {"name": name}
        self._pause = pause
        self._rng = rng
        self.cut = 0
        self.most = 0

    async def make(self) -> None:
        """Cut a connection now and then, and remember how many there were at most."""
        while True:
            async with self._db.session() as session:
                self.most = max(self.most, await session.scalar(_COUNT, self._name) or 0)
            await asyncio.sleep(self._rng.uniform(0, 2 * self._pause))
            async with self._db.session() as session:
                self.cut += bool(await session.scalar(_CUT, self._name))
