"""What the state store asks Redis and PostgreSQL for: one class for each script and statement.

The operations are written against `Io` and nothing else, so that tests can let each request be
lost, delayed, answered twice or met by a restart. Structs of msgspec, since a recovery makes six of
them for each row: a frozen dataclass takes eight times as long to make.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import ClassVar, Generic, Protocol, TypeVar

import msgspec

from holdfast.errors import HoldfastError

A = TypeVar("A")


class Request(msgspec.Struct, Generic[A], frozen=True):
    """One call to a server; `A` is its answer."""

    # Whether it may have changed something when its answer is lost.
    changes: ClassVar[bool] = True


class Asks(Protocol):
    """Makes one request.

    Raises:
        StoreUnavailableError: the request was not carried out, or it only reads.
        OutcomeUnknownError: its answer was lost; it may take effect at any later time.
    """

    async def __call__(self, request: Request[A]) -> A:
        """Carry out one request."""
        ...


class Io(Asks, Protocol):
    """Makes requests of both servers."""

    async def all(self, requests: Sequence[Request[A]]) -> "Sequence[A | HoldfastError]":
        """Carry out several, in any order and not at once; an error stands for its answer."""
        ...

    def token(self) -> str:
        """Give a name for one operation that no other has had."""
        ...


class Text(msgspec.Struct, frozen=True):
    """A state as it is stored: its JSON, and the JSON of other columns of its row (or nothing)."""

    state: bytes
    columns: bytes = b""


class Held(msgspec.Struct, frozen=True):
    """What Redis has under a key.

    Attributes:
        persisted: the version that the row is known to have.
        closed: somebody is about to delete the row, or has.
    """

    version: int
    text: Text
    persisted: int | None = None
    closed: bool = False


class Absent(Enum):
    """Why Redis has nothing to go on from."""

    MISSING = "there is no such key"
    STALE = "it is of before a restart, or its row is about to be deleted"


class Other(msgspec.Struct, frozen=True):
    """Redis has another version than the expected one."""

    version: int


class Refusal(Enum):
    """Why a state was not saved."""

    GONE = "Redis has nothing to go on from"
    CLOSED = "the row is about to be deleted"
    FULL = "too many states wait to be written"


class Mark(Enum):
    """What is to be done about a key after a look at it."""

    CLEAN = "nothing: the row has it"
    DIRTY = "it is to be written"
    CLOSED = "somebody deletes it"
    MISSING = "nothing: it is not there"
    STALE = "it is to be taken up from the row"


# --- Redis: a Lua script each, which says what it does.


class Get(Request[Held | Absent], frozen=True):
    """get.lua; `persisted` is not told."""

    changes: ClassVar[bool] = False
    key: str


class Save(Request[Refusal | Other | None], frozen=True):
    """save.lua; None where it is saved."""

    key: str
    expect: int
    version: int
    text: Text
    token: str


class Claimed(msgspec.Struct, frozen=True):
    """The claim stands; `held` is what Redis has and does not vouch for."""

    held: Held | None


class Claim(Request[Held | Claimed], frozen=True):
    """claim.lua; `Held` where there is something to go on from, and no claim is needed."""

    key: str
    token: str


class Fill(Request[bool], frozen=True):
    """fill.lua; False where the claim is lost.

    Attributes:
        persisted: the version that the row has; another one where it does not take this state.
    """

    key: str
    token: str
    version: int
    text: Text
    keep_tokens: bool
    persisted: int


class Read(Request[Held | Absent], frozen=True):
    """read.lua."""

    changes: ClassVar[bool] = False
    key: str


class Acknowledge(Request[Mark], frozen=True):
    """ack.lua; without a version it only looks."""

    key: str
    version: int | None = None


class Close(Request[int | Other | None], frozen=True):
    """close.lua; the version that is closed, None where Redis has none to go on from."""

    key: str
    token: str
    expect: int | None = None


class Purge(Request[bool], frozen=True):
    """purge.lua."""

    key: str
    token: str


class Taken(msgspec.Struct, frozen=True):
    """A key that has to be written; `again` where somebody took it a lease ago, and left it."""

    key: str
    again: bool


class Take(Request[Sequence[Taken]], frozen=True):
    """take.lua; keys that have to be written, from one set of marks."""

    marks: str
    most: int
    token: str


class Refuse(Request[bool], frozen=True):
    """refuse.lua."""

    key: str
    version: int
    reason: str


class Marks(Request[Sequence[str]], frozen=True):
    """Which sets of marks there are: one, in a cluster one for each slot.

    Attributes:
        everywhere: also those that other processes have made, for which all keys are looked at.
    """

    changes: ClassVar[bool] = False
    everywhere: bool = False


# --- PostgreSQL: one statement each.


class Row(msgspec.Struct, frozen=True):
    """What the table has for a key."""

    version: int
    state: bytes


class Select(Request[Row | None], frozen=True):
    """The row of a key."""

    changes: ClassVar[bool] = False
    key: str


class Versions(Request[Mapping[str, int]], frozen=True):
    """The versions of those rows that there are."""

    changes: ClassVar[bool] = False
    keys: Sequence[str]


class Count(Request[int], frozen=True):
    """How many rows there are."""

    changes: ClassVar[bool] = False


class Page(Request[Sequence[tuple[str, Row]]], frozen=True):
    """Rows in the order of their keys, behind one."""

    changes: ClassVar[bool] = False
    behind: str | None
    most: int


class Adoption(msgspec.Struct, frozen=True):
    """A row that is given a new epoch, and the state that Redis was ahead with, if it was."""

    key: str
    version: int
    text: Text | None = None


class Adopt(Request[Mapping[str, int]], frozen=True):
    """Give rows a new epoch whose version is still the one that was read; the new versions.

    Attributes:
        wait: for rows that others have locked, which are left alone otherwise.
    """

    rows: Sequence[Adoption]
    wait: bool = True


class Write(msgspec.Struct, frozen=True):
    """A state that is to be written to its row."""

    key: str
    version: int
    text: Text


class Flush(Request[frozenset[str]], frozen=True):
    """Write states to rows whose version is lower; the keys that were written.

    Attributes:
        wait: for rows that others have locked, which are left alone otherwise.

    Raises:
        RefusedError: PostgreSQL does not take one of them; none is written.
    """

    writes: Sequence[Write]
    wait: bool = True


class Delete(Request[bool], frozen=True):
    """Delete a row of that epoch; whether there was one."""

    key: str
    epoch: int


class Pause(Request[None], frozen=True):
    """Wait a little before another attempt, longer with each."""

    changes: ClassVar[bool] = False
    attempt: int


class RefusedError(HoldfastError, ValueError):
    """PostgreSQL does not take a state."""
