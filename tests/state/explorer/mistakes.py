"""The store with one mistake each, to see that the explorer finds it and says what it breaks."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any
from unittest.mock import patch

from tests.state.explorer import ledger as rules
from tests.state.explorer import mistaken as wrong
from tests.state.explorer.exploring import ANYTHING, Plan, Schedule
from tests.state.explorer.postgres_twin import PostgresTwin
from tests.state.explorer.redis_twin import RedisTwin
from tests.state.explorer.world import World

from holdfast.state import flushing, operations, recovering
from holdfast.state.operations import _Deletion, _judge


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
        for (module, name), mistaken in self.store.items():
            stack.enter_context(patch.object(module, name, mistaken))
        return stack


def everywhere(name: str, mistaken: Callable[..., Any]) -> Mapping[tuple[Any, str], Any]:
    """Replace a function of operations where it is used."""
    used = [module for module in (operations, flushing, recovering) if hasattr(module, name)]
    return {(module, name): mistaken for module in used}


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
    "no version guard on the row": Mistake((rules.BACK,), postgres={"is_below": wrong.any_row}),
    "no mark": Mistake((rules.WINDOW,), redis={"mark_saved": lambda twin, key: None}),
    "fill without a claim": Mistake(
        (rules.FENCE, rules.BACK), redis={"is_claimed": wrong.fill_anyway}
    ),
    "a claim of any life": Mistake(
        (rules.FENCE, rules.BACK),
        redis={"is_claimed": wrong.claim_of_any_life},
        plan=Plan(kinds=("load", "load", "save")),
    ),
    "delete without closing": Mistake((rules.RISEN,), redis={"close": wrong.close_nothing}),
    "delete before closing": Mistake(
        (rules.RISEN,), store={(operations, "delete"): wrong.delete_before_closing}
    ),
    "delete without an epoch": Mistake(
        (rules.VERSION, rules.HONEST, rules.RISEN),
        postgres={"is_of": lambda twin, key, epoch: key in twin.rows},
    ),
    "count up": Mistake(
        (rules.MIXED, rules.FENCE),
        postgres={"next_version": wrong.count_up},
        plan=Plan(kinds=("load", "save", "persist", "update")),
    ),
    "a jump in Redis only": Mistake((rules.FENCE,), postgres={"adopt": wrong.jump_in_redis_only}),
    "acknowledge any version": Mistake(
        (rules.WINDOW, rules.DURABLE), redis={"acknowledge": wrong.acknowledge_any}
    ),
    "finish is not idempotent": Mistake(
        (rules.ONCE,), store={(operations, "delete"): wrong.delete_always_new}
    ),
    "flush inserts": Mistake((rules.RISEN,), postgres={"is_below": wrong.lower_or_no_row}),
    "a lost answer is a failure": Mistake(
        (rules.HONEST,), store={(operations, "save"): wrong.save_again_as_another}
    ),
    "a restart is not noticed": Mistake(
        (rules.FORGOT, rules.FENCE), redis={"begin_again": lambda twin: None}
    ),
    "fence any row": Mistake((rules.FENCE,), postgres={"is_at": wrong.any_row}),
    "claim before the row is read": Mistake(
        (rules.FENCE,), store=everywhere("adopt", wrong.claim_first)
    ),
    "nothing is salvaged": Mistake(
        (rules.WINDOW,), store=everywhere("continues", lambda version, other: False)
    ),
    "close leaves claims": Mistake((rules.RISEN,), redis={"close": wrong.close_readable_only}),
    "close only before the row is read": Mistake(
        (rules.RISEN,), store={(_Deletion, "close"): wrong.close_once}
    ),
    "close without a mark": Mistake((rules.WINDOW,), redis={"close": wrong.close_unmarked}),
    "save what is closed": Mistake(
        (rules.WINDOW, rules.VERSION, rules.HONEST), redis={"save": wrong.save_closed}
    ),
    "save over any version": Mistake((rules.MIXED,), redis={"save": wrong.save_over}),
    "any higher row is durable": Mistake(
        (rules.DURABLE,), store={(operations, "_is_durable"): wrong.any_higher_is_durable}
    ),
    "epochs begin again": Mistake(
        (rules.VERSION,), postgres={"next_version": wrong.epochs_of_the_row}
    ),
    "keep tokens always": Mistake(
        (rules.HONEST,), redis={"fill": wrong.fill_with_tokens}, schedule=LOST_TWICE, seldom=True
    ),
    "remember more than there are": Mistake(
        (rules.HONEST,), store={(operations, "REMEMBERED"): 9}, plan=Plan(kinds=("save", "update"))
    ),
    "full is definite": Mistake(
        (rules.HONEST,),
        store={(operations, "_judge_again"): wrong.full_is_definite},
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
        redis={"purge": wrong.purge_anyway},
        plan=Plan(kinds=("delete", "create", "save")),
    ),
    "a flush settles nothing": Mistake(
        (rules.WEDGED, rules.WINDOW), store={(flushing, "_settle"): wrong.settle_nothing}
    ),
    "what is closed stays closed": Mistake(
        (rules.WEDGED,),
        store={(flushing, "_open"): wrong.open_nothing},
        plan=Plan(kinds=("save", "roll_back", "delete", "flush")),
    ),
    # What the explorer found in the store.
    "persist what others took up": Mistake(
        (rules.DURABLE,),
        store={(operations, "persist"): wrong.persist_what_is_taken_up},
        schedule=TAKEN_UP_BY_ANOTHER,
    ),
    "persist what is deleted": Mistake(
        (rules.DURABLE,),
        store={(operations, "persist"): wrong.persist_without_a_look_at_closed},
        schedule=DELETED_BEFORE,
    ),
    "one token for all fences": Mistake(
        (rules.FENCE,),
        store=everywhere("adopt", wrong.adopt_with_one_token),
        schedule=FILLED_LATE,
        plan=Plan(kinds=("load", "save")),
    ),
    "delete what is not vouched for": Mistake(
        (rules.VERSION,),
        store={(_Deletion, "close"): wrong.close_what_is_expected},
        schedule=NOT_VOUCHED_FOR,
    ),
    "deleted or not, as the second says": Mistake(
        (rules.HONEST,),
        store={(operations, "delete"): wrong.delete_and_say_what_the_second_says},
        schedule=DELETED_UNHEARD,
        plan=Plan(kinds=("delete", "delete_held", "create")),
    ),
    "saved or not, as the second says": Mistake(
        (rules.HONEST,),
        store={(operations, "save"): wrong.save_and_say_what_the_second_says},
        schedule=SAVED_UNHEARD,
        plan=Plan(kinds=("save", "update")),
    ),
    "what the row refuses cannot be loaded": Mistake(
        (rules.WEDGED,),
        store={(operations, "_fence"): wrong.fence_or_fail},
        plan=Plan(kinds=("save", "save_poison", "load", "flush")),
        schedule=REFUSED_AND_RESTARTED,
    ),
}
