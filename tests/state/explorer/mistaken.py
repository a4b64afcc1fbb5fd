"""Scripts, statements and operations of the store with a mistake each."""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace
from tests.state.explorer.postgres_twin import PostgresTwin
from tests.state.explorer.redis_twin import RedisTwin

from holdfast.errors import OutcomeUnknownError, OverloadedError, UnknownKeyError
from holdfast.state import operations, versions
from holdfast.state.operations import Found, _Deletion, _judge, _take_up
from holdfast.state.requests import (
    Absent,
    Acknowledge,
    Adopt,
    Adoption,
    Claim,
    Close,
    Delete,
    Fill,
    Flush,
    Held,
    Io,
    Mark,
    Purge,
    Read,
    Refusal,
    Save,
    Select,
    Text,
    Versions,
    Write,
)

_delete, _save, _adopt = operations.delete, operations.save, operations.adopt

# Redis


def fill_anyway(twin: RedisTwin, key: str, token: str) -> bool:
    return key in twin.values and not twin.is_readable(key)


def claim_of_any_life(twin: RedisTwin, key: str, token: str) -> bool:
    return str(twin.values.get(key, {}).get("c", "")).startswith(token)


def acknowledge_any(twin: RedisTwin, asked: Acknowledge) -> Mark:
    version = twin.values.get(asked.key, {}).get("v")
    return RedisTwin.acknowledge(twin, replace(asked, version=asked.version and version))


def close_nothing(twin: RedisTwin, asked: Close) -> Any:
    return twin.values[asked.key]["v"] if twin.is_readable(asked.key) else None


def close_readable_only(twin: RedisTwin, asked: Close) -> Any:
    return RedisTwin.close(twin, asked) if twin.is_fresh(asked.key) else None


def close_unmarked(twin: RedisTwin, asked: Close) -> Any:
    marked = asked.key in twin.marks
    answer = RedisTwin.close(twin, asked)
    if not marked:
        twin.unmark(asked.key)
    return answer


def fill_with_tokens(twin: RedisTwin, asked: Fill) -> bool:
    return RedisTwin.fill(twin, replace(asked, keep_tokens=True))


def fill_without_tokens(twin: RedisTwin, asked: Fill) -> bool:
    return RedisTwin.fill(twin, replace(asked, keep_tokens=False))


def purge_anyway(twin: RedisTwin, asked: Purge) -> bool:
    if asked.key not in twin.values or twin.is_readable(asked.key):
        return False
    del twin.values[asked.key]
    twin.unmark(asked.key)
    return True


def save_closed(twin: RedisTwin, asked: Save) -> Any:
    closed = twin.values.get(asked.key, {}).get("x")
    if closed is None:
        return RedisTwin.save(twin, asked)
    twin.put(asked.key, {}, "x")
    answer = RedisTwin.save(twin, asked)
    twin.put(asked.key, {"x": closed})
    return answer


def save_over(twin: RedisTwin, asked: Save) -> Any:
    return RedisTwin.save(twin, replace(asked, expect=twin.values.get(asked.key, {}).get("v", 0)))


# PostgreSQL


def any_row(twin: PostgresTwin, key: str, _version: int) -> bool:
    return key in twin.rows


def lower_or_no_row(twin: PostgresTwin, key: str, version: int) -> bool:
    return key not in twin.rows or twin.rows[key][0] < version


def count_up(twin: PostgresTwin, key: str) -> int:
    return twin.rows[key][0] + 1 if key in twin.rows else PostgresTwin.next_version(twin, key)


def epochs_of_the_row(twin: PostgresTwin, key: str) -> int:
    last = versions.epoch(twin.rows[key][0]) if key in twin.rows else 0
    return (last + 1) << versions.COUNT_BITS


def jump_in_redis_only(twin: PostgresTwin, asked: Adopt) -> Mapping[str, int]:
    there = {each.key: twin.rows[each.key][0] for each in asked.rows if each.key in twin.rows}
    return {key: version + (1 << versions.COUNT_BITS) for key, version in there.items()}


