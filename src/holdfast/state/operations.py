"""What the store does with one key, as steps that hold whatever happens between them.

The order of the steps is the proof (docs/design.md): read the row, claim, fence, fill. Each step
may be the last that a process makes, and anybody may come between two of them.
"""

from contextlib import suppress
from dataclasses import dataclass

from holdfast.errors import (
    OutcomeUnknownError,
    OverloadedError,
    StateConflictError,
    StoreUnavailableError,
    UnknownKeyError,
)
from holdfast.state.requests import (
    Absent,
    Acknowledge,
    Adopt,
    Adoption,
    Asks,
    Claim,
    Close,
    Delete,
    Fill,
    Flush,
    Get,
    Held,
    Io,
    Other,
    Pause,
    Purge,
    Read,
    Refusal,
    RefusedError,
    Row,
    Save,
    Select,
    Text,
    Versions,
    Write,
)
from holdfast.state.versions import continues, epoch, is_last

# Redis remembers so many saves of a key, to know one that comes again.
REMEMBERED = 4
# Somebody else is at the key each time: it is theirs that counts.
ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Found:
    """A state that may be played on, with its version."""

    version: int
    text: Text


async def load(io: Io, key: str) -> Found | None:
    """Give the state of a key; None where the row is not there."""
    held = await io(Get(key))
    if isinstance(held, Held):
        return Found(held.version, held.text)
    return await adopt(io, key, seen=held is not Absent.MISSING)


async def adopt(io: Io, key: str, *, seen: bool = True, wait: bool = True) -> Found | None:
    """Decide by the row from which state a key goes on, and make that readable.

    What Redis has and does not vouch for goes on where it continues the row's history.

    Args:
        io: both servers.
        key: of the state.
        seen: Redis has something under the key, which is cleared away if there is no row.
        wait: for whoever has locked the row, and for others who are at the key; else None.
    """
    lost = False
    for attempt in range(ATTEMPTS):
        if attempt:
            await io(Pause(attempt))
        row = await io(Select(key))
        if row is None and not seen:
            return None
        token = io.token()  # another for each fence: a fill that comes late is of an older one
        claimed = await io(Claim(key, token))
        if isinstance(claimed, Held):
            return Found(claimed.version, claimed.text)
        seen = True
        if row is None:
            if await io(Select(key)) is None:
                await io(Purge(key, token))
                return None
            continue
        try:
            found = await _take_up(io, key, token, row, claimed.held, wait=wait)
            if found or not wait:
                return found
        except OutcomeUnknownError as error:  # another transaction may have the row's lock
            if lost:
                raise StoreUnavailableError(str(error)) from error
            lost = True
    raise StoreUnavailableError(f"{key}: others were at it in each of {ATTEMPTS} attempts")


async def ask_the_row(io: Io, key: str, version: int) -> None:
    """Have the next load ask the row, which somebody mends, where Redis has nothing newer."""
    held = await io(Read(key))
    if isinstance(held, Held) and held.version == held.persisted == version and not held.closed:
        await io(Close(key, io.token(), version))


async def retake(io: Io, key: str, version: int) -> Found | None:
    """Take a key up from its row although Redis vouches for a version: the row went on without it.

    The protocol knows no such row; one that was deleted and made anew by bare SQL is one.
    """
    await io(Close(key, io.token(), version))
    return await adopt(io, key)


async def _take_up(
    io: Io, key: str, token: str, row: Row, held: Held | None, *, wait: bool = True
) -> Found | None:
    """Fence the row and fill Redis; None where somebody else came between, or may have.

    Raises:
        OutcomeUnknownError: the row may be fenced or not.
    """
    ahead = held is not None and continues(held.version, row.version)
    text = held.text if held is not None and ahead else Text(row.state)
    fenced, refused = await _fence(
        io, Adoption(key, row.version, text if ahead else None), wait=wait
    )
    if fenced is None:
        return None
    # Those that made Redis' state, which the row's contains where the history is the same.
    keep = held is not None and epoch(held.version) == epoch(row.version)
    version = fenced + 1 if refused else fenced  # it stays in Redis, as one saved since
    try:
        filled = await io(Fill(key, token, version, text, keep, fenced))
    except OutcomeUnknownError:
        filled = False
    return Found(version, text) if filled else await _readable(io, key)


