"""Carries out requests on real servers, within their limits."""

import asyncio
import random
import secrets
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeVar, cast

from redis.asyncio.cluster import RedisCluster
from redis.crc import key_slot
from redis.exceptions import RedisError

from holdfast.errors import HoldfastError
from holdfast.state.policy import StatePolicy
from holdfast.state.requests import (
    Absent,
    Acknowledge,
    Adopt,
    Claim,
    Claimed,
    Close,
    Count,
    Delete,
    Fill,
    Flush,
    Get,
    Held,
    Mark,
    Marks,
    Other,
    Page,
    Pause,
    Purge,
    Read,
    Refusal,
    Refuse,
    Request,
    Save,
    Select,
    Take,
    Taken,
    Text,
    Versions,
)
from holdfast.state.rows import Rows, SessionRows
from holdfast.state.scripts import Call, Scripts, explain_redis
from holdfast.state.table import OWN

A = TypeVar("A")

_CLAIM_KEPT = 60_000  # milliseconds, of a claim without a value whose maker has died
_FIRST_PAUSE = 0.002  # seconds; it doubles, and half of it is left to chance
_LONGEST_PAUSE = 0.1
_SCANNED = 1_000  # keys in one round trip
_SLOTS = 16_384  # of every cluster
_MANY = 100  # keys at once: with more, those who save meanwhile wait twice as long
_TOGETHER = 25  # keys in one script: nobody else is served meanwhile
_BYTES = 262_144  # and so much to be stored by it, or a single state that is larger


