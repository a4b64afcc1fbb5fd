"""Watch what workers tell of their games: whatever was acknowledged stays, whoever is killed."""

import uuid
from collections.abc import Iterator, Mapping

from mantimon.simulation.checking import Stored
from mantimon.simulation.messages import Seen, Step
from mantimon.simulation.plan import make_game_id


class Watch:
    """What was told so far, game by game; a game is played by one worker at a time.

    Attributes:
        saves: how many actions were saved.
        sizes: of the states that were persisted, in bytes.
        lost: where a game, or its row, was without a turn that was acknowledged as persisted.
        problems: where a game went back otherwise.
    """

    def __init__(self) -> None:
        self.saves = 0
        self.sizes: list[int] = []
        self.lost: list[str] = []
        self.problems: list[str] = []
        self._last: dict[int, Seen] = {}
        self._kept: dict[int, Seen] = {}

    def see(self, seen: Seen) -> None:
        """Compare a step with those before it in the same game."""
        last, kept = self._last.get(seen.number), self._kept.get(seen.number)
        if kept and seen.entries < kept.entries:
            self.lost.append(
                f"game {seen.number}: turn {kept.turn} was persisted, and {seen.step} was one "
                f"before it, in turn {seen.turn}"
            )
        elif last:
            self.problems += _compare(last, seen)
        self._last[seen.number] = seen
        self.saves += seen.step is Step.SAVED
        if seen.step is Step.PERSISTED:
            self._kept[seen.number] = seen
            self.sizes.append(seen.size)

    @property
    def kept(self) -> dict[int, int]:
        """The turn of each game that is acknowledged as being persisted, by its number."""
        return {number: seen.turn for number, seen in self._kept.items()}


def find_lost(run: uuid.UUID, kept: Mapping[int, int], stored: Stored) -> Iterator[str]:
    """Name every turn that was acknowledged before the database was read, and is not there."""
    ended = {game_id: facts.turn_count for game_id, facts in stored.played}
    for number, turn in kept.items():
        game_id = make_game_id(run, number)
        found = ended.get(game_id, stored.active.get(game_id, -1))
        if found < turn:
            has = "nothing" if found < 0 else f"turn {found}"
            yield f"game {number}: turn {turn} was persisted, and the database has {has}"


def _compare(last: Seen, seen: Seen) -> Iterator[str]:
    if seen.entries < last.entries:
        yield (
            f"game {seen.number}: an action of turn {last.turn} was saved, and is not in what was "
            f"{seen.step} then; was Redis restarted?"
        )
    again = seen.step is Step.SAVED and seen.version == last.version
    if seen.version < last.version or again:
        yield f"game {seen.number}: version {seen.version} was {seen.step} after {last.version}"
