"""Compares what players were told with what they saw later and what the tables have at the end."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from proofs.state_log import REFUSED, WRONG, Call, Fault, Moves, Record

LOST_TURNS: Final = "lost turns"  # persisted, and not there at the end
LOST_SAVES: Final = "lost saves"  # saved, not there at the end, and Redis had lost nothing since
REGRESSIONS: Final = "regressions"  # a read, or a row, older than what was there before
RESURRECTED: Final = "resurrected games"  # there after they were finished
HISTORY: Final = "double or missing history"
MIXED: Final = "mixed histories"  # moves of two branches, or one that had been lost before
REFUSED_AND_THERE: Final = "done though refused"
ERRORS: Final = "other errors"  # that nobody has announced
NAMES: Final = (
    *(LOST_TURNS, LOST_SAVES, REGRESSIONS, RESURRECTED, HISTORY, MIXED, REFUSED_AND_THERE),
    ERRORS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a round showed.

    Attributes:
        found: what is wrong, by its name.
        in_window: moves that were lost as it is stated: with Redis, before they were persisted.
    """

    found: Mapping[str, Sequence[str]]
    in_window: int

    @property
    def violations(self) -> int:
        """All of them."""
        return sum(map(len, self.found.values()))


def judge(record: Record) -> Verdict:
    """Find everything that is wrong."""
    by_key: dict[int, list[Call]] = defaultdict(list)
    found: dict[str, list[str]] = {name: [] for name in NAMES}
    for call in record.calls:
        by_key[call.key].append(call)
        if call.outcome == WRONG:
            found[ERRORS].append(f"{call.who}: {call.what} of {call.key}: {call.said}")
    refused = {call.move for call in record.calls if call.outcome == REFUSED} - {None}
    bases = {call.move: call.bases for call in record.calls if call.move is not None}
    in_window = 0
    for key in sorted({*by_key, *record.rows, *(game for game, _ in record.history)}):
        story = Story(
            key=key,
            calls=with_moves(by_key[key]),
            row=record.rows.get(key),
            history=[moves for game, moves in record.history if game == key],
            faults=[fault for fault in record.faults if fault.loses],
        )
        found[LOST_TURNS] += story.lost_turns()
        lost = list(story.lost_saves())
        found[LOST_SAVES] += [said for said, excused in lost if not excused]
        in_window += sum(excused for _, excused in lost)
        found[REGRESSIONS] += story.regressions()
        found[RESURRECTED] += story.resurrected()
        found[HISTORY] += story.wrong_history()
        found[MIXED] += story.mixed(bases)
        found[REFUSED_AND_THERE] += story.refused_and_there(refused)
    return Verdict(found=found, in_window=in_window)


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What happened to one game.

    Attributes:
        calls: in the order in which they began.
        row: what it is at the end; None where there is none.
        history: what was finished.
        faults: by which Redis may have lost something.
    """

    key: int
    calls: Sequence[Call]
    row: Moves | None
    history: Sequence[Moves]
    faults: Sequence[Fault]

    def done(self, *what: str) -> Iterator[Call]:
        """Give the calls that were acknowledged."""
        return (call for call in self.calls if call.done and call.what in what)

    @property
    def end(self) -> Moves | None:
        """What there is of it at the end, wherever that is."""
        return self.row if self.row is not None else next(iter(self.history), None)

    def lost_turns(self) -> Iterator[str]:
        """Whatever was persisted is there at the end; a game that was begun, as well."""
        end = self.end
        for moves in {*self._moves("create", "persist")}:
            if not extends(end, moves):
                yield f"{self.key}: {tail(moves)} was persisted, at the end there is {tail(end)}"

    def lost_saves(self) -> Iterator[tuple[str, bool]]:
        """Whatever was saved is in the row when nothing waits, or Redis has lost something."""
        ends = [self.end or (), *self._moves("drained")]
        for call in self.done("save"):
            for end in ends:
                if call.move not in end:
                    excused = any(fault.ended > call.began for fault in self.faults)
                    yield f"{self.key}: {call.move} was saved, at the end {tail(end)}", excused
                    break

    def regressions(self) -> Iterator[str]:
        """No read goes behind what was persisted, or read before where Redis lost nothing."""
        yield from self._rows_going_back()
        known = list(self.done("create", "persist", "load", "save"))
        finishes = [call for call in self.calls if call.what == "finish"]
        for read in self.done("load"):
            if read.moves is None and any(call.began < read.ended for call in finishes):
                continue
            for before in known:
                if (
                    before.ended < read.began
                    and before.moves is not None
                    and not extends(read.moves, before.moves)
                    and (before.what in {"create", "persist"} or not self._lost(before, read))
                ):
                    yield (
                        f"{self.key}: {before.who} had {before.what} {tail(before.moves)}, then "
                        f"{read.who} saw {tail(read.moves)}"
                    )
                    break

    def resurrected(self) -> Iterator[str]:
        """Once finished, nobody sees it and nothing is saved; a row and a history exclude it."""
        if self.row is not None and self.history:
            yield f"{self.key}: there is a row, and a history"
            return
        for finish in self.done("finish"):
            for call in self.done("load", "save", "row"):
                if call.began > finish.ended and call.moves is not None:
                    yield f"{self.key}: {call.what} of {call.who} had it after it was finished"
                    return

    def wrong_history(self) -> Iterator[str]:
        """A game is finished once, as the one who finished it had it."""
        finishes = [call for call in self.calls if call.what == "finish"]
        if len(self.history) > 1:
            yield f"{self.key}: it is in the history {len(self.history)} times"
        for finish in finishes:
            if finish.done and finish.moves not in self.history:
                yield f"{self.key}: finished with {tail(finish.moves)}, not in the history"
        told = {base for call in finishes if call.outcome != REFUSED for base in call.bases}
        for moves in self.history:
            if moves not in told:
                yield f"{self.key}: {tail(moves)} is in the history, and nobody finished it so"
        created = any(self.done("create"))
        if created and self.row is None and not self.history:
            yield f"{self.key}: there is neither a row nor a history"

    def mixed(self, bases: Mapping[int, Sequence[Moves]]) -> Iterator[str]:
        """Each move stands behind those that it was made after, and what was lost stays lost."""
        for moves in {*self._seen(), *self.history, *([self.row] if self.row else [])}:
            for place, move in enumerate(moves):
                if moves[:place] not in bases.get(move, ()) or move in moves[:place]:
                    yield f"{self.key}: {move} stands behind {tail(moves[:place])}"
                    break
        yield from self._back_again()

    def refused_and_there(self, refused: set[int | None]) -> Iterator[str]:
        """What was refused is nowhere."""
        seen = {move for moves in (*self._seen(), *self.history) for move in moves}
        for move in sorted((seen | {*(self.row or ())}) & refused):
            yield f"{self.key}: {move} was refused, and is there"

    def _seen(self) -> Iterable[Moves]:
        return {*self._moves("load", "save", "persist", "row")}

    def _moves(self, *what: str) -> Iterator[Moves]:
        return (call.moves for call in self.done(*what) if call.moves is not None)

    def _rows_going_back(self) -> Iterator[str]:
        rows = [call.moves for call in self.done("row")]
        for before, after in pairwise(rows):
            if after is not None and before is not None and not extends(after, before):
                yield f"{self.key}: the row went from {tail(before)} to {tail(after)}"

    def _back_again(self) -> Iterator[str]:
        """A move that somebody did not see any more is never seen again."""
        reads = [(call, call.moves) for call in self.done("load", "save") if call.moves is not None]
        since: dict[int, int] = {}  # a move's first end
        gone: dict[int, int] = {}  # when it had been gone
        for call, moves in sorted(reads, key=lambda each: each[0].ended):
            for move, first in since.items():
                if call.began > first and move not in moves:
                    gone.setdefault(move, call.ended)
            for move in moves:
                since.setdefault(move, call.ended)
        for call in self.done("load", "save", "row"):
            for move in call.moves or ():
                if gone.get(move, call.began) < call.began:
                    yield f"{self.key}: {move} had been lost, and {call.what} of {call.who} has it"
                    return
        if back := [move for move in self.end or () if move in gone]:
            yield f"{self.key}: {back[0]} had been lost, and is there at the end"

    def _lost(self, before: Call, after: Call) -> bool:
        return any(
            fault.ended > before.began and fault.began < after.ended for fault in self.faults
        )


def with_moves(calls: Sequence[Call]) -> Sequence[Call]:
    """Fill in what was persisted where the store told the version only."""
    known = {
        call.version: call.moves
        for call in calls
        if call.version is not None and call.moves is not None
    }
    return [
        call
        if call.moves is not None or call.version is None
        else replace(call, moves=known.get(call.version))
        for call in calls
    ]


def extends(moves: Moves | None, other: Moves) -> bool:
    """Tell whether moves begin with others."""
    return moves is not None and moves[: len(other)] == other


def tail(moves: Moves | None) -> str:
    """Show the end of a game."""
    if moves is None:
        return "nothing"
    return f"{len(moves)} moves to {', '.join(map(str, moves[-3:]))}" if moves else "no move"
