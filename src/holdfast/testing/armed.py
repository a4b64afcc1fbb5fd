"""The faults that wait for their statement."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

TRANSACTION = re.compile(
    r"(BEGIN|START|COMMIT|END|ROLLBACK|ABORT|SAVEPOINT|RELEASE)\b", re.IGNORECASE
)
COMMIT = re.compile(r"(COMMIT|END)\b(?!\s+PREPARED)", re.IGNORECASE)
_BEFORE = re.compile(r"(?:\s+|--[^\n]*\n?|/\*.*?\*/)*", re.DOTALL)  # space and comments


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """End the connection at a statement.

    Attributes:
        reached: whether the server does the statement before that.
    """

    reached: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Answer a statement, or a client that logs in, with an error; the server never sees it."""

    code: str
    text: str


@dataclass(slots=True, kw_only=True, eq=False)
class Fault:
    """What happens to one statement.

    Attributes:
        call: what it was armed by, for messages.
        what: happens.
        at: words that the statement begins with; None for any but those of transactions.
        after: how many such statements pass before it.
    """

    call: str
    what: Cut | Failure
    at: re.Pattern[str] | None
    after: int

    def meets(self, sql: str) -> bool:
        """Tell whether a statement is one of those that it counts."""
        if self.at is None:
            return is_counted(sql)
        return self.at.match(sql) is not None


class Armed:
    """All of them, in the order in which they were armed."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Let one wait."""
        self._waiting.append(fault)

    def take(self, sql: str) -> Fault | None:
        """Give the fault whose turn it is at a statement; it waits no more."""
        taken: Fault | None = None
        for fault in [each for each in self._waiting if each.meets(sql)]:
            if fault.after:
                fault.after -= 1
            elif taken is None:
                taken = fault
                self._waiting.remove(fault)
        return taken

    @property
    def calls(self) -> Sequence[str]:
        """What those that still wait were armed by."""
        return [fault.call for fault in self._waiting]


def is_counted(sql: str) -> bool:
    """Tell whether a statement is neither empty nor one that begins or ends a transaction."""
    return bool(sql.strip("; \n")) and not TRANSACTION.match(sql)


def strip(sql: str) -> str:
    """Give a statement without what stands before its first word."""
    return sql[_BEFORE.match(sql).end() :]  # type: ignore[union-attr]  # it matches nothing, too


def begins_with(words: str) -> re.Pattern[str]:
    """Make the pattern of statements that begin with words, whatever space is between them."""
    spaced = r"\s+".join(map(re.escape, words.split()))
    end = r"(?!\w)" if words[-1:].isalnum() else ""
    return re.compile(spaced + end, re.IGNORECASE)
