"""What a store's states are like now: how many wait to be written, and where two servers differ."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from redis.exceptions import RedisError

from holdfast.errors import ConfigurationError, HoldfastError
from holdfast.events import Check
from holdfast.redis import place
from holdfast.state.examining import ask_servers, find_eviction, where_of
from holdfast.state.policy import StatePolicy
from holdfast.state.port import Port, pattern_of
from holdfast.state.requests import Count, Held, Marks, Page, Read, Row, Select
from holdfast.state.scripts import Client
from holdfast.state.versions import epoch

_LOOKS = 3  # at what differs, since a state may be written between two reads
_PAUSE = 0.05  # seconds between them
_MANY = 500  # keys in one round trip
_MINUTE = 60
_LATE = 10  # rounds of writing
_NEARLY_FULL = 0.9  # of the memory that Redis may use


@dataclass(frozen=True, slots=True, kw_only=True)
class StateStats:
    """How a store is.

    Attributes:
        keys: states in Redis.
        dirty: of these, that wait to be written.
        oldest_dirty_age: seconds that the first of them has waited; 0 where none does.
        refused: that the database does not take.
        flushed_per_second: written by all processes, in this minute and the one before.
    """

    keys: int
    dirty: int
    oldest_dirty_age: float
    refused: int
    flushed_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Something that Redis and PostgreSQL should agree about, and do not."""

    key: str
    what: str


@dataclass(slots=True, kw_only=True)
class Verified:
    """What a comparison found.

    Attributes:
        total: rows that there were at the beginning.
        rows: that were compared.
        same: that Redis has as well, in the same version.
        waiting: where Redis is ahead, and the state is marked to be written.
        only_in_row: that Redis does not have, or does not vouch for since it was restarted.
        differences: everything else, which should not be.
    """

    total: int = 0
    rows: int = 0
    same: int = 0
    waiting: int = 0
    only_in_row: int = 0
    differences: list[Difference] = field(default_factory=list)


