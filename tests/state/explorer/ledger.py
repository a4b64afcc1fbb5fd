"""What must hold of the state store, checked at each step against all that ever happened.

A state is the tuple of the operations that made it, written `r/a1/b3/`, so that one continues
another exactly where its text begins with the other's.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.state.explorer.postgres_twin import POISON, Commit, Insert, PostgresTwin
from tests.state.explorer.redis_twin import RedisTwin

from holdfast.state.requests import Request, Save, Text
from holdfast.state.versions import continues, epoch

# The rules of the design by their names.
VERSION = "version"
DURABLE = "durable means durable"
BACK = "no going back"
MIXED = "no mixed histories"
FORGOT = "Redis that forgot"
RISEN = "no resurrection"
WINDOW = "a stated loss window"
HONEST = "honest time-outs"
ONCE = "finished exactly once"
FENCE = "never fenced over what is readable"
WEDGED = "never stuck"
COLUMNS = "columns show the state"


class ViolationError(AssertionError):
    """A rule does not hold."""

    def __init__(self, rule: str, what: str) -> None:
        super().__init__(f"{rule}: {what}")
        self.rule = rule


@dataclass(slots=True)
class Operation:
    """What a worker does at one time.

    Attributes:
        name: of this operation and no other; it is what it adds to a state.
        key: of the state, if it is about one.
        began: at which step its first request was answered.
        expect: the version that it deletes, if it names one.
    """

    name: str
    key: str = ""
    began: int | None = None
    expect: int | None = None


@dataclass(slots=True)
class Past:
    """What a key was, and since when.

    Attributes:
        truths: what a load would have given: Redis' state where it continues the row's, or that.
        rows: what the row had.
        row: what it has.
        value: what Redis has.
        owed: the state that was in Redis and not lost with it since, at least.
        durable: the state that was said to be in the row.
        newest: version that was readable.
        highest: version that the row had, in any of its lives.
    """

    truths: list[tuple[int, bytes | None]] = field(default_factory=list)
    rows: list[tuple[int, bytes | None]] = field(default_factory=list)
    row: tuple[int, Text] | None = None
    value: Mapping[str, Any] = field(default_factory=dict)
    owed: bytes = b""
    durable: bytes = b""
    newest: int = 0
    highest: int = 0


class Ledger:
    """Sees every step of both servers."""

    def __init__(self, redis: RedisTwin, postgres: PostgresTwin) -> None:
        self.redis = redis
        self.postgres = postgres
        self.step = 0
        self.names: dict[tuple[str, int], bytes] = {}
        self.past: dict[str, Past] = {}
        self.effects: Counter[str] = Counter()
        self.over: set[str] = set()
        for key in {*redis.values, *postgres.rows}:
            self.past[key] = past = Past(row=postgres.rows.get(key))
            past.highest = past.row[0] if past.row else 0
            self.look(Operation("before"), None, key, lossy=True)

    # At each step

    def see(self, operation: Operation, request: Request[Any], answer: Any) -> None:
        """Look at what a request did."""
        self.step += 1
        if isinstance(request, Commit) and request.note and not answer:
            raise ViolationError(ONCE, f"{operation.name} notes what it has not deleted")
        for key in keys_of(request):
            self.look(operation, request, key)
        if isinstance(request, Save) and answer is None:
            self.check_answered(operation, request)

    def see_fault(self) -> None:
        """Look at what a fault of Redis did."""
        self.step += 1
        for key in self.past:
            self.look(Operation("fault"), None, key, lossy=True)

    def look(
        self, operation: Operation, request: Request[Any] | None, key: str, *, lossy: bool = False
    ) -> None:
        """Check everything about one key."""
        past = self.past.setdefault(key, Past())
        value, row = self.redis.values.get(key, {}), self.postgres.rows.get(key)
        if isinstance(request, Save) and value.get("v") != past.value.get("v"):
            self.check_saved(operation, request, past)
        if row != past.row:
            self.check_row(operation, request, key, row)
        if "v" in value:
            self.name(key, value["v"], value["s"])
            if (value["v"] != value["p"] or "x" in value) and key not in self.redis.marks:
                raise ViolationError(WINDOW, f"{key} is to be written, and has no mark")
        if self.redis.is_readable(key):
            self.check_readable(key, past, lossy=lossy)
        past.row, past.value = row, value
        self.check_truth(key, past, lossy=lossy)

    def name(self, key: str, version: int, state: bytes) -> None:
        """One version is one state for ever."""
        if self.names.setdefault((key, version), state) != state:
            known = self.names[key, version].decode()
            raise ViolationError(MIXED, f"{key} {version} is {known} and {state.decode()}")

    def check_saved(self, operation: Operation, request: Save, past: Past) -> None:
        """A save has one effect, on the state that it saw."""
        self.count(operation)
        added = request.text.state.removeprefix(past.value["s"])
        if added not in {f"{operation.name}{end}".encode() for end in "/!"}:
            was = past.value["s"].decode()
            raise ViolationError(MIXED, f"{request.text.state.decode()} is saved over {was}")

    def check_answered(self, operation: Operation, request: Save) -> None:
        """What Redis says that it has, it has."""
        state: bytes = self.redis.values[request.key]["s"]
        if not state.startswith(request.text.state):
            raise ViolationError(HONEST, f"{operation.name} was lost, and is said to be done")

    def count(self, operation: Operation) -> None:
        """Note that an operation has an effect."""
        self.effects[operation.name] += 1
        if operation.name in self.over:
            raise ViolationError(HONEST, f"{operation.name} comes after it was said to be not done")
        if self.effects[operation.name] > 1:
            raise ViolationError(HONEST, f"{operation.name} is done twice")

    def check_row(
        self,
        operation: Operation,
        request: Request[Any] | None,
        key: str,
        row: tuple[int, Text] | None,
    ) -> None:
        """A row goes on from what it has; only the application makes one."""
        past = self.past[key]
        if row is None:
            self.count(operation)
            self.check_deleted(operation, key, past)
        elif past.row is None:
            if not isinstance(request, Insert):
                raise ViolationError(RISEN, f"{operation.name} makes a row of {key}")
            if row[0] <= past.highest:
                raise ViolationError(VERSION, f"{key} begins again at {row[0]}")
            past.truths.append((self.step, None))
            past.durable = past.owed = b""
        elif row[0] <= past.row[0]:
            raise ViolationError(BACK, f"the row of {key} goes from {past.row[0]} to {row[0]}")
        elif not row[1].state.startswith(past.row[1].state):
            raise ViolationError(MIXED, f"the row of {key} goes to {row[1].state.decode()}")
        past.rows.append((self.step, row[1].state if row else None))
        if row:
            past.highest = max(past.highest, row[0])
            self.name(key, row[0], row[1].state)
            if row[1].columns != row[1].state:
                raise ViolationError(COLUMNS, f"{row[1].columns!r} beside {row[1].state!r}")

    def check_deleted(self, operation: Operation, key: str, past: Past) -> None:
        """A deletion that names a version deletes nothing newer."""
        truth = past.truths[-1][1]
        if operation.expect is not None and truth is not None:
            expected = self.names[key, operation.expect]
            if not expected.startswith(truth):
                raise ViolationError(
                    VERSION,
                    f"{operation.name} saw {expected.decode()} and deletes {truth.decode()}",
                )
        past.durable = b""

    def check_readable(self, key: str, past: Past, *, lossy: bool) -> None:
        """What can be played on from is newer than all that was, and goes on from the row."""
        value, row = self.redis.values[key], self.postgres.rows.get(key)
        if value["v"] < past.newest:
            rule = FORGOT if lossy else BACK
            raise ViolationError(rule, f"{key} was at {past.newest} and is at {value['v']}")
        past.newest = value["v"]
        if row is None:
            raise ViolationError(RISEN, f"{key} is readable and has no row")
        if epoch(row[0]) != epoch(value["v"]):
            raise ViolationError(FENCE, f"{key}: {value['v']} is readable, the row has {row[0]}")
        if row[0] > value["v"] or not value["s"].startswith(row[1].state):
            raise ViolationError(BACK, f"{key}: {value['v']} is readable, the row has {row[0]}")

    def check_truth(self, key: str, past: Past, *, lossy: bool) -> None:
        """What was saved is lost with Redis only, and what was persisted is not."""
        truth = self.find_truth(key)
        if lossy and not (truth or b"").startswith(past.owed):
            kept = truth or b""
            past.owed = kept if past.owed.startswith(kept) else self.postgres.rows[key][1].state
        # One that the row does not take may be lost with the process that takes it up.
        refused = past.owed.endswith(POISON)
        if truth and not refused and not truth.startswith(past.owed):
            raise ViolationError(WINDOW, f"{key} had {past.owed.decode()}, has {truth.decode()}")
        if truth is None or self.redis.is_readable(key) or refused or not past.owed:
            past.owed = truth or b""
        if not past.truths or truth != past.truths[-1][1]:
            past.truths.append((self.step, truth))
        if not past.rows:
            past.rows.append((self.step, past.row[1].state if past.row else None))
        if past.row and not past.row[1].state.startswith(past.durable):
            raise ViolationError(DURABLE, f"{key} had {past.durable.decode()}")

    def find_truth(self, key: str) -> bytes | None:
        """Give what a load has to give."""
        row, value = self.postgres.rows.get(key), self.redis.values.get(key, {})
        if row is None:
            return None
        ahead = "v" in value and continues(value["v"], row[0])
        state: bytes = value["s"] if ahead else row[1].state
        return state

    # At the end of an operation

    def end_saved(self, operation: Operation, version: int, state: bytes) -> None:
        """It was said to be saved."""
        if self.effects[operation.name] != 1:
            raise ViolationError(HONEST, f"{operation.name} was said to be done")
        self.name(operation.key, version, state)

    def end_conflicted(self, operation: Operation) -> None:
        """It was said to have come too late, and may be tried again."""
        if self.effects[operation.name]:
            raise ViolationError(HONEST, f"{operation.name} is done and was said not to be")

    def end_failed(self, operation: Operation) -> None:
        """It was said to be not done."""
        self.end_conflicted(operation)
        self.over.add(operation.name)

    def end_loaded(self, operation: Operation, found: tuple[int, bytes] | None) -> None:
        """It was given a state: what the key was at some moment since it began."""
        if found:
            self.name(operation.key, *found)
        state = found[1] if found else None
        since = set(_since(self.past[operation.key].truths, operation.began))
        if state not in since:
            raise ViolationError(BACK, f"{operation.name} loads {state!r}, the key was at {since}")

    def end_persisted(self, operation: Operation, version: int) -> None:
        """It was said to be in the row: that had it, and has it as long as there is one."""
        past, state = self.past[operation.key], self.names.get((operation.key, version), b"?")
        rows = _since(past.rows, operation.began)
        if not any(row and row.startswith(state) for row in rows):
            raise ViolationError(
                DURABLE, f"{operation.name} persists {state!r}, the row had {rows}"
            )
        if past.row and None not in rows:
            past.durable = max(past.durable, state, key=len)
            self.look(operation, None, operation.key)

    def end_deleted(self, operation: Operation, *, deleted: bool) -> None:
        """It was said that there is no row."""
        if None not in _since(self.past[operation.key].rows, operation.began):
            raise ViolationError(HONEST, f"{operation.name} deletes nothing")
        if not deleted and self.effects[operation.name]:
            raise ViolationError(HONEST, f"{operation.name} deletes, and says that another has")


def keys_of(request: Any) -> Iterable[str]:
    """Give the keys that a request is about."""
    request = getattr(request, "asked", request)
    for name in ("rows", "writes"):
        if hasattr(request, name):
            return [each.key for each in getattr(request, name)]
    return [request.key] if hasattr(request, "key") else []


def _since(log: list[tuple[int, bytes | None]], step: int | None) -> list[bytes | None]:
    """Give what was then, and all that came after."""
    assert step is not None
    before = [state for at, state in log if at <= step][-1:]
    return before + [state for at, state in log if at > step]
