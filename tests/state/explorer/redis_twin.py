"""What each script of the store does to Redis, in Python: one call is one step."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from holdfast.state.operations import REMEMBERED
from holdfast.state.requests import (
    Absent,
    Acknowledge,
    Claim,
    Claimed,
    Close,
    Fill,
    Get,
    Held,
    Mark,
    Other,
    Purge,
    Read,
    Refusal,
    Refuse,
    Request,
    Save,
    Take,
    Taken,
    Text,
)

Fields = Mapping[str, Any]
LEASE = 15
DELAY = 60


class RedisTwin:
    """The keys of one store on one server.

    Attributes:
        values: the hash of each key, never changed in place.
        marks: keys that are to be written, with the time of the first mark.
        leases: until when a mark is somebody's, and whose.
        refused: states that were set aside.
        incarnation: which life of the server it is.
        now: its clock, in seconds.
    """

    def __init__(self, most_marks: int = 100) -> None:
        self.values: dict[str, Fields] = {}
        self.marks: dict[str, float] = {}
        self.leases: dict[str, tuple[float, str]] = {}
        self.refused: dict[str, str] = {}
        self.incarnation = "i0"
        self.lives = 0
        self.now: float = 0
        self.most_marks = most_marks

    def answer(self, request: Request[Any]) -> Any:
        """Carry out one request."""
        return getattr(self, self.scripts[type(request)].__name__)(request)

    def dump(self) -> tuple[dict[str, Any], ...]:
        """Give all that it has."""
        return dict(self.values), dict(self.marks), dict(self.leases), dict(self.refused)

    def load(self, dump: tuple[dict[str, Any], ...]) -> None:
        """Have what it had."""
        self.values, self.marks, self.leases, self.refused = map(dict, dump)

    def begin_again(self) -> None:
        """Begin another life."""
        self.lives += 1
        self.incarnation = f"i{self.lives}"

    def is_fresh(self, key: str) -> bool:
        """Tell whether the server vouches for the value of a key."""
        value = self.values.get(key, {})
        return "v" in value and value["r"] == self.incarnation

    def is_readable(self, key: str) -> bool:
        """Tell whether it can be played on from."""
        return self.is_fresh(key) and "x" not in self.values[key]

    def mark(self, key: str) -> None:
        """Say that a key is to be written."""
        self.marks.setdefault(key, self.now)

    def unmark(self, key: str) -> None:
        """Forget that, and who does it."""
        self.marks.pop(key, None)
        self.leases.pop(key, None)

    def put(self, key: str, fields: Fields, *without: str) -> None:
        """Set some fields of a value and remove some."""
        kept = {**self.values.get(key, {}), **fields}
        self.values[key] = {name: kept[name] for name in kept if name not in without}

    # One for each script.

    def get(self, asked: Get) -> Held | Absent:
        """See get.lua."""
        if asked.key not in self.values:
            return Absent.MISSING
        value = self.values[asked.key]
        return (
            Held(value["v"], Text(value["s"], value["o"]))
            if self.is_readable(asked.key)
            else Absent.STALE
        )

    def save(self, asked: Save) -> Refusal | Other | None:
        """See save.lua."""
        key = asked.key
        if not self.is_fresh(key):
            return Refusal.GONE
        value = self.values[key]
        if asked.token in value["t"]:
            return None
        if value["v"] != asked.expect:
            return Other(value["v"])
        if "x" in value:
            return Refusal.CLOSED
        if value["v"] == value["p"]:
            if len(self.marks) >= self.most_marks:
                return Refusal.FULL
            self.mark_saved(key)
        if "f" in value:
            self.leases.pop(key, None)
            self.refused.pop(key, None)
        tokens = (asked.token, *value["t"])[:REMEMBERED]
        new = {"v": asked.version, "s": asked.text.state, "o": asked.text.columns, "t": tokens}
        self.put(key, new, "f")
        return None

    def mark_saved(self, key: str) -> None:
        """Say that a key is to be written which was not, by nobody yet."""
        self.mark(key)
        self.leases.pop(key, None)

    def claim(self, asked: Claim) -> Held | Claimed:
        """See claim.lua."""
        value = self.values.get(asked.key, {})
        if self.is_readable(asked.key):
            if value["v"] != value["p"]:
                self.mark(asked.key)
            return Held(value["v"], Text(value["s"], value["o"]))
        self.put(asked.key, {"c": asked.token + self.incarnation})
        return Claimed(Held(value["v"], Text(value["s"], value["o"])) if "v" in value else None)

    def is_claimed(self, key: str, token: str) -> bool:
        """Tell whether a claim stands."""
        return bool(self.values.get(key, {}).get("c") == token + self.incarnation)

    def fill(self, asked: Fill) -> bool:
        """See fill.lua."""
        key = asked.key
        if not self.is_claimed(key, asked.token):
            return False
        self.values[key] = {
            "v": asked.version,
            "s": asked.text.state,
            "o": asked.text.columns,
            "r": self.incarnation,
            "p": asked.persisted,
            "t": self.values[key].get("t", ()) if asked.keep_tokens else (),
        }
        if asked.version == asked.persisted:
            self.marks.pop(key, None)
        else:
            self.mark(key)
        self.leases.pop(key, None)
        self.refused.pop(key, None)
        return True

    def read(self, asked: Read) -> Held | Absent:
        """See read.lua."""
        value = self.values.get(asked.key, {})
        if "v" not in value:
            return Absent.MISSING
        if not self.is_fresh(asked.key):
            return Absent.STALE
        return Held(value["v"], Text(value["s"], value["o"]), value["p"], "x" in value)

    def acknowledge(self, asked: Acknowledge) -> Mark:
        """See ack.lua."""
        key = asked.key
        if "v" not in self.values.get(key, {}):
            self.unmark(key)
            self.refused.pop(key, None)
            return Mark.MISSING
        if not self.is_fresh(key):
            return Mark.STALE
        if self.values[key]["v"] == asked.version:
            self.put(key, {"p": asked.version})
        value = self.values[key]
        if value["v"] != value["p"]:
            self.leases.pop(key, None)
            if asked.version is not None and key in self.marks:
                self.marks[key] = self.now
            return Mark.DIRTY
        if "x" in value:
            return Mark.CLOSED
        self.unmark(key)
        if "f" in value:
            self.put(key, {}, "f")
            self.refused.pop(key, None)
        return Mark.CLEAN

    def close(self, asked: Close) -> int | Other | None:
        """See close.lua."""
        key = asked.key
        if key not in self.values:
            return None
        version: int | None = self.values[key].get("v")
        if version is not None:
            self.mark(key)
        if version is None or not self.is_fresh(key):
            self.put(key, {"c": asked.token + self.incarnation})
            return None
        if asked.expect is not None and version != asked.expect:
            return Other(version)
        self.put(key, {"x": asked.token}, "c")
        self.leases.pop(key, None)
        return version

    def purge(self, asked: Purge) -> bool:
        """See purge.lua."""
        key = asked.key
        closed = self.values.get(key, {}).get("x") == asked.token
        if self.is_readable(key) or not (closed or self.is_claimed(key, asked.token)):
            return False
        del self.values[key]
        self.unmark(key)
        self.refused.pop(key, None)
        return True

    def take(self, asked: Take) -> list[Taken]:
        """See take.lua."""
        waiting = sorted(self.marks, key=lambda key: (self.marks[key], key))
        waiting = waiting[: len(self.leases) + asked.most]
        leases = {key: self.leases.get(key, (self.now, "")) for key in waiting}
        over = {key for key, (till, _) in leases.items() if till <= self.now}
        free = [key for key, (_, by) in leases.items() if key in over or by == asked.token]
        taken = [Taken(key, key in self.leases and key in over) for key in free[: asked.most]]
        lease = self.now + LEASE, asked.token
        self.leases.update(dict.fromkeys((each.key for each in taken), lease))
        return taken

    def refuse(self, asked: Refuse) -> bool:
        """See refuse.lua."""
        key = asked.key
        if not self.is_fresh(key) or self.values[key]["v"] != asked.version:
            return False
        if self.values[key]["p"] == asked.version:
            return False
        self.put(key, {"f": "1"})
        self.leases[key] = self.now + DELAY, ""
        self.refused[key] = asked.reason
        return True

    scripts: ClassVar[Mapping[type, Callable[..., Any]]] = {
        Get: get,
        Save: save,
        Claim: claim,
        Fill: fill,
        Read: read,
        Acknowledge: acknowledge,
        Close: close,
        Purge: purge,
        Take: take,
        Refuse: refuse,
    }