async def count(client: Client, port: Port) -> StateStats:
    """Count what there is; reads the names of all keys of that Redis."""
    waiting = await _count_waiting(client, port)
    keys = sum([1 async for _ in client.scan_iter(match=pattern_of(port.prefix), count=_MANY)])
    rate = await _read_rate(client, port)
    return StateStats(
        keys=keys,
        dirty=waiting.dirty,
        oldest_dirty_age=waiting.age,
        refused=waiting.refused,
        flushed_per_second=rate,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    dirty: int
    age: float
    refused: int


async def _count_waiting(client: Client, port: Port) -> _Waiting:
    pipeline = client.pipeline(transaction=False)
    for each in await port(Marks(everywhere=True)):
        pipeline.zcard(each)
        pipeline.zrange(each, 0, 0, withscores=True)
        pipeline.hlen(f"{each}:refused")
    found = await pipeline.execute()
    since = [score for first in found[1::3] for _, score in first]
    return _Waiting(
        dirty=sum(found[::3]),
        age=max(0.0, time.time() - min(since)) if since else 0.0,
        refused=sum(found[2::3]),
    )


async def note_written(client: Client, port: Port, written: int) -> None:
    """Count what a round of writing wrote, for all processes together, if Redis is there."""
    name = _counter(port, time.time())
    pipeline = client.pipeline(transaction=False)
    pipeline.incrby(name, written)
    pipeline.expire(name, 2 * _MINUTE)
    with suppress(RedisError, OSError):  # it is written, and the count is for people
        await pipeline.execute(raise_on_error=False)


async def _read_rate(client: Client, port: Port) -> float:
    now = time.time()
    names = [_counter(port, now), _counter(port, now - _MINUTE)]
    written = [int(await client.get(name) or 0) for name in names]
    return sum(written) / (_MINUTE + now % _MINUTE)


def _counter(port: Port, when: float) -> str:
    return f"{port.own}written:{int(when // _MINUTE)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyReport:
    """What both servers have under a key.

    Attributes:
        key: behind the prefix.
        in_redis: whether Redis has it, and whether it is what everybody goes on from.
        redis_version: None where Redis has nothing that it vouches for.
        row_version: None where there is no row.
        waits: Redis is ahead, and the state is to be written.
        state: the newest one, as JSON; None where there is none.
    """

    key: str
    in_redis: str
    redis_version: int | None
    row_version: int | None
    waits: bool
    state: bytes | None


async def look(port: Port, key: str) -> KeyReport:
    """Give what both servers have under a key, and change nothing.

    Raises:
        StoreUnavailableError: Redis or PostgreSQL gave no answer in time.
    """
    held, row = await port(Read(key)), await port(Select(key))
    if not isinstance(held, Held):
        return KeyReport(
            key=key,
            in_redis=held.value,
            redis_version=None,
            row_version=row.version if row else None,
            waits=False,
            state=row.state if row else None,
        )
    return KeyReport(
        key=key,
        in_redis="somebody is about to delete the row" if held.closed else "it goes on from there",
        redis_version=held.version,
        row_version=row.version if row else None,
        waits=held.version != held.persisted,
        state=held.text.state,
    )


async def check(client: Client, port: Port, policy: StatePolicy) -> Sequence[Check]:
    """Tell whether states are written; see `StateStore.check()`."""
    try:
        waiting = await _count_waiting(client, port)
        told = await ask_servers(client, "memory")
    except (HoldfastError, RedisError, OSError) as error:
        said = " ".join(str(error).split()) or "no answer in time"
        said = f"{place(client)}: {said.removesuffix('.')}"
        advice = "start Redis, or look at it and at its URL: `holdfast doctor`"
        return [Check(name="redis", said=said, state="failed", advice=advice)]
    return [_check_writing(waiting, policy), _check_refused(waiting), _check_memory(told)]


def _check_writing(waiting: "_Waiting", policy: StatePolicy) -> Check:
    said = f"{waiting.dirty:,} states wait to be written, the first for {waiting.age:.1f} s"
    if waiting.dirty >= policy.dirty_limit:
        advice = "no other can be saved: is PostgreSQL there, and does a writer run (flushing())?"
        return Check(name="writing", said=said, state="failed", advice=advice)
    if waiting.age > _LATE * policy.flush_interval + policy.lease:
        advice = "with Redis lost, so much is lost: is PostgreSQL there, does a writer run?"
        return Check(name="writing", said=said, state="warning", advice=advice)
    return Check(name="writing", said=said)


def _check_refused(waiting: "_Waiting") -> Check:
    if not waiting.refused:
        return Check(name="refused", said="the database takes every state")
    said = f"the database refuses {waiting.refused:,} states, which are in Redis only"
    advice = "see `holdfast state verify`, or the events StateRefused; save what it can take"
    return Check(name="refused", said=said, state="failed", advice=advice)


def _check_memory(told: Mapping[str, Mapping[str, Any]]) -> Check:
    for at, server in told.items():
        if problem := find_eviction(server, where_of(at)):
            return Check(name="memory", said=problem[0], state="failed", advice=problem[1])
    used, at = max((_measure(server), at) for at, server in told.items())
    said = f"{where_of(at)} uses {used:.0%} of its maxmemory"
    if used < _NEARLY_FULL:
        return Check(name="memory", said=said if used else "Redis has no maxmemory")
    advice = (
        "a full Redis saves nothing and takes up no other key: CONFIG SET maxmemory to more, or "
        "delete states that are over"
    )
    state: Literal["warning", "failed"] = "warning" if used < 1 else "failed"
    return Check(name="memory", said=said, state=state, advice=advice)


def _measure(server: Mapping[str, Any]) -> float:
    """Give how much of its memory a server uses, as it counts itself; 0 where it has no limit."""
    if not (most := server.get("maxmemory")):
        return 0.0
    used = server["used_memory"] - server.get("mem_not_counted_for_evict", 0)
    return float(used / most)


async def verify(
    client: Client,
    port: Port,
    read_key: Callable[[str], object],
    *,
    progress: Callable[[Verified], object] | None = None,
) -> Verified:
    """Compare each row with what Redis has, and each key with the rows.

    States that change meanwhile are looked at again.

    Raises:
        StoreUnavailableError: Redis or PostgreSQL gave no answer in time; errors of the client
            pass through.
    """
    done, seen, behind = Verified(total=await port(Count())), set[str](), None
    while page := await port(Page(behind, _MANY)):
        behind = page[-1][0]
        seen.update(key for key, _ in page)
        found = await _find(client, port, [key for key, _ in page])
        for (key, row), both in zip(page, found, strict=True):
            await _compare((client, port), key, (row, *both), done)
        done.rows += len(page)
        if progress:
            progress(done)
    async for name in client.scan_iter(match=pattern_of(port.prefix), count=_MANY):
        key = name.decode(errors="replace").removeprefix(port.prefix)
        if key not in seen:
            await _judge_alone(port, key, read_key, done)
    return done


async def _compare(
    at: tuple[Client, Port], key: str, found: "tuple[Row | None, Any, bool]", done: Verified
) -> None:
    client, port = at
    row, held, marked = found
    what = "nothing"
    for look in range(_LOOKS):
        if look:
            await asyncio.sleep(_PAUSE)
            row, ((held, marked),) = await port(Select(key)), await _find(client, port, [key])
        if row is None:
            return  # deleted meanwhile
        if not isinstance(held, Held) or held.closed:
            done.only_in_row += 1
            return
        if difference := _find_difference(row, held):
            what = difference
        elif held.version == row.version:
            done.same += 1
            return
        elif not marked:
            what = f"version {held.version} waits to be written, and is not marked"
        else:
            done.waiting += 1
            return
    done.differences.append(Difference(key=key, what=what))


def _find_difference(row: Row, held: Held) -> str | None:
    if epoch(row.version) != epoch(held.version):
        return f"Redis goes on from version {held.version}, the row from {row.version}"
    if row.version > held.version:
        return f"Redis has version {held.version}, which is older than the row's {row.version}"
    if held.persisted is not None and row.version < held.persisted:
        return f"version {held.persisted} was written, and the row has {row.version}"
    if row.version == held.version and not _is_same(row.state, held.text.state):
        return f"version {row.version} is one state in Redis and another in the row"
    return None


def _is_same(one: bytes, other: bytes) -> bool:
    if one == other:
        return True
    try:
        return bool(msgspec.json.decode(one) == msgspec.json.decode(other))
    except ValueError:
        return False


async def _judge_alone(
    port: Port, key: str, read_key: Callable[[str], object], done: Verified
) -> None:
    try:
        read_key(key)
        (held,) = await _read(port, [key])
    except (ValueError, ConfigurationError):
        done.differences.append(Difference(key=key, what="Redis has it, and it is no state"))
        return
    if isinstance(held, Held) and not held.closed and await port(Select(key)) is None:
        what = f"Redis has version {held.version}, and there is no row"
        done.differences.append(Difference(key=key, what=what))


async def _find(client: Client, port: Port, keys: Sequence[str]) -> "list[tuple[Any, bool]]":
    """Give what Redis has of keys, and whether each is marked to be written."""
    held = await _read(port, keys)
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.zscore(port.marks_of(key), key)
    marks = await pipeline.execute()
    return [(each, mark is not None) for each, mark in zip(held, marks, strict=True)]


async def _read(port: Port, keys: Sequence[str]) -> Sequence[Any]:
    answers = await port.all([Read(key) for key in keys])
    for answer in answers:
        if isinstance(answer, HoldfastError):
            raise answer
    return answers
