"""Workers that use the store's operations as `StateStore` does, one after the other."""

from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.state.explorer.ledger import Ledger, Operation
from tests.state.explorer.postgres_twin import Commit, Insert, Rollback, Within

from holdfast.errors import (
    OutcomeUnknownError,
    OverloadedError,
    StateConflictError,
    StoreUnavailableError,
    UnknownKeyError,
)
from holdfast.state import flushing, operations, recovering
from holdfast.state.requests import Delete, Purge, RefusedError, Request, Text, Versions, Write

MARKS = "marks"
ATTEMPTS = 3


class DriverError(Exception):
    """A caller's transaction is broken."""


class Asking:
    """What a worker waits for: the answers to some requests."""

    def __init__(self, requests: Sequence[Request[Any]], *, together: bool = False) -> None:
        self.requests = requests
        self.together = together

    def __await__(self) -> "Generator[Asking, Any, Any]":
        return (yield self)


@dataclass
class Hands:
    """A worker's own: what it asks through, and the states that it holds.

    Attributes:
        io: both servers.
        ledger: told how each operation ends.
        operation: that is under way.
        held: version and text of keys that were loaded or saved.
    """

    io: "WorkerIo"
    ledger: Ledger
    operation: Operation = field(default_factory=lambda: Operation("none"))
    held: dict[str, tuple[int, Text]] = field(default_factory=dict)


class WorkerIo:
    """Lets a worker wait for the explorer."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tokens = 0
        self.batches = flushing.Batches(self)

    async def __call__(self, request: Request[Any]) -> Any:
        """Wait for one answer."""
        return await Asking([request])

    async def all(self, requests: Sequence[Request[Any]]) -> Any:
        """Wait for several."""
        return await Asking(requests, together=True) if requests else []

    def token(self) -> str:
        """Give the next name."""
        self.tokens += 1
        return f"{self.name}{self.tokens:03}"


class CallersRows(WorkerIo):
    """The same in a caller's transaction."""

    async def __call__(self, request: Request[Any]) -> Any:
        """Wait for one answer."""
        assert isinstance(request, Delete | Versions)
        return await Asking([Within(self.name, request)])


async def work(hands: Hands, program: Sequence[tuple[str, str]]) -> None:
    """Do one operation after the other, each the name of a function of this module and a key."""
    for number, (kind, key) in enumerate(program):
        name = f"{hands.io.name}{number}"
        hands.operation = Operation(name, key)
        await DOES[kind](hands, hands.operation)


async def load(hands: Hands, of: Operation) -> bool:
    """Load a state into the hand; whether there is one."""
    hands.held.pop(of.key, None)
    try:
        found = await operations.load(hands.io, of.key)
    except (StoreUnavailableError, RefusedError):
        return False
    hands.ledger.end_loaded(of, (found.version, found.text.state) if found else None)
    if found:
        hands.held[of.key] = (found.version, found.text)
    return found is not None


async def save(hands: Hands, of: Operation, end: str = "/") -> None:
    """Save one more operation on top of what is in hand, and leave it at a conflict."""
    if await _save(hands, of, end):
        hands.ledger.end_failed(of)


async def save_poison(hands: Hands, of: Operation) -> None:
    """Save what PostgreSQL does not take."""
    await save(hands, of, "!")


async def update(hands: Hands, of: Operation) -> None:
    """Load and save, again where somebody else was quicker."""
    for _ in range(ATTEMPTS):
        hands.held.pop(of.key, None)
        if not await _save(hands, of):
            return
    hands.ledger.end_failed(of)


async def _save(hands: Hands, of: Operation, end: str = "/") -> bool:
    """Save, and tell whether there was a conflict."""
    if of.key not in hands.held and not await load(hands, of):
        return False
    version, text = hands.held.pop(of.key)
    state = text.state + f"{of.name}{end}".encode()
    try:
        version = await operations.save(hands.io, of.key, version, Text(state, state))
    except OutcomeUnknownError:
        return False
    except StateConflictError:
        hands.ledger.end_conflicted(of)
        return True
    except (StoreUnavailableError, OverloadedError):
        hands.ledger.end_failed(of)
        return False
    hands.ledger.end_saved(of, version, state)
    hands.held[of.key] = (version, Text(state, state))
    return False


