"""What is wrong with the files of cards, as values and as one error that names all of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holdfast.errors import ConfigurationError, HoldfastError
from mantimon.cards.names import printable

SHOWN_PROBLEMS: Final = 50  # the first ones often explain the rest, and must stay in sight


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong; `card` and `field` are empty where it concerns a whole file."""

    file: str
    card: str = ""
    field: str = ""
    what: str

    def __str__(self) -> str:
        """Give `file: card: field: what` in one line, without the parts that do not apply."""
        parts = (self.file, self.card, self.field, self.what)
        return printable(": ".join(part for part in parts if part))


class CardBundleError(ConfigurationError):
    """A card bundle cannot be served; `problems` has all of them, the message the first 50."""

    def __init__(self, directory: Path, problems: Iterable[Problem]) -> None:
        self.directory = directory
        self.problems = tuple(problems)
        super().__init__(directory, self.problems)

    def __str__(self) -> str:
        """Name the directory, and each problem on a line of its own."""
        return _listed(f"The card bundle in {self.directory} was not loaded", self.problems)


class ForeignListError(HoldfastError):
    """A foreign list cannot be imported; `problems` has all of them, the message the first 50."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        """Say that nothing was imported, and give each problem a line, if there are several."""
        if len(self.problems) == 1:
            return f"Nothing was imported: {self.problems[0]}"
        return _listed("Nothing was imported", self.problems)


class BundlePlaceError(ConfigurationError):
    """A card bundle was to be written where something else is; nothing was."""


def _listed(what: str, problems: Sequence[Problem]) -> str:
    found = len(problems)
    lines = [f"{what}, for {'1 problem' if found == 1 else f'{found} problems'}:"]
    lines += [f"  {problem}" for problem in problems[:SHOWN_PROBLEMS]]
    if found > SHOWN_PROBLEMS:
        lines.append(f"  … and {found - SHOWN_PROBLEMS} more")
    return "\n".join(lines)