async def _fence(io: Io, adoption: Adoption, *, wait: bool = True) -> tuple[int | None, bool]:
    """Give a row a new epoch, and tell whether it does not take the state."""
    try:
        return (await io(Adopt([adoption], wait=wait))).get(adoption.key), False
    except RefusedError:
        bare = Adoption(adoption.key, adoption.version)
        return (await io(Adopt([bare], wait=wait))).get(adoption.key), True


async def _readable(io: Io, key: str) -> Found | None:
    held = await io(Get(key))
    return Found(held.version, held.text) if isinstance(held, Held) else None


async def save(io: Io, key: str, expect: int, text: Text) -> int:
    """Replace the state of that version and give the new one.

    Raises:
        StateConflictError: the key is at another version, or at none that is readable.
        OutcomeUnknownError: two answers were lost.
        OverloadedError: too many states wait to be written; this one was not saved.
    """
    if is_last(expect):
        await _renew(io, key, expect)
    request = Save(key, expect, expect + 1, text, io.token())
    try:
        answer = await io(request)
    except OutcomeUnknownError as lost:
        try:
            answer = await io(request)
        except StoreUnavailableError as error:
            raise lost from error
        return _judge_again(answer, request)
    return _judge(answer, request)


def _judge(answer: Refusal | Other | None, request: Save) -> int:
    match answer:
        case None:
            return request.version
        case Other(version):
            raise StateConflictError(request.key, request.expect, version)
        case Refusal.FULL:
            raise OverloadedError(
                f"{request.key}: too many states wait to be written to the database; nothing was "
                "saved. Is the database there, and does a writer run (flushing())?"
            )
        case _:
            raise StateConflictError(request.key, request.expect, None)


def _judge_again(answer: Refusal | Other | None, request: Save) -> int:
    """The same, where the first answer was lost: what Redis forgot since cannot be told."""
    match answer:
        case None:
            return request.version
        case Other(version) if (
            epoch(version) == epoch(request.version) and 0 <= version - request.version < REMEMBERED
        ):
            return _judge(answer, request)
        case _:
            raise OutcomeUnknownError(
                f"{request.key}: the answer to a save was lost, and the key has gone on since; "
                "load it and look whether the change is in it"
            )


async def _renew(io: Io, key: str, expect: int) -> None:
    """Have a new epoch begin, since this one's numbers are used up; it costs one conflict."""
    await io(Close(key, io.token(), expect))
    found = await load(io, key)
    raise StateConflictError(key, expect, found.version if found else None)


async def persist_held(io: Io, key: str, write: Write) -> None:
    """Write a state that was saved or loaded, without reading it from Redis.

    Raises:
        StateConflictError: Redis was lost meanwhile, and this state with it.
        UnknownKeyError: the row is gone.
    """
    if not await _is_durable(io, write):
        raise StateConflictError(key, write.version, None)
    await _acknowledge(io, key, write.version)


async def persist(io: Io, key: str) -> int:
    """Write what Redis has to the row, and give its version.

    Raises:
        UnknownKeyError: there is no such row.
    """
    for attempt in range(ATTEMPTS):
        if attempt > 1:
            await io(Pause(attempt))
        held = await io(Read(key))
        if isinstance(held, Held):
            if held.persisted == held.version and not held.closed:
                return held.version
            if await _is_durable(io, Write(key, held.version, held.text)):
                await _acknowledge(io, key, held.version)
                return held.version
            if await retake(io, key, held.version) is None:
                raise UnknownKeyError(key)
            continue
        # Read again then: whoever took it up may have saved since.
        if await adopt(io, key, seen=held is not Absent.MISSING) is None:
            raise UnknownKeyError(key)
    raise StoreUnavailableError(f"{key}: others were at it in each of {ATTEMPTS} attempts")