async def persist(hands: Hands, of: Operation) -> None:
    """Persist what Redis has."""
    with suppress(StoreUnavailableError, UnknownKeyError, RefusedError):
        hands.ledger.end_persisted(of, await operations.persist(hands.io, of.key))


async def persist_held(hands: Hands, of: Operation) -> None:
    """Persist what is in hand."""
    if of.key not in hands.held and not await load(hands, of):
        return
    version, text = hands.held[of.key]
    with suppress(StoreUnavailableError, UnknownKeyError, RefusedError, StateConflictError):
        await operations.persist_held(hands.io, of.key, Write(of.key, version, text))
        hands.ledger.end_persisted(of, version)


async def create(hands: Hands, of: Operation) -> None:
    """Insert a row, as an application does."""
    with suppress(StoreUnavailableError):
        await hands.io(Insert(of.key, f"{of.name}/".encode()))


async def delete(hands: Hands, of: Operation) -> None:
    """Delete a state."""
    try:
        token, deleted = await operations.delete(hands.io, hands.io, of.key, of.expect)
    except OutcomeUnknownError:
        return
    except (StateConflictError, StoreUnavailableError):
        hands.ledger.end_failed(of)
        return
    hands.ledger.end_deleted(of, deleted=deleted)
    with suppress(StoreUnavailableError):
        await hands.io(Purge(of.key, token))


async def delete_held(hands: Hands, of: Operation) -> None:
    """Delete the state in hand."""
    if of.key in hands.held or await load(hands, of):
        of.expect = hands.held[of.key][0]
        await delete(hands, of)


async def finish(hands: Hands, of: Operation) -> None:
    """Delete the state in hand and note it, in one transaction; again if its COMMIT was lost."""
    known = of.key not in hands.held and not await load(hands, of)
    if not known and not await transact(hands, of, of.name):
        await transact(hands, of, f"{of.name}+")


async def transact(hands: Hands, of: Operation, name: str) -> bool:
    """Make one attempt; whether it is known how it ended."""
    of.expect, text = hands.held[of.key]
    try:
        token, deleted = await operations.delete(hands.io, CallersRows(name), of.key, of.expect)
    except (StateConflictError, StoreUnavailableError, DriverError):
        await hands.io(Rollback(name))
        if name == of.name:
            hands.ledger.end_failed(of)
        return True
    try:
        await hands.io(Commit(name, of.key, text.state, deleted))
    except DriverError:
        return False
    hands.ledger.end_deleted(of, deleted=deleted or name != of.name)
    with suppress(StoreUnavailableError):
        await hands.io(Purge(of.key, token))
    return True


async def roll_back(hands: Hands, of: Operation) -> None:
    """Delete a state in a transaction that is rolled back."""
    with suppress(StoreUnavailableError, DriverError):
        await operations.delete(hands.io, CallersRows(of.name), of.key)
    await hands.io(Rollback(of.name))
    hands.ledger.end_failed(of)


async def flush(hands: Hands, of: Operation) -> None:
    """Write what waits to be written."""
    with suppress(StoreUnavailableError):
        await write_all(hands.io)


async def write_all(io: WorkerIo) -> None:
    """Write a batch after the other, as long as there are more."""
    marks, seen = [MARKS], set[str]()
    while marks:
        marks = (await io.batches.write(marks, 2, seen)).more


async def recover(hands: Hands, of: Operation) -> None:
    """Take up every row."""
    with suppress(StoreUnavailableError, RefusedError):
        await take_up_all(hands.io, 2)


async def take_up_all(io: WorkerIo, most: int) -> None:
    """Take up a page after the other; every state here is one that an application can decode."""
    recovery = recovering.Recovery(io, most, lambda _key, _state: True, lambda _: None)
    await recovery.count()
    await recovery.carry_on()


DOES: Mapping[str, Callable[[Hands, Operation], Coroutine[Any, Any, object]]] = {
    each.__name__: each
    for each in (load, save, save_poison, update, persist, persist_held, create, delete)
} | {each.__name__: each for each in (delete_held, finish, roll_back, flush, recover)}
