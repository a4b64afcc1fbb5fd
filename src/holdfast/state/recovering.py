"""Take up every row at a start, so that nobody waits for it later."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from holdfast.errors import HoldfastError, OutcomeUnknownError
from holdfast.state.operations import adopt
from holdfast.state.requests import (
    Adopt,
    Adoption,
    Claim,
    Claimed,
    Count,
    Fill,
    Io,
    Page,
    RefusedError,
    Row,
    Text,
)
from holdfast.state.versions import continues, epoch


@dataclass(slots=True, kw_only=True)
class Recovered:
    """How far a recovery has come.

    Attributes:
        total: rows that there were at the beginning.
        rows: that were taken up, or need not be.
        filled: that Redis has now, and had not.
        ahead: of these, where Redis had a newer state, which the row has now as well.
        left: that somebody else took up meanwhile, or that are to be loaded when they are needed.
        unreadable: keys whose rows hold what is no state of the store; they were left alone.
    """

    total: int = 0
    rows: int = 0
    filled: int = 0
    ahead: int = 0
    left: int = 0
    unreadable: list[str] = field(default_factory=list)


Readable = Callable[[str, bytes], bool]
Progress = Callable[[Recovered], object]


class Recovery:
    """Takes up every row, a page at a time.

    It is nothing special: it does what loading each key does, and cannot meet anything that
    loading cannot meet. So any number of tasks may carry it on at once: while one takes up what it
    has read, another reads on.

    Args:
        io: both servers.
        most: rows of a page.
        readable: tells whether what a row holds is a state.
        progress: told after each page.

    Attributes:
        done: how far it has come.
    """

    def __init__(self, io: Io, most: int, readable: Readable, progress: Progress) -> None:
        self.done = Recovered()
        self._io = io
        self._most = most
        self._readable = readable
        self._progress = progress
        self._reading = asyncio.Lock()
        self._behind: str | None = None
        self._over = False

    async def count(self) -> None:
        """Find out how many rows there are."""
        self.done.total = await self._io(Count())

    async def carry_on(self) -> None:
        """Take up what nobody else does, to the end or until one of all has failed.

        Raises:
            StoreUnavailableError: Redis or PostgreSQL is away; begin again.
        """
        try:
            while page := await self._read():
                rows = [(key, row) for key, row in page if self._readable(key, row.state)]
                self.done.unreadable += sorted({key for key, _ in page} - {key for key, _ in rows})
                await _take_up(self._io, rows, self.done)
                self.done.rows += len(page)
                self._progress(self.done)
        finally:
            self._over = True

    async def _read(self) -> Sequence[tuple[str, Row]]:
        """Read the page behind the one that was read last."""
        async with self._reading:
            if self._over:
                return []
            page = await self._io(Page(self._behind, self._most))
            if page:
                self._behind = page[-1][0]
            return page


async def _take_up(io: Io, page: Sequence[tuple[str, Row]], done: Recovered) -> None:
    token = io.token()
    claims = await io.all([Claim(key, token) for key, _ in page])
    adoptions, keep = {}, {}
    for (key, row), claim in zip(page, claims, strict=True):
        if isinstance(claim, HoldfastError):
            raise claim
        if not isinstance(claim, Claimed):
            continue  # Redis vouches for what it has
        held = claim.held
        ahead = held is not None and continues(held.version, row.version)
        adoptions[key] = (Adoption(key, row.version, held.text if held and ahead else None), row)
        keep[key] = held is not None and epoch(held.version) == epoch(row.version)
    if not adoptions:
        return
    try:
        fenced = await io(Adopt([each for each, _ in adoptions.values()], wait=False))
    except OutcomeUnknownError:
        fenced = {}  # each is decided anew when it is loaded
    except RefusedError:
        await _take_up_each(io, list(adoptions), done)
        return
    texts = {key: each.text or Text(row.state) for key, (each, row) in adoptions.items()}
    fills = await io.all(
        [
            Fill(key, token, version, texts[key], keep[key], version)
            for key, version in fenced.items()
        ]
    )
    filled = [key for key, answer in zip(fenced, fills, strict=True) if answer is True]
    done.filled += len(filled)
    done.ahead += sum(adoptions[key][0].text is not None for key in filled)
    done.left += len(adoptions) - len(filled)


async def _take_up_each(io: Io, keys: Sequence[str], done: Recovered) -> None:
    """Take up rows of which one does not take the state that Redis is ahead with."""
    for key in keys:
        try:
            filled = await adopt(io, key, wait=False)
        except RefusedError:  # it takes no update at all
            filled = None
        done.filled += filled is not None
        done.left += filled is None
