"""Run what a command asks of a database: one function of a session, on connections of its own."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from holdfast.database import Database

P = ParamSpec("P")
R = TypeVar("R")


class Runner:
    """Calls functions that take a session from commands, which are not async.

        runner = Runner(lambda: Database(os.environ["DATABASE_URL"]))

        deck = runner.do(create_deck, "first")  # one transaction: `Database.run()`
        decks = runner.ask(list_decks, limit=5)  # cannot write: `Database.read()`

    Args:
        opened: gives the database for one call: a `Database`, which is opened and closed, or an
            async context manager that also does what has to come before.
    """

    def __init__(self, opened: "Callable[[], AbstractAsyncContextManager[Database]]") -> None:
        self._opened = opened

    def do(
        self,
        work: "Callable[Concatenate[AsyncSession, P], Awaitable[R]]",
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Call what writes, in a transaction of its own; it may be called again, as in `run()`.

        Raises:
            HoldfastError: it could not be done.
            sqlalchemy.exc.DBAPIError: the database refused it.
        """
        import asyncio

        async def run() -> R:
            async with self._opened() as db:
                return await db.run(work, *args, **kwargs)

        return asyncio.run(run())

    def ask(
        self,
        work: "Callable[Concatenate[AsyncSession, P], Awaitable[R]]",
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Call what reads.

        Raises:
            HoldfastError, sqlalchemy.exc.DBAPIError: as for `do`.
        """
        import asyncio

        async def run() -> R:
            async with self._opened() as db, db.read() as session:
                return await work(session, *args, **kwargs)

        return asyncio.run(run())
