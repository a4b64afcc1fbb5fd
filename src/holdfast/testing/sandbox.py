"""One transaction around everything that a database does, taken back at the end.

The `Database` stays the production one, with its engine, pool and sessions. What differs is the
driver's connection underneath: there is one, it is in a transaction already, and what it is told
to begin, commit or roll back are savepoints.
"""

from contextlib import suppress
from dataclasses import replace
from typing import Any, NoReturn

from sqlalchemy import Connection, Engine, event
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.util import greenlet_spawn

from holdfast.database import Database
from holdfast.errors import SandboxError
from holdfast.pool import Caller, ElasticPool, TurnTakingPool
from holdfast.testing.emulation import EMULATIONS, ENDED, SandboxedConnection
from holdfast.testing.leaks import Checkouts
from holdfast.testing.moving import make_movable

MARK = '@pytest.mark.holdfast(isolation="database")'


class Sandbox:
    """Makes a database do everything in one transaction, until `roll_back()`.

    Args:
        db: the only user of its engine; not opened yet.
    """

    def __init__(self, db: Database) -> None:
        self.db = db
        self._connection: SandboxedConnection | None = None
        engine = db.engine.sync_engine
        self._dbapi: Any = engine.dialect.loaded_dbapi
        self._lost = self._ended = False
        self._asked: Caller | None = None
        self.loop = make_movable(engine)
        self.checkouts = Checkouts(engine)
        self._close_real = engine.dialect.do_terminate
        _emulate(engine)
        pool = _pool(db)
        pool.policy = replace(pool.policy, min_size=0, idle_timeout=0, max_lifetime=0)
        pool.renew = None  # it would end the test's own transaction
        if isinstance(pool, TurnTakingPool):
            pool.takes_turns = False  # who comes second is told so, and does not wait
        event.listen(engine, "do_connect", self._connect)
        event.listen(engine, "checkout", _check_out)
        event.listen(engine, "before_cursor_execute", _note)
        event.listen(engine, "invalidate", self._lose)

    async def roll_back(self) -> None:
        """Take back everything since the last time.

        Raises:
            SandboxError: the transaction had been ended by SQL given to the driver itself, so
                that what was done before that is in the database.
        """
        ended, self._lost, self._ended = self._ended, False, False
        if connection := self._connection:
            with suppress(SandboxError):
                await self._roll_back(connection)
            ended = ended or connection.ended
        if ended:
            await self._discard()
            raise SandboxError(ENDED)

    def is_untouched(self) -> bool:
        """Tell whether there is a connection as `roll_back()` left it, as far as can be seen here.

        A driver that opens its sockets itself shows nothing.
        """
        connection = self._connection
        return connection is not None and not self.checkouts.callers and connection.is_untouched()

    async def is_connected(self) -> bool:
        """Tell whether there is a connection from earlier tests that still works."""
        if self._connection is None:
            return False
        try:
            await greenlet_spawn(self._connection.ping)
        except self._dbapi.Error:
            await self._discard()
        return self._connection is not None

    async def close(self) -> None:
        """Close the database and its one connection."""
        await self.db.close()
        await self._discard()

    async def _roll_back(self, connection: SandboxedConnection) -> None:
        if self.checkouts.callers:
            # Who has it may come back to it: they get nothing any more, and the next test another.
            self.checkouts.forget()
            await self._discard()
        else:
            try:
                await greenlet_spawn(connection.end)
                if connection.outdated:
                    await self._discard()
            except self._dbapi.Error:  # it was cut off meanwhile
                await self._discard()

    async def _discard(self) -> None:
        if self._connection is not None:
            await greenlet_spawn(self._connection.close_for_good)
            self._connection = None
            await self.db.engine.dispose()

    def _connect(
        self, dialect: Any, _entry: object, arguments: Any, options: dict[str, Any]
    ) -> SandboxedConnection:
        pool = _pool(self.db)
        caller = next(iter(pool.waiting()), Caller())
        if pool.checkedout() + pool.connecting() > 1:
            raise SandboxError(
                f"two connections at once, and the sandbox has one: {caller} asks for it while "
                f"{next(iter(self.checkouts.callers), self._asked)} still uses it. End that "
                f"session or transaction first, or mark the test {MARK}"
            )
        self._asked = caller
        if self._lost:
            raise SandboxError(
                "the sandbox's connection was closed, and what the test had done with it is "
                "gone: a task was cancelled in the middle of a statement, or the connection was "
                f"invalidated or cut off. Mark the test {MARK}"
            )
        if self._connection is None:
            real = dialect.connect(*arguments, **options)
            emulation = EMULATIONS[dialect.name]
            self._connection = emulation(real, dialect, self.loop, self._close_real)
        return self._connection

    def _lose(self, connection: SandboxedConnection, _entry: object, _error: object) -> None:
        connection.lost = True
        if connection is self._connection:
            self._connection, self._lost, self._ended = None, True, connection.ended


def _pool(db: Database) -> ElasticPool:
    pool = db.engine.pool
    assert isinstance(pool, ElasticPool)
    return pool


def _check_out(connection: SandboxedConnection, entry: ConnectionPoolEntry, _proxy: object) -> None:
    try:
        connection.check_out()
    except BaseException:
        entry.invalidate()  # it may have begun, or not
        raise


def _note(
    connection: Connection, _cursor: object, sql: str, parameters: Any, *_context: object
) -> None:
    sandboxed: Any = connection.connection.dbapi_connection
    sandboxed.note(sql, parameters)


def _refuse_two_phases(_connection: Connection, _name: object) -> NoReturn:
    raise SandboxError(
        f"PREPARE TRANSACTION would end the sandbox's transaction: mark the test {MARK}"
    )


def _emulate(engine: Engine) -> None:
    """Send what begins and ends a connection's life to the connection that emulates it."""
    dialect: Any = engine.dialect
    if dialect.name == "postgresql":
        dialect.do_begin = lambda connection: connection.dbapi_connection.begin()
    dialect.do_begin_twophase = _refuse_two_phases
    # A pool that is disposed of closes its connections, and what the test did would be gone.
    dialect.do_close = dialect.do_terminate = lambda connection: connection.close()