class Port:
    """Redis and PostgreSQL behind a store.

    Args:
        scripts: of its Redis.
        rows: of its table.
        prefix: of its keys.
        policy: limits.
    """

    def __init__(self, scripts: Scripts, rows: Rows, prefix: str, policy: StatePolicy) -> None:
        self._scripts = scripts
        self._rows = rows
        self.prefix = prefix
        self.own = f"{OWN}state:{prefix}"
        self._marks = f"{self.own}dirty"
        self._policy = policy
        self._sharded = isinstance(scripts.client, RedisCluster)
        # Marks that this process may have made: others find them by looking at all keys.
        self.touched: set[str] = set()
        self._on_rows: dict[type, Callable[[Any], Any]] = {
            Select: lambda each: rows.select(each.key, policy.timeout),
            Versions: lambda each: rows.versions(each.keys, policy.timeout),
            Count: lambda _: rows.count(policy.flush_timeout),
            Page: lambda each: rows.page(each.behind, each.most, policy.flush_timeout),
            Adopt: lambda each: rows.adopt(each.rows, self._limit(len(each.rows)), wait=each.wait),
            Flush: lambda each: rows.flush(
                each.writes, self._limit(len(each.writes)), wait=each.wait
            ),
            Delete: lambda each: rows.delete(each.key, each.epoch, policy.timeout),
            Pause: lambda each: _pause(each.attempt),
            Marks: lambda each: self._find_marks(everywhere=each.everywhere),
        }

    async def __call__(self, request: Request[A]) -> A:
        """Carry out one request."""
        kind = type(request)
        if kind in _CALLS:
            call = self._call(request)
            try:
                return cast("A", _ANSWERS[kind](await self._scripts.run(call)))
            finally:
                self._note(call)
        return cast("A", await self._on_rows[kind](request))

    async def all(self, requests: Sequence[Request[A]]) -> "Sequence[A | HoldfastError]":
        """Carry out several of Redis, a hundred at once."""
        answers: list[A | HoldfastError] = []
        for first in range(0, len(requests), _MANY):
            some = requests[first : first + _MANY]
            calls = [self._call(*group) for group in self._group(some)]
            try:
                told = await self._scripts.run_all(calls)
            finally:
                for call in calls:
                    self._note(call)
            answers += map(_explained, some, told)
        return answers

    async def close(self) -> None:
        """Wait for the answers to what was sent."""
        await self._scripts.close()

    def token(self) -> str:
        """Give 16 letters that nobody else has."""
        return secrets.token_hex(8)

    def _limit(self, rows: int) -> float:
        return self._policy.timeout if rows == 1 else self._policy.flush_timeout

    def _group(self, requests: Sequence[Request[Any]]) -> "Iterator[list[Request[Any]]]":
        """Put those together that follow each other with the same script and marks."""
        group: list[Request[Any]] = []
        size, alike = 0, None
        for request in requests:
            of = type(request), self._marks_for(request)
            full = len(group) == _TOGETHER or size >= _BYTES
            if group and (full or of != alike or isinstance(request, Take)):
                yield group
                group, size = [], 0
            group.append(request)
            alike, size = of, size + _size(request)
        if group:
            yield group

    def _marks_for(self, request: Request[Any]) -> str:
        if isinstance(request, Take):
            return request.marks
        return self.marks_of(request.key)  # type: ignore[attr-defined]  # all others have one

    def _call(self, *requests: Request[Any]) -> Call:
        """Make one call of requests for keys whose script and marks are the same."""
        request, many = requests[0], len(requests)
        name, values = _CALLS[type(request)]
        if isinstance(request, Take):
            marks = request.marks
            given = (request.most, str(self._policy.lease), request.token)
            return Call(name, (marks, f"{marks}:leases"), given)
        names = [each.key for each in requests]  # type: ignore[attr-defined]
        return Call(
            name,
            (*(f"{self.prefix}{each}" for each in names), *_beside(self.marks_of(names[0]))),
            (
                *((many,) if many > 1 else ()),
                *(value for each in requests for value in values(each, self._policy)),
            ),
            changes=request.changes,
            size=sum(map(_size, requests)),
            several=many if many > 1 else 0,
        )

    def _note(self, call: Call) -> None:
        # Afterwards: a writer that looked before the mark was there would not look again.
        if self._sharded and call.changes and call.name != "take":
            self.touched.add(call.keys[1])

    def marks_of(self, key: str) -> str:
        """Name the marks that are in the slot of a key, so that one script writes both."""
        if not self._sharded:
            return self._marks
        slot = key_slot(f"{self.prefix}{key}".encode())
        return f"{self._marks}:{{{_tags()[slot]}}}"

    async def _find_marks(self, *, everywhere: bool) -> Sequence[str]:
        """Give the marks that are to be looked at."""
        if not self._sharded:
            return [self._marks]
        found = set(self.touched)
        if everywhere:
            client = self._scripts.client
            pattern = pattern_of(f"{self._marks}:")
            try:
                async for name in client.scan_iter(match=pattern, count=_SCANNED, _type="zset"):
                    found.add(name.decode())
            except (RedisError, OSError) as error:
                raise explain_redis(error, changes=False) from error
        return sorted(found)


def _size(request: Request[Any]) -> int:
    """Give how many bytes of a state are sent."""
    return len(request.text.state) if isinstance(request, Save | Fill) else 0


def _explained(request: Request[A], answer: Any) -> "A | HoldfastError":
    if isinstance(answer, HoldfastError):
        return answer
    if isinstance(answer, Exception):
        raise answer
    return cast("A", _ANSWERS[type(request)](answer))


def pattern_of(prefix: str) -> str:
    """Match the keys of a prefix, whose own characters mean themselves."""
    return "".join(f"\\{each}" if each in "*?[]\\" else each for each in prefix) + "*"


async def _pause(attempt: int) -> None:
    most = min(_FIRST_PAUSE * 2**attempt, _LONGEST_PAUSE)
    await asyncio.sleep(most * random.uniform(0.5, 1))  # noqa: S311  -- no secret


@lru_cache
def _beside(marks: str) -> tuple[str, str, str]:
    """Give marks, and what scripts need beside them: the same for all keys of a slot."""
    return marks, f"{marks}:leases", f"{marks}:refused"