async def _is_durable(io: Io, write: Write) -> bool:
    """Write a state; False where the row has gone on in another history."""
    try:
        written = await io(Flush([write]))
    except OutcomeUnknownError:
        written = await io(Flush([write]))
    if written:
        return True
    versions = await io(Versions([write.key]))
    if write.key not in versions:
        raise UnknownKeyError(write.key)
    version = versions[write.key]
    return epoch(version) == epoch(write.version) and version >= write.version


async def _acknowledge(io: Io, key: str, version: int) -> None:
    with suppress(StoreUnavailableError):  # the row has it; a writer will find that out
        await io(Acknowledge(key, version))


async def delete(io: Io, rows: Asks, key: str, expect: int | None = None) -> tuple[str, bool]:
    """Delete the row, so that nothing late brings it back.

    What is left in Redis is closed; `Purge` with the token removes it once the row is gone.

    Args:
        io: Redis.
        rows: PostgreSQL; of the caller's transaction, where there is one.
        key: of the state.
        expect: delete this version only.

    Returns:
        the token, and whether this call may have deleted a row.

    Raises:
        StateConflictError: the key is at another version than the expected one.
    """
    deletion = _Deletion(io, rows, key, io.token(), expect)
    try:
        return deletion.token, await deletion.run()
    except (StateConflictError, StoreUnavailableError) as error:
        if deletion.lost is None or isinstance(error, OutcomeUnknownError):
            raise
        raise OutcomeUnknownError(
            f"{key}: the answer to its deletion was lost, and then: {error}"
        ) from error


@dataclass(slots=True)
class _Deletion:
    """One deletion, and what is known of it.

    Attributes:
        closed: the expected version was closed, so that nothing newer can come of its epoch.
        lost: the epoch of a row that was deleted with no answer.
        gone_on: the epoch of the row, seen before Redis was closed the last time.
    """

    io: Io
    rows: Asks
    key: str
    token: str
    expect: int | None
    closed: bool = False
    lost: int | None = None
    gone_on: int = 0

    async def run(self) -> bool:
        """Delete; whether this call may have deleted a row."""
        for attempt in range(ATTEMPTS):
            if attempt:
                await self.io(Pause(attempt))
            of = await self.close()
            if of is None:
                return self.lost is not None
            if self.lost not in {None, of}:
                raise StoreUnavailableError(f"{self.key}: the row has gone on, or is another one")
            try:
                if await self.rows(Delete(self.key, of)):
                    return True
            except OutcomeUnknownError:
                if self.lost is not None:  # another transaction may have the row's lock
                    raise
                self.lost = of
            version = await self.find_version()
            if version is None:
                return self.lost is not None
            if self.expect is not None and epoch(version) != epoch(self.expect):
                raise StateConflictError(self.key, self.expect, version)
            self.gone_on = epoch(version)
        raise StoreUnavailableError(f"{self.key}: others were at it in each of {ATTEMPTS} attempts")

    async def close(self) -> int | None:
        """Close the key in Redis and give the epoch whose row is to go; None without a row."""
        closed = await self.io(Close(self.key, self.token, self.expect))
        if isinstance(closed, Other):
            assert self.expect is not None, "nothing else conflicts"
            raise StateConflictError(self.key, self.expect, closed.version)
        if closed is not None:
            self.closed = True
            # Whoever fenced the row and died has left Redis behind it. None that claimed before
            # this can fill it any more.
            return max(epoch(closed), self.gone_on)
        version = await self.find_version()
        if version is None:
            return None
        if self.expect is not None:
            if not self.closed:  # the row, or what is left in Redis, may be newer
                raise StateConflictError(self.key, self.expect, None)
            return epoch(self.expect)
        # Those who read the row before this and claimed since are to find their claim gone.
        closed = await self.io(Close(self.key, self.token))
        return epoch(closed if isinstance(closed, int) else version)

    async def find_version(self) -> int | None:
        """Give the version of the row."""
        return (await self.rows(Versions([self.key]))).get(self.key)


async def forget(io: Io, key: str) -> None:
    """Clear away what Redis has of a key whose row is gone."""
    token = io.token()
    await io(Close(key, token))
    if not await io(Versions([key])):
        await io(Purge(key, token))
