"""A place in the pool, which does not give a connection up because its task was cancelled."""

import asyncio
from collections.abc import Callable

from sqlalchemy.pool import Pool
from sqlalchemy.pool.base import _ConnectionRecord

from holdfast.pool.condition import keep_age


class Record(_ConnectionRecord):
    """The place of one connection in a pool of SQLAlchemy's.

    Args:
        pool: its own.
        cut: gets another place for a connection that a cancelled task has left in the middle of
            something. Nobody has it yet, and whoever gets it makes it as new or closes it.
        connect: make a connection at once.
    """

    def __init__(
        self, pool: Pool, cut: Callable[["Record"], None], *, connect: bool = True
    ) -> None:
        self._pool = pool
        self._cut = cut
        super().__init__(pool, connect)

    def invalidate(self, e: BaseException | None = None, soft: bool = False) -> None:  # noqa: FBT001, FBT002  -- SQLAlchemy's signature
        """Use its connection no more."""
        only_cut = isinstance(e, asyncio.CancelledError) and not soft
        if not only_cut or self._is_hard_or_soft_invalidated():
            super().invalidate(e, soft)
            return
        connection = self.dbapi_connection
        other = Record(self._pool, self._cut, connect=False)
        other.dbapi_connection, other.starttime, other.fresh = connection, self.starttime, True
        keep_age(self, other)
        self.finalize_callback.clear()
        self.dbapi_connection = None
        try:  # what is told of it is the same: the end of one connection, and a new one later
            self._pool.dispatch.invalidate(connection, self, e)
            self._pool.dispatch.close(connection, self)
        finally:
            self._cut(other)
