"""What every process of a round writes down, in a file that outlives each of them."""

import itertools
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import msgspec

Moves = tuple[int, ...]  # of a game: each a number that no other move has

NEVER: Final = 2**63
DONE: Final = "done"
REFUSED: Final = "refused"  # nothing was changed, as the caller was told
UNKNOWN: Final = "unknown"  # the caller was told so, or died before it was told anything
WRONG: Final = "wrong"  # an error that nobody has announced
OUTCOMES = (DONE, REFUSED, UNKNOWN, WRONG)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Something that somebody did with a game, and what became of it; times in nanoseconds.

    Attributes:
        who: the process.
        number: of the call; with a process' own part, so that no other call has it.
        what: create, load, save, persist or finish; row, where a row was looked at from outside,
            drained, when nothing waited to be written any more.
        key: of the game.
        began: when it was tried.
        ended: when it was over; NEVER where the process died before.
        outcome: one of OUTCOMES.
        move: that it was to add.
        bases: what the move was to be added to, at each attempt.
        moves: that were seen, saved, persisted or finished; None where there is no such game.
        version: of these, where the store has versions.
        said: the error.
    """

    who: str
    number: int
    what: str
    key: int
    began: int
    ended: int = NEVER
    outcome: str = UNKNOWN
    move: int | None = None
    bases: tuple[Moves, ...] = ()
    moves: Moves | None = None
    version: int | None = None
    said: str = ""

    @property
    def done(self) -> bool:
        """Whether it was acknowledged."""
        return self.outcome == DONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that was done to a process or a server.

    Attributes:
        loses: what Redis acknowledged before the end of it may be gone.
    """

    name: str
    began: int
    ended: int
    loses: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A round as it was written down, and what the tables have at its end.

    Attributes:
        calls: in the order in which they began.
        rows: the games.
        history: games that were finished, each with its moves.
    """

    calls: Sequence[Call] = ()
    faults: Sequence[Fault] = ()
    rows: Mapping[int, Moves] = field(default_factory=dict)
    history: Sequence[tuple[int, Moves]] = ()


class Log:
    """Writes lines of one process; each is in the file when the call returns.

    Args:
        path: of the file, which all processes have.
        who: the process.
        first: number of its calls.
    """

    def __init__(self, path: Path, who: str, first: int = 0) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._who = who
        self._numbers = itertools.count(first)

    def number(self) -> int:
        """Give the number of another call, which names its move as well."""
        return next(self._numbers)

    def tried(
        self, number: int, what: str, key: int, *, move: int | None = None, base: Moves = ()
    ) -> None:
        """Say what is about to be done; again with each attempt of one call."""
        self._write(n=number, what=what, key=key, move=move, base=base)

    def ended(
        self,
        number: int,
        outcome: str,
        *,
        moves: Moves | None = None,
        version: int | None = None,
        said: str = "",
    ) -> None:
        """Say what became of it."""
        self._write(n=number, outcome=outcome, moves=moves, version=version, said=said)

    def looked(self, what: str, key: int, began: int, moves: Moves | None) -> None:
        """Say what a row had, between then and now."""
        number = self.number()
        self._write(n=number, what=what, key=key, at=began)
        self.ended(number, DONE, moves=moves)

    def fault(self, name: str, began: int, *, loses: bool) -> None:
        """Say what was done to the servers, or to a process."""
        self._write(fault=name, began=began, loses=loses)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _write(self, *, at: int | None = None, **line: Any) -> None:
        line |= {"at": at or time.monotonic_ns(), "who": self._who}
        # The end of a line that was cut off by a kill belongs to no other.
        os.write(self._file, b"\n" + msgspec.json.encode(line))


def read(path: Path) -> tuple[Sequence[Call], Sequence[Fault]]:
    """Read what was written down; half a line of a killed process is passed over."""
    lines = [*_lines(path.read_bytes().splitlines())]
    faults = [
        Fault(name=each["fault"], began=each["began"], ended=each["at"], loses=each["loses"])
        for each in lines
        if "fault" in each
    ]
    calls: dict[int, Call] = {}
    for line in lines:
        if "what" in line:
            calls[line["n"]] = _tried(calls.get(line["n"]), line)
        elif "outcome" in line and line["n"] in calls:
            calls[line["n"]] = _ended(calls[line["n"]], line)
    return sorted(calls.values(), key=lambda each: each.began), faults


def _lines(texts: Iterable[bytes]) -> Iterable[dict[str, Any]]:
    for text in texts:
        try:
            yield msgspec.json.decode(text)
        except msgspec.DecodeError:
            continue


def _tried(before: Call | None, line: Mapping[str, Any]) -> Call:
    base = tuple(line.get("base") or ())
    if before:
        return replace(before, bases=(*before.bases, base))
    return Call(
        who=line["who"],
        number=line["n"],
        what=line["what"],
        key=line["key"],
        began=line["at"],
        move=line.get("move"),
        bases=(base,),
    )


def _ended(call: Call, line: Mapping[str, Any]) -> Call:
    moves = line["moves"]
    return replace(
        call,
        ended=line["at"],
        outcome=line["outcome"],
        moves=None if moves is None else tuple(moves),
        version=line["version"],
        said=line["said"],
    )
