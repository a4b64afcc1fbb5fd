"""The store with one mistake each, to see that the explorer finds it and says what it breaks."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any
from unittest.mock import patch

from tests.state.explorer import ledger as rules
from tests.state.explorer.exploring import ANYTHING, Plan, Schedule
from tests.state.explorer.postgres_twin import PostgresTwin
from tests.state.explorer.redis_twin import RedisTwin
from tests.state.explorer.world import World

from holdfast.errors import OutcomeUnknownError, OverloadedError, UnknownKeyError
from holdfast.state import flushing, operations, recovering, versions
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


@dataclass(frozen=True)
class Mistake:
    """What is done wrongly, and the rules that this breaks.

    Attributes:
        breaks: rules, one of which the explorer is to name.
        redis: methods of the twin of Redis.
        postgres: methods of the twin of PostgreSQL.
        store: functions of the store's modules, by where they are.
        plan: where few operations make it likely to matter.
        schedule: a short one in which it shows.
        seldom: chance does not make such a one in thousands.
    """

    breaks: tuple[str, ...]
    redis: Mapping[str, Any] = field(default_factory=dict)
    postgres: Mapping[str, Any] = field(default_factory=dict)
    store: Mapping[tuple[Any, str], Any] = field(default_factory=dict)
    plan: Plan = ANYTHING
    schedule: Schedule | None = None
    seldom: bool = False

    def make(self, *given: Any, **more: Any) -> World:
        """Make a world with it."""
        redis = type("MistakenRedis", (RedisTwin,), dict(self.redis))
        postgres = type("MistakenPostgres", (PostgresTwin,), dict(self.postgres))
        return World(*given, **{"redis": redis, "postgres": postgres, **more})

    def made(self) -> ExitStack:
        """Have the store make it meanwhile."""
        stack = ExitStack()
        for (module, name), wrong in self.store.items():
            stack.enter_context(patch.object(module, name, wrong))
        return stack


def everywhere(name: str, wrong: Callable[..., Any]) -> Mapping[tuple[Any, str], Any]:
    """Replace a function of operations where it is used."""
    used = [module for module in (operations, flushing, recovering) if hasattr(module, name)]
    return {(module, name): wrong for module in used}


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


async def claim_first(io: Io, key: str, *, seen: bool = True) -> Found | None:
    token = io.token()
    claimed = await io(Claim(key, token))
    if isinstance(claimed, Held):
        return Found(claimed.version, claimed.text.state)
    row = await io(Select(key))
    found = row and await _take_up(io, key, token, row, claimed.held)
    return found or await _adopt(io, key)


async def adopt_with_one_token(io: Io, key: str, *, seen: bool = True) -> Found | None:
    return await _adopt(_OneToken(io), key, seen=seen)


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


async def fence_or_fail(io: Io, adoption: Adoption) -> tuple[int | None, bool]:
    return (await io(Adopt([adoption]))).get(adoption.key), False


async def settle_nothing(io: Io, writes: Any, done: Any) -> set[str]:
    return set()


def schedule(programs: str, *actions: str, keys: str = "k") -> Schedule:
    """Write a schedule shortly: `a load save, b load`, and `a*5` for five steps."""
    workers = [each.split() for each in programs.split(", ")]
    every = [each.split("*") for each in actions]
    return Schedule(
        {name: tuple((kind, keys[0]) for kind in kinds) for name, *kinds in workers},
        tuple(keys),
        tuple(each[0] for each in every for _ in range(int(each[1]) if each[1:] else 1)),
    )


LOST_TWICE = schedule(
    *("a save, b load load", "a*5", "a loses at once", "redis emptied", "b*5", "redis at 3"),
    *("b*5", "a"),
)
FULL_FOR_A_WHILE = replace(
    schedule("a save", "a*5", "a loses later", "b*6", "a", "b*4", "limbo 0", keys="kl"),
    programs={"a": (("save", "k"),), "b": (("save", "l"), ("flush", "l"))},
)
TAKEN_UP_BY_ANOTHER = schedule("a persist, b save", "a*2", "b*6", "a")
DELETED_BEFORE = schedule("a create persist, b load delete", "b*7", "a*2")
FILLED_LATE = schedule("a load", "a*4", "a loses later", "a*5", "limbo 0")
NOT_VOUCHED_FOR = schedule("a load delete_held, b save", "a*5", "b*2", "redis restarted", "a*3")
DELETED_UNHEARD = schedule("a delete", "a*3", "a loses at once", "a loses at once")
REFUSED_AND_RESTARTED = schedule("a save_poison", "a*6", "redis restarted")
SAVED_UNHEARD = schedule("a save", "a*5", "a loses at once", "redis away", "a")
MISTAKES = {
    "no version guard on the row": Mistake((rules.BACK,), postgres={"is_below": any_row}),
    "no mark": Mistake((rules.WINDOW,), redis={"mark_saved": lambda twin, key: None}),
    "fill without a claim": Mistake((rules.FENCE, rules.BACK), redis={"is_claimed": fill_anyway}),
    "a claim of any life": Mistake(
        (rules.FENCE, rules.BACK),
        redis={"is_claimed": claim_of_any_life},
        plan=Plan(kinds=("load", "load", "save")),
    ),
    "delete without closing": Mistake((rules.RISEN,), redis={"close": close_nothing}),
    "delete before closing": Mistake(
        (rules.RISEN,), store={(operations, "delete"): delete_before_closing}
    ),
    "delete without an epoch": Mistake(
        (rules.VERSION, rules.HONEST, rules.RISEN),
        postgres={"is_of": lambda twin, key, epoch: key in twin.rows},
    ),
    "count up": Mistake(
        (rules.MIXED, rules.FENCE),
        postgres={"next_version": count_up},
        plan=Plan(kinds=("load", "save", "persist", "update")),
    ),
    "a jump in Redis only": Mistake((rules.FENCE,), postgres={"adopt": jump_in_redis_only}),
    "acknowledge any version": Mistake(
        (rules.WINDOW, rules.DURABLE), redis={"acknowledge": acknowledge_any}
    ),
    "finish is not idempotent": Mistake(
        (rules.ONCE,), store={(operations, "delete"): delete_always_new}
    ),
    "flush inserts": Mistake((rules.RISEN,), postgres={"is_below": lower_or_no_row}),
    "a lost answer is a failure": Mistake(
        (rules.HONEST,), store={(operations, "save"): save_again_as_another}
    ),
    "a restart is not noticed": Mistake(
        (rules.FORGOT, rules.FENCE), redis={"begin_again": lambda twin: None}
    ),
    "fence any row": Mistake((rules.FENCE,), postgres={"is_at": any_row}),
    "claim before the row is read": Mistake((rules.FENCE,), store=everywhere("adopt", claim_first)),
    "nothing is salvaged": Mistake(
        (rules.WINDOW,), store=everywhere("continues", lambda version, other: False)
    ),
    "close leaves claims": Mistake((rules.RISEN,), redis={"close": close_readable_only}),
    "close only before the row is read": Mistake(
        (rules.RISEN,), store={(_Deletion, "close"): close_once}
    ),
    "close without a mark": Mistake((rules.WINDOW,), redis={"close": close_unmarked}),
    "save what is closed": Mistake(
        (rules.WINDOW, rules.VERSION, rules.HONEST), redis={"save": save_closed}
    ),
    "save over any version": Mistake((rules.MIXED,), redis={"save": save_over}),
    "any higher row is durable": Mistake(
        (rules.DURABLE,), store={(operations, "_is_durable"): any_higher_is_durable}
    ),
    "epochs begin again": Mistake((rules.VERSION,), postgres={"next_version": epochs_of_the_row}),
    "keep tokens always": Mistake(
        (rules.HONEST,), redis={"fill": fill_with_tokens}, schedule=LOST_TWICE, seldom=True
    ),
    "remember more than there are": Mistake(
        (rules.HONEST,), store={(operations, "REMEMBERED"): 9}, plan=Plan(kinds=("save", "update"))
    ),
    "full is definite": Mistake(
        (rules.HONEST,),
        store={(operations, "_judge_again"): full_is_definite},
        plan=Plan(most_marks=1),
        schedule=FULL_FOR_A_WHILE,
        seldom=True,
    ),
    "the second answer is definite": Mistake(
        (rules.HONEST,),
        store={(operations, "_judge_again"): _judge},
        plan=Plan(kinds=("save", "update")),
    ),
    "purge anyway": Mistake(
        (rules.WINDOW,),
        redis={"purge": purge_anyway},
        plan=Plan(kinds=("delete", "create", "save")),
    ),
    "a flush settles nothing": Mistake(
        (rules.WEDGED, rules.WINDOW), store={(flushing, "_settle"): settle_nothing}
    ),
    # What the explorer found in the store.
    "persist what others took up": Mistake(
        (rules.DURABLE,),
        store={(operations, "persist"): persist_what_is_taken_up},
        schedule=TAKEN_UP_BY_ANOTHER,
    ),
    "persist what is deleted": Mistake(
        (rules.DURABLE,),
        store={(operations, "persist"): persist_without_a_look_at_closed},
        schedule=DELETED_BEFORE,
    ),
    "one token for all fences": Mistake(
        (rules.FENCE,),
        store=everywhere("adopt", adopt_with_one_token),
        schedule=FILLED_LATE,
        plan=Plan(kinds=("load", "save")),
    ),
    "delete what is not vouched for": Mistake(
        (rules.VERSION,),
        store={(_Deletion, "close"): close_what_is_expected},
        schedule=NOT_VOUCHED_FOR,
    ),
    "deleted or not, as the second says": Mistake(
        (rules.HONEST,),
        store={(operations, "delete"): delete_and_say_what_the_second_says},
        schedule=DELETED_UNHEARD,
        plan=Plan(kinds=("delete", "delete_held", "create")),
    ),
    "saved or not, as the second says": Mistake(
        (rules.HONEST,),
        store={(operations, "save"): save_and_say_what_the_second_says},
        schedule=SAVED_UNHEARD,
        plan=Plan(kinds=("save", "update")),
    ),
    "what the row refuses cannot be loaded": Mistake(
        (rules.WEDGED,),
        store={(operations, "_fence"): fence_or_fail},
        plan=Plan(kinds=("save", "save_poison", "load", "flush")),
        schedule=REFUSED_AND_RESTARTED,
    ),
}