# The store


async def claim_first(io: Io, key: str, *, seen: bool = True, wait: bool = True) -> Found | None:
    token = io.token()
    claimed = await io(Claim(key, token))
    if isinstance(claimed, Held):
        return Found(claimed.version, claimed.text)
    row = await io(Select(key))
    found = row and await _take_up(io, key, token, row, claimed.held)
    return found or await _adopt(io, key)


async def adopt_with_one_token(
    io: Io, key: str, *, seen: bool = True, wait: bool = True
) -> Found | None:
    return await _adopt(_OneToken(io), key, seen=seen, wait=wait)


class _OneToken:
    def __init__(self, io: Io) -> None:
        self.io, self.own = io, io.token()

    async def __call__(self, request: Any) -> Any:
        return await self.io(request)

    async def all(self, requests: Any) -> Any:
        return await self.io.all(requests)

    def token(self) -> str:
        return self.own


async def save_again_as_another(io: Io, key: str, expect: int, text: Text) -> int:
    request = Save(key, expect, expect + 1, text, io.token())
    try:
        return _judge(await io(request), request)
    except OutcomeUnknownError:
        again = replace(request, token=io.token())
        return _judge(await io(again), again)


async def save_and_say_what_the_second_says(io: Io, key: str, expect: int, text: Text) -> int:
    request = Save(key, expect, expect + 1, text, io.token())
    try:
        return _judge(await io(request), request)
    except OutcomeUnknownError:
        return operations._judge_again(await io(request), request)


def full_is_definite(answer: Any, request: Save) -> int:
    if answer is Refusal.FULL:
        raise OverloadedError("full")
    return _judge_again(answer, request)


_judge_again = operations._judge_again


async def any_higher_is_durable(io: Io, write: Write) -> bool:
    if await io(Flush([write])):
        return True
    return (await io(Versions([write.key]))).get(write.key, 0) >= write.version


async def persist_what_is_taken_up(io: Io, key: str) -> int:
    held: Held | Absent = await io(Read(key))
    if isinstance(held, Absent):
        if found := await operations.adopt(io, key):
            return found.version
        raise UnknownKeyError(key)
    return await _persist(io, key)


async def persist_without_a_look_at_closed(io: Io, key: str) -> int:
    held = await io(Read(key))
    if isinstance(held, Held) and held.version == held.persisted:
        return held.version
    return await _persist(io, key)


_persist = operations.persist


async def delete_always_new(io: Io, rows: Io, key: str, expect: int | None = None) -> Any:
    token, _ = await _delete(io, rows, key, expect)
    return token, True


async def close_what_is_expected(deletion: _Deletion) -> int | None:
    deletion.closed = True
    return await _close(deletion)


async def delete_before_closing(io: Io, rows: Io, key: str, expect: int | None = None) -> Any:
    found = await rows(Versions([key]))
    token = io.token()
    deleted = key in found and await rows(Delete(key, versions.epoch(found[key])))
    await io(Close(key, token))
    return token, deleted


async def delete_and_say_what_the_second_says(
    io: Io, rows: Io, key: str, expect: int | None = None
) -> Any:
    deletion = _Deletion(io, rows, key, io.token(), expect)
    return deletion.token, await deletion.run()


async def close_once(deletion: _Deletion) -> int | None:
    if deletion.expect is not None:
        return await _close(deletion)
    closed = await deletion.io(Close(deletion.key, deletion.token))
    version = closed if isinstance(closed, int) else await deletion.find_version()
    return None if version is None else versions.epoch(version)


_close = _Deletion.close


async def fence_or_fail(
    io: Io, adoption: Adoption, *, wait: bool = True
) -> tuple[int | None, bool]:
    return (await io(Adopt([adoption]))).get(adoption.key), False


async def settle_nothing(io: Io, writes: Any, done: Any) -> set[str]:
    return set()


async def open_nothing(io: Io, key: str, done: Any) -> None:
    return
