"""The database of a service: one object that is opened at start and closed at the end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Concatenate, ParamSpec, Self, TypeVar

from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from holdfast import urls
from holdfast.database import drivers
from holdfast.database.dialling import Password
from holdfast.database.opening import Closed, Opened, reach
from holdfast.database.policy import DatabasePolicy
from holdfast.database.resolving import Resolving
from holdfast.database.sessions import OwnedSession, PlainSession, ReadSession
from holdfast.database.units import Blocks, Unit
from holdfast.database.work import awaitable, name_of
from holdfast.events import Check, Events
from holdfast.pool import Background, ElasticPool, Holder
from holdfast.retry import retry

P = ParamSpec("P")
R = TypeVar("R")


class Database:
    """An engine with safe settings, and the ways to use it.

        db = Database("postgresql://app:secret@localhost/shop")   # no I/O here
        async with db:                                            # fails fast, in one sentence
            async with db.begin() as session:                     # commits at the end
                session.add(Deck(name="first"))
            async with db.read() as session:                      # cannot write
                decks = (await session.scalars(select(Deck))).all()

    Sessions keep their objects usable after the commit (`expire_on_commit=False`).

    Args:
        url: in any form that `holdfast.urls.parse` takes.
        policy: limits of connections, statements and the pool.
        password: called before each new connection, for one that changes (a token of RDS, Cloud
            SQL or Azure); it may be a coroutine function. Without it the URL's is used.
        events: told when the database is opened and closed.

    Raises:
        ConfigurationError: the URL cannot be used.
        MissingExtraError: its driver is not installed.
    """

    def __init__(
        self,
        url: str | URL | urls.DatabaseUrl,
        *,
        policy: DatabasePolicy | None = None,
        password: Password | None = None,
        events: Events | None = None,
    ) -> None:
        self.url = urls.parse(url)
        self.policy = policy or DatabasePolicy()
        self.events = events or Events()
        self._password = password
        self._leaving: Background = set()
        self._engine = drivers.make_engine(
            self.url,
            self.policy,
            password=password,
            events=self.events,
            leaving=self._leaving,
        )
        self._owned = drivers.owned(self._engine)
        self._reading = drivers.reading(self._engine)
        self._snapshot = drivers.snapshot(self._engine)
        self._blocks = Blocks()
        self._opened = False
        self._opening = asyncio.Lock()
        self._closing: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"Database({str(self.url)!r})"

    @property
    def engine(self) -> AsyncEngine:
        """The SQLAlchemy engine, for code that works with one."""
        return self._engine

    @property
    def _pool(self) -> ElasticPool:
        pool = self._engine.pool
        assert isinstance(pool, ElasticPool)
        return pool

    async def open(self) -> None:
        """Reach the database, within `connect_timeout`; an opened one stays as it is.

        Raises:
            UnavailableError: it names place and likely cause.
        """
        async with self._opening:
            if self._opened:
                return
            try:
                seconds = await self.ping()
            except BaseException:
                await self._engine.dispose()
                raise
            self._opened = True
            self._pool.keep_warm()
            self.events.emit(Opened(place=self.url.place, seconds=round(seconds, 4)))

    async def close(self) -> None:
        """Close the connections, to the end if cancelled; a closed database can be opened again."""
        self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        async with self._opening:
            await self._engine.dispose()
            # One that ends may leave another: a connection to be closed.
            while leaving := self._leaving_here():
                await asyncio.gather(*leaving, return_exceptions=True)
            if self._opened:
                self._opened = False
                self.events.emit(Closed(place=self.url.place))

    def _leaving_here(self) -> "list[asyncio.Task[object]]":
        """What another loop has left cannot be waited for in this one."""
        loop = asyncio.get_running_loop()
        return [task for task in self._leaving if task.get_loop() is loop]

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    async def ping(self) -> float:
        """Run `SELECT 1` and return the seconds that it took.

        Raises:
            UnavailableError: there was no answer within `connect_timeout`.
        """
        return await reach(
            self._reading,
            self.url,
            within=drivers.within(self.url, self.policy),
            leaving=self._leaving,
        )

    async def check(self) -> Sequence[Check]:
        """Tell whether it serves now: reached, takes writes, has connections to give.

        Quick enough for a health route; what is wrong is a failed check, not an exception.
        """
        from holdfast.database.checking import check  # noqa: PLC0415  -- not what a start waits for

        return await check(self)

    async def examine(self, *, processes: int = 1) -> Sequence[Check]:
        """Tell what is set up wrongly: TLS, pooler, version, role, limits, room, clock.

        What `holdfast doctor` prints; about a dozen round trips.

        Args:
            processes: how many have a `Database` like this one, for the connections they want.
        """
        from holdfast.database.checking import examine  # noqa: PLC0415

        return await examine(self, processes=processes)

    @asynccontextmanager
    async def direct(self) -> AsyncIterator["Database"]:
        """Give this database past its pooler, for migrations and LISTEN; itself without one.

        A session that lives longer than a transaction needs a server of its own, which a pooler
        gives to others meanwhile.

        Raises:
            UnavailableError: as `open()`.
        """
        if self.url.direct is None:
            yield self
            return
        direct = Database(
            self.url.direct, policy=self.policy, password=self._password, events=self.events
        )
        async with direct:
            yield direct

    def holders(self) -> Sequence[Holder]:
        """Say who has a connection now: task, line of code, seconds, last statement."""
        return self._pool.holders()

    def session(self) -> AsyncSession:
        """Give a plain session, for code that commits itself: `async with db.session() as s`."""
        return PlainSession(self._engine, expire_on_commit=False)

    def begin(self) -> AbstractAsyncContextManager[AsyncSession]:
        """Give a session with one transaction: commits at the end, rolls back on any exception.

        Raises:
            TransactionOwnedError: the code inside ended the transaction itself, or the block is
                inside the work of a `run()` on the same database.
            TransactionAbortedError: a statement failed, and the code inside went on.
            CommitUnknownError: the connection was lost while COMMIT was under way.
        """
        session = self._owned_session()
        return Unit(session, self._leaving, session.finish, self._blocks)

    def read(self, *, snapshot: bool = False) -> AbstractAsyncContextManager[AsyncSession]:
        """Give a session that cannot write, and needs no round trips besides its statements.

        Each statement sees what is committed when it runs.

        Args:
            snapshot: all statements see the same moment, in one READ ONLY transaction.

        Raises:
            ReadOnlyError: the code inside changed an object or ran a statement that writes.
        """
        engine = self._snapshot if snapshot else self._reading
        session = ReadSession(engine, expire_on_commit=False, close_resets_only=False)
        return Unit(session, self._leaving, session.finish if snapshot else session.release)

    async def run(
        self,
        work: Callable[Concatenate[AsyncSession, P], Awaitable[R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Call `work(session, …)` in one transaction and return its result after the commit.

        When its connection is lost or another transaction is in the way, it is called again, as
        `policy.retry` says, with a new session. So build the objects inside `work`, and let it
        do nothing that cannot be done twice outside of the database. It is never called again
        when its COMMIT may have succeeded.

        Raises:
            TransactionOwnedError: `work` ended the transaction itself, or calls `run()` or
                `begin()` on the same database; or `run()` is called inside a `begin()` of it.
            TransactionAbortedError: a statement failed, and `work` went on.
            UsageError: `work` is no async function.
            CommitUnknownError: the connection was lost while COMMIT was under way.
        """
        name = name_of(work)
        place = self._blocks.enter_run(name)
        try:
            return await retry(
                lambda: self._attempt(
                    lambda session: awaitable(work(session, *args, **kwargs), name)
                ),
                policy=self.policy.retry,
                name=name,
                events=self.events,
            )
        finally:
            place.leave()

    async def _attempt(self, work: Callable[[AsyncSession], Awaitable[R]]) -> R:
        session = self._owned_session()
        finish = session.finish
        if self.policy.retry.resolve and self.url.backend == "postgresql":
            finish = partial(Resolving(self._reading).finish, session)
        async with Unit(session, self._leaving, finish):
            return await work(session)

    def _owned_session(self) -> OwnedSession:
        return OwnedSession(self._owned, expire_on_commit=False, close_resets_only=False)
