"""Watch what workers tell of their games: whatever was acknowledged stays, whoever is killed."""

import uuid
from collections.abc import Iterator

from mantimon.simulation.checking import Stored
from mantimon.simulation.messages import Seen, Step
from mantimon.simulation.plan import make_game_id


class Watch:
    """What was told so far, game by game; a game is played by one worker at a time.

    Attributes:
        saves: how many actions were saved.
        sizes: of the states that were persisted, in bytes.
        lost: where a game was without a turn whose persisting was acknowledged.
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

    def find_lost(self, run: uuid.UUID, stored: Stored) -> list[str]:
        """Name every turn that was acknowledged and that the database has not."""
        ended = {game_id: facts.turn_count for game_id, facts in stored.played}
        found = []
        for number, kept in self._kept.items():
            game_id = make_game_id(run, number)
            turn = ended.get(game_id, stored.active.get(game_id, -1))
            if turn < kept.turn:
                has = "nothing" if turn < 0 else f"turn {turn}"
                found.append(
                    f"game {number}: turn {kept.turn} was persisted, and the database has {has}"
                )
        return self.lost + found


def _compare(last: Seen, seen: Seen) -> Iterator[str]:
    if seen.entries < last.entries:
        yield (
            f"game {seen.number}: an action of turn {last.turn} was saved, and is not in what was "
            f"{seen.step} then; was Redis restarted?"
        )
    again = seen.step is Step.SAVED and seen.version == last.version
    if seen.version < last.version or again:
        yield f"game {seen.number}: version {seen.version} was {seen.step} after {last.version}"
