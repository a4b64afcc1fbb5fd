"""What each statement of the store does to PostgreSQL, in Python: one call is one step."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from holdfast.state import versions
from holdfast.state.requests import (
    Adopt,
    Count,
    Delete,
    Flush,
    Page,
    RefusedError,
    Request,
    Row,
    Select,
    Text,
    Versions,
)

POISON = b"!"  # in a state that PostgreSQL does not take


class Insert(Request[bool], frozen=True):
    """The application makes a row; whether there was none."""

    key: str
    state: bytes


class Within(Request[Any], frozen=True):
    """A statement of a caller's transaction."""

    transaction: str
    asked: Delete | Versions


class Commit(Request[bool], frozen=True):
    """The end of a caller's transaction, which notes the state that it deleted.

    Told apart by `note`: whether anything is noted.
    """

    transaction: str
    key: str
    state: bytes
    note: bool


class Rollback(Request[None], frozen=True):
    """The other end of one."""

    transaction: str


class Noted(Request[bool], frozen=True):
    """Whether the history has what a transaction noted."""

    changes: ClassVar[bool] = False
    transaction: str


class PostgresTwin:
    """One table of states, the sequence of epochs and the application's history.

    Attributes:
        rows: the version and the text of each key.
        drawn: epochs that were given out.
        locks: keys whose row a caller's transaction has deleted and not committed.
        history: transaction, key and state of each that has committed.
    """

    def __init__(self) -> None:
        self.rows: dict[str, tuple[int, Text]] = {}
        self.drawn = 0
        self.locks: dict[str, str] = {}
        self.history: list[tuple[str, str, bytes]] = []

    def answer(self, request: Request[Any]) -> Any:
        """Carry out one request."""
        return getattr(self, self.statements[type(request)].__name__)(request)

    def is_blocked(self, request: Request[Any], transaction: str = "") -> bool:
        """Tell whether a request waits for the end of somebody's transaction."""
        match request:
            case Within(own, Delete() as asked):
                return self.is_blocked(asked, own)
            case Adopt(rows):
                keys = [each.key for each in rows]
            case Flush(writes):
                keys = [each.key for each in writes]
            case Delete(key):
                keys = [key]
            case _:
                return False
        return any(self.locks.get(key, transaction) != transaction for key in keys)

    def next_version(self, key: str) -> int:
        """Begin a new epoch."""
        self.drawn += 1
        return self.drawn << versions.COUNT_BITS

    # One for each statement.

    def select(self, asked: Select) -> Row | None:
        """Give the row of a key."""
        if asked.key not in self.rows:
            return None
        version, text = self.rows[asked.key]
        return Row(version, text.state)

    def versions(self, asked: Versions) -> Mapping[str, int]:
        """Give the versions of rows."""
        return {key: self.rows[key][0] for key in asked.keys if key in self.rows}

    def count(self, asked: Count) -> int:
        """Count the rows."""
        return len(self.rows)

    def page(self, asked: Page) -> list[tuple[str, Row]]:
        """Give rows in the order of their keys."""
        behind = [key for key in sorted(self.rows) if asked.behind is None or key > asked.behind]
        rows = [(key, *self.rows[key]) for key in behind[: asked.most]]
        return [(key, Row(version, text.state)) for key, version, text in rows]

    def adopt(self, asked: Adopt) -> Mapping[str, int]:
        """See adopt.sql."""
        given = {}
        met = [each for each in asked.rows if self.is_at(each.key, each.version)]
        self.check_taken([each.text.state for each in met if each.text])
        for each in met:
            given[each.key] = self.next_version(each.key)
            text = _written(each.text, self.rows[each.key][1])
            self.rows[each.key] = (given[each.key], text)
        return given

    def is_at(self, key: str, version: int) -> bool:
        """Tell whether a row has a version."""
        return key in self.rows and self.rows[key][0] == version

    def flush(self, asked: Flush) -> frozenset[str]:
        """See flush.sql."""
        met = [each for each in asked.writes if self.is_below(each.key, each.version)]
        self.check_taken([each.text.state for each in met])
        for each in met:
            old = self.rows[each.key][1] if each.key in self.rows else None
            self.rows[each.key] = (each.version, _written(each.text, old))
        return frozenset(each.key for each in met)

    def is_below(self, key: str, version: int) -> bool:
        """Tell whether a row is to be written."""
        return key in self.rows and self.rows[key][0] < version

    def check_taken(self, states: list[bytes]) -> None:
        """Refuse all where one is no state that the columns take."""
        for state in states:
            if not self.takes(state):
                raise RefusedError(f"{state.decode()} is refused")

    def takes(self, state: bytes) -> bool:
        """Tell whether a state is one for the column."""
        return not state.endswith(POISON)

    def delete(self, asked: Delete) -> bool:
        """Delete the row of an epoch."""
        met = self.is_of(asked.key, asked.epoch)
        if met:
            del self.rows[asked.key]
        return met

    def is_of(self, key: str, epoch: int) -> bool:
        """Tell whether a row has an epoch."""
        return key in self.rows and versions.epoch(self.rows[key][0]) == epoch

    def insert(self, asked: Insert) -> bool:
        """Make a row, where there is none."""
        if asked.key in self.rows:
            return False
        self.rows[asked.key] = (self.next_version(asked.key), Text(asked.state, asked.state))
        return True

    # A caller's transaction. Others see what it does at its end.

    def within(self, asked: Within) -> Any:
        """Carry out a request of one."""
        match asked.asked:
            case Delete(key, epoch):
                met = self.is_of(key, epoch)
                if met:
                    self.locks[key] = asked.transaction
                return met
            case Versions() as request:
                found = self.versions(request)
                own = {key for key in found if self.locks.get(key) == asked.transaction}
                return {key: found[key] for key in found if key not in own}

    def commit(self, asked: Commit) -> bool:
        """End it; whether it deleted a row."""
        met = self.locks.get(asked.key) == asked.transaction
        if met:
            del self.rows[asked.key], self.locks[asked.key]
        if asked.note:
            self.history.append((asked.transaction, asked.key, asked.state))
        return met

    def rollback(self, asked: Rollback) -> None:
        """Undo it."""
        mine = [key for key, owner in self.locks.items() if owner == asked.transaction]
        for key in mine:
            del self.locks[key]

    def noted(self, asked: Noted) -> bool:
        """Look into the history."""
        return any(transaction == asked.transaction for transaction, _, _ in self.history)

    statements: ClassVar[Mapping[type, Callable[..., Any]]] = {
        Select: select,
        Versions: versions,
        Count: count,
        Page: page,
        Adopt: adopt,
        Flush: flush,
        Delete: delete,
        Insert: insert,
        Within: within,
        Commit: commit,
        Rollback: rollback,
        Noted: noted,
    }


def _written(given: Text | None, old: Text | None) -> Text:
    """Give what a row has then; columns that are not given stay."""
    if given is None:
        assert old is not None
        return old
    return Text(given.state, given.columns or (old.columns if old else b""))