@lru_cache(maxsize=1)
def _tags() -> Sequence[str]:
    """Give for each slot of a cluster a text that is in it."""
    tags: dict[int, str] = {}
    number = 0
    while len(tags) < _SLOTS:
        tags.setdefault(key_slot(str(number).encode()), str(number))
        number += 1
    return [tags[slot] for slot in range(_SLOTS)]


def _word(answer: Any) -> str:
    return answer.decode() if isinstance(answer, bytes) else ""


def _get(answer: Any) -> Held | Absent:
    if isinstance(answer, list):
        return Held(int(answer[0]), Text(answer[1], answer[2]))
    return Absent[_word(answer).upper()]


def _save(answer: Any) -> Refusal | Other | None:
    if answer == b"ok":
        return None
    return Other(int(answer[1])) if isinstance(answer, list) else Refusal[_word(answer).upper()]


def _claim(answer: Any) -> Held | Claimed:
    if not isinstance(answer, list):
        return _CLAIMED
    held = Held(int(answer[1]), Text(answer[2], answer[3]))
    return held if answer[0] == b"hit" else Claimed(held)


def _read(answer: Any) -> Held | Absent:
    if not isinstance(answer, list):
        return Absent[_word(answer).upper()]
    version, state, columns, persisted, closed = answer
    return Held(int(version), Text(state, columns), int(persisted), bool(closed))


def _close(answer: Any) -> int | Other | None:
    if not isinstance(answer, list):
        return None
    return int(answer[1]) if answer[0] == b"closed" else Other(int(answer[1]))


_NOTHING = b""
_CLAIMED = Claimed(None)
_CALLS: dict[type, tuple[str, Callable[[Any, StatePolicy], tuple[str | bytes | int, ...]]]] = {
    Get: ("get", lambda _each, _policy: ()),
    Save: (
        "save",
        lambda each, policy: (
            *(each.expect, each.version, each.text.state, each.text.columns, each.token),
            *(each.key, policy.dirty_limit),
        ),
    ),
    Claim: ("claim", lambda each, _: (each.token, each.key, _CLAIM_KEPT)),
    Fill: (
        "fill",
        lambda each, _: (
            *(each.token, each.version, each.text.state, each.text.columns, each.key),
            "1" if each.keep_tokens else "",
            each.persisted,
        ),
    ),
    Read: ("read", lambda _each, _policy: ()),
    Acknowledge: (
        "ack",
        lambda each, _: (_NOTHING if each.version is None else each.version, each.key),
    ),
    Close: (
        "close",
        lambda each, _: (each.token, _NOTHING if each.expect is None else each.expect, each.key),
    ),
    Purge: ("purge", lambda each, _: (each.token, each.key)),
    Take: ("take", lambda _each, _policy: ()),
    Refuse: (
        "refuse",
        lambda each, policy: (each.version, each.key, each.reason, str(policy.refused_delay)),
    ),
}
_ANSWERS: dict[type, Callable[[Any], Any]] = {
    Get: _get,
    Save: _save,
    Claim: _claim,
    Fill: bool,
    Read: _read,
    Acknowledge: lambda answer: Mark[_word(answer).upper()],
    Close: _close,
    Purge: bool,
    Take: lambda answer: [
        Taken(key.decode(), bool(again))
        for key, again in zip(answer[::2], answer[1::2], strict=True)
    ],
    Refuse: bool,
}


class CallersPort:
    """The requests of a deletion that are made in the caller's transaction."""

    def __init__(self, rows: SessionRows) -> None:
        self._rows = rows

    async def __call__(self, request: Request[A]) -> A:
        """Carry out one request."""
        if isinstance(request, Delete):
            return cast("A", await self._rows.delete(request.key, request.epoch))
        assert isinstance(request, Versions)
        return cast("A", await self._rows.versions(request.keys))
