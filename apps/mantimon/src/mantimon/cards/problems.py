"""What is wrong with a card bundle, as values and as one error that names all of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holdfast.errors import ConfigurationError

SHOWN_PROBLEMS: Final = 50  # the first ones often explain the rest, and must stay in sight


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong; `card` and `field` are empty where it concerns a whole file."""

    file: str
    card: str = ""
    field: str = ""
    what: str

    def __str__(self) -> str:
        """Give `file: card: field: what`, without the parts that do not apply."""
        parts = (self.file, self.card, self.field, self.what)
        return ": ".join(part for part in parts if part)


class CardBundleError(ConfigurationError):
    """A card bundle cannot be served; `problems` has all of them, the message the first 50."""

    def __init__(self, directory: Path, problems: Iterable[Problem]) -> None:
        self.directory = directory
        self.problems = tuple(problems)
        super().__init__(directory, self.problems)

    def __str__(self) -> str:
        """Name the directory, and each problem on a line of its own."""
        found = len(self.problems)
        count = "1 problem" if found == 1 else f"{found} problems"
        lines = [f"The card bundle in {self.directory} was not loaded, for {count}:"]
        lines += [f"  {problem}" for problem in self.problems[:SHOWN_PROBLEMS]]
        if found > SHOWN_PROBLEMS:
            lines.append(f"  … and {found - SHOWN_PROBLEMS} more")
        return "\n".join(lines)
