"""A store of states that are in Redis while they change, and in their rows when it matters."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from inspect import isawaitable
from typing import Any, Generic, Self, TypeVar

import msgspec
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.database import Database
from holdfast.errors import (
    ConfigurationError,
    HoldfastError,
    InvalidValueError,
    OutcomeUnknownError,
    StateConflictError,
    StoreUnavailableError,
    UnknownKeyError,
)
from holdfast.events import Check, Events
from holdfast.state import operations
from holdfast.state.codecs import StateCodec, codec_of, decode, encode
from holdfast.state.examining import examine, require_parts
from holdfast.state.facts import (
    StateConflicted,
    StateSaved,
    StatesRecovered,
    StateUnreadable,
    StoreFailed,
)
from holdfast.state.following import follow
from holdfast.state.inspecting import (
    KeyReport,
    StateStats,
    Verified,
    check,
    count,
    look,
    verify,
)
from holdfast.state.policy import StatePolicy
from holdfast.state.port import CallersPort, Port
from holdfast.state.recovering import Recovered, Recovery
from holdfast.state.requests import (
    Absent,
    Asks,
    Get,
    Held,
    Purge,
    RefusedError,
    Select,
    Text,
    Versions,
    Write,
)
from holdfast.state.rows import Rows, SessionRows
from holdfast.state.scripts import Client, Scripts, explain_redis
from holdfast.state.table import Key, StateTable
from holdfast.state.together import together
from holdfast.state.writing import Writer

T = TypeVar("T")
_PAGES = 3  # at once: one is read while others are taken up
_VERSION_BITS = 64  # of a bigint
Background = set[asyncio.Task[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry(Generic[T]):
    """A state and its version, as they were loaded or saved.

    Attributes:
        value: yours to change; what is changed in it is not stored by itself.
        version: names this state of the key, for ever.
    """

    value: T
    version: int
    _key: str = field(repr=False)  # as Redis has it: with the store's prefix
    _text: Text = field(repr=False, compare=False)


class StateStore(Generic[T]):
    """States in Redis, and in the rows of a table.

        store = StateStore(db, client, table=StateTable(model=ActiveGame, prefix="game:"),
                           codec=GameState)
        game = await store.load(game_id)                          # Entry, or None
        game = await store.save(game_id, state, expect=game.version)   # Redis only
        await store.persist(game_id)                              # durable

    It holds nothing in the process: any number of processes use the same states. Nothing is opened
    here.

    Args:
        db: of the rows; the store's statements are transactions of their own there.
        redis: from `holdfast.redis`; it belongs to the caller.
        table: of the rows.
        codec: the type of the states, or a StateCodec.
        policy: limits.
        events: told what happens; the database's, if not given.

    Raises:
        ConfigurationError: the codec makes no state from JSON, the client sends commands again, or
            one of them is something else.
    """

    def __init__(
        self,
        db: Database,
        redis: Client,
        *,
        table: StateTable[T],
        codec: type[T] | StateCodec[T],
        policy: StatePolicy | None = None,
        events: Events | None = None,
    ) -> None:
        require_parts(db, redis, table)
        self.policy = policy or StatePolicy()
        self.table = table
        self.events = events or db.events
        self._codec: StateCodec[T] = codec_of(codec)
        self._redis = redis
        self._engine = db.engine
        self._opened = False
        self._rows = Rows(db.engine, table)
        self._port = Port(
            Scripts(redis, self.policy.timeout), self._rows, table.prefix, self.policy
        )
        self._writer = Writer(redis, self._port, self.policy, self.events)
        self._leaving: Background = set()
        self._asking: dict[str, asyncio.Future[StoreUnavailableError | None]] = {}

    async def open(self) -> None:
        """Find out whether Redis and table can keep what a store promises.

        `flushing()` and `recover()` do so by themselves.

        Raises:
            ConfigurationError: it names everything that has to be changed: a Redis that drops
                keys, a table without the columns, a prefix that another table has, …
            StoreUnavailableError: Redis or PostgreSQL could not be reached.
        """
        if not self._opened:
            await examine(self._redis, self._engine, self.table)
            self._opened = True

    async def close(self) -> None:
        """Wait for what is under way without its caller; harmless when repeated."""
        while self._leaving:
            await asyncio.gather(*self._leaving, return_exceptions=True)
        await self._port.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    async def load(self, key: Key) -> Entry[T] | None:
        """Give the newest state of a key; None where there is no row.

        One round trip where Redis has it. Else the row decides from which state the key goes on,
        and Redis is filled.

        Raises:
            StoreUnavailableError: Redis or, where it is needed, PostgreSQL did not answer in time.
            InvalidValueError: what is stored is no state that the codec takes.
        """
        name = self.table.write_key(key)
        try:
            found = await self._find(name)
        except StoreUnavailableError as error:
            raise self._failed("load", error, harmless=True) from error
        if found is None:
            return None
        try:
            return self._entry(name, found.version, found.text)
        except InvalidValueError:
            with suppress(StoreUnavailableError):
                await operations.ask_the_row(self._port, name, found.version)
            raise

    async def _find(self, name: str) -> operations.Found | None:
        """Give the state of a key; where Redis has none, one task of this process asks the row."""
        held = await self._port(Get(name))
        if isinstance(held, Held):
            return operations.Found(held.version, held.text)
        # Many that load a key after a restart would take each other's claims for ever.
        if name in self._asking:
            asking = self._asking[name]
            await asyncio.wait([asking])  # to be cancelled while waiting cancels nobody else
            if error := asking.result():
                raise StoreUnavailableError(str(error)) from error
            return await self._find(name)  # what is newest now
        asking = self._asking[name] = asyncio.get_running_loop().create_future()
        failed = None
        try:
            return await operations.adopt(self._port, name, seen=held is not Absent.MISSING)
        except StoreUnavailableError as error:
            failed = error
            raise
        finally:
            del self._asking[name]
            asking.set_result(failed)

    async def save(self, key: Key, value: T, *, expect: int) -> Entry[T]:
        """Replace the state of that version in Redis; the row has it at the next round of writing.

        One round trip. Another that is sent where the answer was lost changes nothing more.

        Raises:
            ConfigurationError: `expect` is no version.
            StateConflictError: the key is at another version, has no row, or Redis was emptied or
                restarted since it was loaded; nothing was changed.
            InvalidValueError: the state cannot be encoded or stored, or is too large.
            OverloadedError: too many states wait to be written; nothing was changed.
            OutcomeUnknownError: no answer, twice.
            StoreUnavailableError: Redis could not be reached; nothing was changed.
        """
        name = self.table.write_key(key)
        _require_version(name, expect)
        text = self._text(name, value)
        try:
            version = await operations.save(self._port, name, expect, text)
        except StateConflictError as error:
            self.events.emit(StateConflicted(key=name, expected=error.expected, found=error.found))
            raise
        except StoreUnavailableError as error:
            raise self._failed("save", error) from error
        self.events.emit(StateSaved(key=name, version=version))
        return self._made(name, value, version, text)

    async def update(
        self, key: Key, change: Callable[[T], T | Awaitable[T]], *, attempts: int = 20
    ) -> Entry[T]:
        """Load, change and save, again from the newest state where somebody else was quicker.

        Args:
            key: of the state.
            change: gives the new state; it may change and return the one that it is given, and
                must do nothing else that cannot be done twice.
            attempts: how often it is called at most.

        Raises:
            UnknownKeyError: there is no such row.
            StateConflictError: others were quicker each time.
        """
        for attempt in range(attempts):
            entry = await self.load(key)
            if entry is None:
                raise UnknownKeyError(self.table.write_key(key))
            changed = change(entry.value)
            value = await changed if isawaitable(changed) else changed
            try:
                return await self.save(key, value, expect=entry.version)
            except StateConflictError:
                if attempt + 1 == attempts:
                    raise
        raise ValueError(f"attempts is {attempts}; it is at least 1")

    async def persist(self, key: Key, entry: Entry[T] | None = None) -> int:
        """Have the row hold the newest state, and give its version.

        Once it returned, that state or a newer one is what every load gives, whatever is lost.

        Args:
            key: of the state.
            entry: what was just saved or loaded: it is written without being read from Redis, in
                one round trip to PostgreSQL.

        Raises:
            UnknownKeyError: there is no such row.
            StateConflictError: the entry was lost with Redis before it was written.
            RefusedError: PostgreSQL does not take the state.
            StoreUnavailableError: it could not be written now; what was saved is as it was.
        """
        name = self.table.write_key(key)
        try:
            if entry is None:
                return await operations.persist(self._port, name)
            self._require_own(name, entry)
            write = Write(name, entry.version, entry._text)  # noqa: SLF001  -- of this module
            await operations.persist_held(self._port, name, write)
        except RefusedError as error:
            raise RefusedError(
                f"{name}: the database does not take its state, which is in Redis only: {error}; "
                "save one that it takes"
            ) from error
        except StoreUnavailableError as error:
            raise self._failed("persist", error, harmless=True) from error
        return entry.version

    def _require_own(self, name: str, entry: object) -> None:
        if not isinstance(entry, Entry):
            raise ConfigurationError(f"{name}: {entry!r} is no entry that load() or save() gave")
        if entry._key != f"{self.table.prefix}{name}":  # noqa: SLF001  -- of this module
            raise ConfigurationError(
                f"{name}: the entry is that of {entry._key}; each key has its own"  # noqa: SLF001
            )

    async def delete(
        self, key: Key, *, expect: int | None = None, session: AsyncSession | None = None
    ) -> bool:
        """Delete a row and its state; nothing that comes late brings them back.

        From the call on nobody plays on from the key. In a transaction that is rolled back, the
        next load has it again, or another deletion of the same version.

        Args:
            key: of the state.
            expect: delete this version only, for what is stored elsewhere in its place.
            session: delete in its transaction; what Redis has goes after the commit.

        Returns:
            whether there was a row. False where another call has deleted it.

        Raises:
            ConfigurationError: `expect` is no version, or `session` no AsyncSession; nothing was
                done.
            StateConflictError: the key is at another version than the expected one.
            StoreUnavailableError: Redis or PostgreSQL could not be reached; the row is there.
            OutcomeUnknownError: no answer; the row may be there or not.
        """
        name = self.table.write_key(key)
        if expect is not None:
            _require_version(name, expect)
        if session is not None and not isinstance(session, AsyncSession):
            raise ConfigurationError(
                f"{name}: session is a {type(session).__name__}; it is an AsyncSession, such as "
                "db.begin() gives"
            )
        rows: Asks = (
            self._port if session is None else CallersPort(SessionRows(session, self._rows.sql))
        )
        try:
            token, deleted = await operations.delete(self._port, rows, name, expect)
        except StoreUnavailableError as error:
            raise self._failed("delete", error) from error
        if session is None:
            await self._purge(name, token)
        elif deleted:
            work = partial(self._purge_if_gone, name, token)
            follow(session.sync_session, lambda: self._later(work()))
        return deleted

    async def read_durable(self, key: Key) -> Entry[T] | None:
        """Give the state that the row has, without asking Redis, which may have a newer one.

        Raises:
            StoreUnavailableError: PostgreSQL did not answer in time.
            InvalidValueError: what the row holds is no state that the codec takes.
        """
        name = self.table.write_key(key)
        try:
            row = await self._port(Select(name))
        except StoreUnavailableError as error:
            raise self._failed("read_durable", error, harmless=True) from error
        return self._entry(name, row.version, Text(row.state)) if row else None

    async def recover(self, *, progress: Callable[[Recovered], object] | None = None) -> Recovered:
        """Have Redis hold every row's state, at a start; no running worker is set back.

        Args:
            progress: told after each page of rows.

        Raises:
            StoreUnavailableError: Redis or PostgreSQL is away.
        """
        await self.open()
        began = time.perf_counter()
        recovery = Recovery(
            self._port, self.policy.batch_size, self._is_readable, progress or (lambda _: None)
        )
        try:
            await recovery.count()
            await together(recovery.carry_on() for _ in range(_PAGES))
        except StoreUnavailableError as error:
            raise self._failed("recover", error, harmless=True) from error
        done = recovery.done
        self.events.emit(
            StatesRecovered(
                prefix=self.table.prefix,
                rows=done.rows,
                filled=done.filled,
                ahead=done.ahead,
                seconds=round(time.perf_counter() - began, 3),
            )
        )
        return done

    async def flush(self) -> int:
        """Write what waits to be written, whoever saved it; give how many states were written.

        Raises:
            StoreUnavailableError: Redis or PostgreSQL is away; what waits goes on waiting.
        """
        try:
            return await self._writer.write(everywhere=True)
        except StoreUnavailableError as error:
            raise self._failed("flush", error, harmless=True) from error

    @asynccontextmanager
    async def flushing(self) -> AsyncIterator[None]:
        """Write in the background, every `flush_interval`, and what is left at the end.

        Any number of processes may do so; one is enough.
        """
        await self.open()
        async with self._writer.running():
            try:
                yield
            finally:
                await self.close()

    async def stats(self) -> StateStats:
        """Count states, those that wait to be written, and what is written each second.

        It reads the names of all keys of that Redis.

        Raises:
            StoreUnavailableError: Redis did not answer in time.
        """
        try:
            return await count(self._redis, self._port)
        except HoldfastError:
            raise
        except (RedisError, OSError) as error:
            raise explain_redis(error, changes=False) from error

    async def look(self, key: Key) -> KeyReport:
        """Give what both servers have under a key, and change nothing.

        Raises:
            StoreUnavailableError: Redis or PostgreSQL did not answer in time.
        """
        return await look(self._port, self.table.write_key(key))

    async def verify(self, *, progress: Callable[[Verified], object] | None = None) -> Verified:
        """Compare Redis with the rows, and name every difference.

        Args:
            progress: told after each page of rows.

        Raises:
            StoreUnavailableError: Redis or PostgreSQL did not answer in time.
        """
        try:
            return await verify(self._redis, self._port, self.table.read_key, progress=progress)
        except HoldfastError:
            raise
        except (RedisError, OSError) as error:
            raise explain_redis(error, changes=False) from error

    async def check(self) -> Sequence[Check]:
        """Tell whether states can be saved and are written: for a health route.

        Two round trips; in a cluster, some to each server and a look at the names of all keys. What
        is wrong is a failed check, not an exception.
        """
        return await check(self._redis, self._port, self.policy)

    async def _purge(self, name: str, token: str) -> None:
        with suppress(StoreUnavailableError):  # what is left is readable to nobody
            await self._port(Purge(name, token))

    async def _purge_if_gone(self, name: str, token: str) -> None:
        """The same after a commit, of which a savepoint may have been rolled back."""
        with suppress(StoreUnavailableError):
            if not await self._port(Versions([name])):
                await self._port(Purge(name, token))

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _is_readable(self, name: str, text: bytes) -> bool:
        try:
            self._codec.decode(text)
        except Exception as error:  # noqa: BLE001  -- of a codec that may be anybody's
            reason = " ".join(str(error).split())
            self.events.emit(StateUnreadable(key=name, reason=reason))
            return False
        return True

    def _text(self, name: str, value: T) -> Text:
        state = encode(self._codec, name, value, self.policy.max_bytes)
        if not self.table.columns:
            return Text(state)
        columns: Mapping[str, object] = {
            self.table.table.columns[column].name: show(value)
            for column, show in self.table.columns.items()
        }
        try:
            return Text(state, msgspec.json.encode(columns))
        except (TypeError, ValueError) as error:
            raise InvalidValueError(f"has columns that cannot be encoded: {error}", name) from error

    def _entry(self, name: str, version: int, text: Text) -> Entry[T]:
        return self._made(name, decode(self._codec, name, text.state), version, text)

    def _made(self, name: str, value: T, version: int, text: Text) -> Entry[T]:
        key = f"{self.table.prefix}{name}"
        return Entry(value=value, version=version, _key=key, _text=text)

    def _failed(
        self, what: str, error: StoreUnavailableError, *, harmless: bool = False
    ) -> StoreUnavailableError:
        """Tell of a failure; what changes nothing that anybody sees has no unknown outcome."""
        self.events.emit(StoreFailed(prefix=self.table.prefix, what=what, error=str(error)))
        if harmless and isinstance(error, OutcomeUnknownError):
            return StoreUnavailableError(str(error))
        return error


def _require_version(name: str, expect: object) -> None:
    if type(expect) is not int or expect.bit_length() >= _VERSION_BITS:
        given = "too large" if type(expect) is int else repr(expect)
        raise ConfigurationError(
            f"{name}: expect is {given}; it is the version of what load() or save() gave"
        )
