"""Write what was saved to its rows: a batch at a time, whoever else is at it."""

from asyncio import CancelledError
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from holdfast.errors import HoldfastError, OutcomeUnknownError, StoreUnavailableError
from holdfast.state.operations import adopt, forget, retake
from holdfast.state.requests import (
    Absent,
    Acknowledge,
    Flush,
    Held,
    Io,
    Read,
    Refuse,
    RefusedError,
    Take,
    Taken,
    Versions,
    Write,
)
from holdfast.state.versions import epoch

_BATCH_BYTES: Final = 16_777_216  # of states in one statement, but for a single one
_READ: Final = 100  # at once, as many as go in one round trip


@dataclass(slots=True, kw_only=True)
class Flushed:
    """What became of a round.

    Attributes:
        more: sets of marks that may name others.
        written: states that are in their rows.
        refused: what PostgreSQL does not take, with its reason.
        failed: what could not be cleared up this time, and will be looked at again.
    """

    more: list[str] = field(default_factory=list)
    written: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    failed: dict[str, HoldfastError] = field(default_factory=dict)


class Batches:
    """Writes batches, and at once again what one has left that was cut off.

    Args:
        io: both servers.
    """

    def __init__(self, io: Io) -> None:
        self._io = io
        self._unfinished: str | None = None  # the token of one that may have left leases

    async def write(self, marks: Sequence[str], most: int, seen: set[str]) -> Flushed:
        """Write states that sets of marks name; see `flush`."""
        token, self._unfinished = self._unfinished or self._io.token(), None
        try:
            done = await flush(self._io, marks, most, seen, token)
        except BaseException:
            self._unfinished = token
            raise
        if any(isinstance(each, StoreUnavailableError) for each in done.failed.values()):
            self._unfinished = token
        return done


async def flush(io: Io, marks: Sequence[str], most: int, seen: set[str], token: str) -> Flushed:
    """Write states that sets of marks name, at most so many of each set, and of each statement.

    Args:
        io: both servers.
        marks: sets of marks.
        most: states of each.
        seen: keys of this round, which has an end also where they are saved all the time.
        token: of whoever takes; the one of the last time, if that has failed.

    Raises:
        StoreUnavailableError: Redis or PostgreSQL is away. What was taken is due again at once;
            if Redis was not told, for whoever has the token, and for others after its lease.
    """
    done = Flushed()
    taken: list[Taken] = []
    answers = await io.all([Take(each, most, token) for each in marks])
    for name, some in zip(marks, answers, strict=True):
        if isinstance(some, HoldfastError):
            raise some
        taken += some
        if len(some) == most and not seen.issuperset(each.key for each in some):
            done.more.append(name)
    seen.update(each.key for each in taken)
    while taken:
        try:
            taken = await _flush_some(io, taken, most, done)
        except (Exception, CancelledError):
            with suppress(HoldfastError):
                # Nobody else waits for them then.
                await io.all([Acknowledge(each.key) for each in taken])
            raise
    return done


async def _flush_some(io: Io, taken: list[Taken], most: int, done: Flushed) -> list[Taken]:
    """Write the first of what was taken, as much as is good at once, and give the rest."""
    reads = await _read(io, [each.key for each in taken[:most]])
    taken, rest = taken[: len(reads)], taken[len(reads) :]
    writes = []
    for key, held in zip((each.key for each in taken), reads, strict=True):
        if isinstance(held, HoldfastError):
            done.failed[key] = held
        elif isinstance(held, Held) and (held.version != held.persisted or held.closed):
            writes.append((held, Write(key, held.version, held.text)))
        else:
            await _look(io, key, stale=held is Absent.STALE, done=done)
    dirty = [write for held, write in writes if held.version != held.persisted]
    closed = [write for held, write in writes if held.version == held.persisted]
    written = await _write(io, sorted(dirty, key=lambda each: each.key), done)
    left = [each for each in dirty if each.key not in written and each.key not in done.refused]
    there = await _settle(io, [*left, *closed], done)
    ready = [each for each in dirty if each.key in written | there]
    done.written += len(ready)
    await io.all([Acknowledge(each.key, each.version) for each in ready])
    again = {each.key for each in taken if each.again}
    for key in (each.key for each in closed if each.key in there & again):
        await _open(io, key, done)
    return rest


async def _read(io: Io, keys: Sequence[str]) -> "Sequence[Held | Absent | HoldfastError]":
    """Read states, no more than fit into memory well."""
    reads: list[Held | Absent | HoldfastError] = []
    while len(reads) < len(keys) and _size(reads) < _BATCH_BYTES:
        some = keys[len(reads) : len(reads) + _READ]
        answers = await io.all([Read(key) for key in some])
        reads += answers
    return reads


def _size(given: "Sequence[Held | Absent | HoldfastError | Write]") -> int:
    return sum(len(each.text.state) for each in given if isinstance(each, Held | Write))


async def _write(io: Io, writes: Sequence[Write], done: Flushed) -> set[str]:
    """Write all that PostgreSQL takes; in halves, where it refuses one or they are large."""
    if not writes:
        return set()
    if len(writes) > 1 and _size(writes) > _BATCH_BYTES:
        return await _write_halves(io, writes, done)
    try:
        try:
            written = await io(Flush(writes, wait=False))
        except OutcomeUnknownError:
            written = await io(Flush(writes, wait=False))
        return set(written)
    except RefusedError as error:
        if len(writes) > 1:
            return await _write_halves(io, writes, done)
        write = writes[0]
        done.refused[write.key] = str(error)
        await io(Refuse(write.key, write.version, str(error)))
        return set()


async def _write_halves(io: Io, writes: Sequence[Write], done: Flushed) -> set[str]:
    middle = len(writes) // 2
    first = await _write(io, writes[:middle], done)
    return first | await _write(io, writes[middle:], done)


async def _settle(io: Io, writes: Sequence[Write], done: Flushed) -> set[str]:
    """Find out why rows were not written; those that have what was to be written."""
    if not writes:
        return set()
    versions = await io(Versions([each.key for each in writes]))
    there = set()
    for write in writes:
        version = versions.get(write.key)
        if version is None:
            await forget(io, write.key)
        elif version == write.version:
            there.add(write.key)
        elif epoch(version) == epoch(write.version):  # locked by somebody
            await io(Acknowledge(write.key))
        elif epoch(version) != epoch(write.version):
            # Fenced while it was closed, and whoever fenced it has died; or the row was made anew
            # behind the store's back.
            await _look(io, write.key, stale=True, done=done, version=write.version)
    return there


async def _open(io: Io, key: str, done: Flushed) -> None:
    """Have a key played on from that was closed a lease ago, and whose row is there.

    Whoever closed it has died, or has the row's lock: then it is left alone.
    """
    try:
        await adopt(io, key, wait=False)
    except HoldfastError as error:
        done.failed[key] = error


async def _look(
    io: Io, key: str, *, stale: bool, done: Flushed, version: int | None = None
) -> None:
    """Take a key up from its row where Redis does not vouch for it, and take its mark away.

    Where a version is named the row has gone on without it, and Redis does vouch for it.
    """
    try:
        if version is not None:
            await retake(io, key, version)
        elif stale:
            await adopt(io, key)
        await io(Acknowledge(key))
    except HoldfastError as error:
        done.failed[key] = error
