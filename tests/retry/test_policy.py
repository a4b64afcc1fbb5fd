"""When there is another attempt, and after how long: no server, and a clock of the test's own."""

import asyncio
import logging
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import DBAPIError

from holdfast.errors import ConfigurationError, HoldfastError, UnavailableError
from holdfast.events import Event, Events
from holdfast.retry import TRANSIENT, Kind, Retried, RetryPolicy, classify, retry

SECONDS = st.floats(min_value=0.01, max_value=100)


class ServerError(Exception):
    """An error with an SQLSTATE, as drivers have them."""

    def __init__(self, sqlstate: str | None) -> None:
        super().__init__("the server said no")
        self.sqlstate = sqlstate


def wrapped(sqlstate: str | None, *, lost: bool = False) -> DBAPIError:
    """Give the error as SQLAlchemy does."""
    return DBAPIError("SELECT 1", None, ServerError(sqlstate), connection_invalidated=lost)


CONFLICT, LOST, STALE = wrapped("40001"), wrapped(None, lost=True), wrapped("26000")


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        patch.setattr(asyncio, "sleep", self.sleep)
        patch.setattr(time, "monotonic", lambda: self.now)

    async def sleep(self, seconds: float) -> None:
        """Let the time pass, at least a thousandth: no attempt takes none."""
        self.slept.append(seconds)
        self.now += max(seconds, 0.001)


@pytest.fixture
def clock(monkeypatch) -> Clock:
    """Give the time."""
    return Clock(monkeypatch)


def failing(*errors: BaseException) -> Callable[[], "asyncio.Future[str]"]:
    """Give an attempt that fails with each error in turn, and then succeeds."""
    left = list(errors)

    async def attempt() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return attempt


def endless(error: Exception) -> Callable[[], "asyncio.Future[str]"]:
    async def attempt() -> str:
        raise error

    return attempt


async def ends_in(error: BaseException, *errors: BaseException, **policy: object) -> None:
    """Prove that the attempts end in this error, itself and not another one."""
    with pytest.raises(type(error)) as caught:
        await retry(failing(*errors), policy=RetryPolicy(**policy))
    assert caught.value is error


def test_the_defaults():
    """Once after a lost connection, a second later; conflicts for five seconds; no question."""
    assert RetryPolicy() == RetryPolicy(
        reconnects=1, reconnect_delay=1.0, conflict_budget=5.0, conflict_delay=0.02, resolve=False
    )


@pytest.mark.parametrize("error", [LOST, wrapped("57P01"), wrapped("08006"), wrapped("57P03")])
async def test_a_lost_connection_once_more(clock, error):
    """One more attempt after reconnect_delay, which is slept and not spun."""
    assert await retry(failing(error), policy=RetryPolicy()) == "done"

    assert clock.slept == [1.0]


async def test_a_connection_lost_twice(clock):
    """Then the error comes out, and says how often it was tried."""
    second = wrapped(None, lost=True)

    await ends_in(second, LOST, second)

    assert clock.slept == [1.0]
    assert second.__notes__ == ["work was tried 2 times"]


async def test_as_often_as_the_policy_says(clock):
    """No attempt more, and none at all with 0."""
    assert await retry(failing(LOST, LOST, LOST), policy=RetryPolicy(reconnects=3)) == "done"
    assert clock.slept == [1.0, 1.0, 1.0]

    await ends_in(LOST, LOST, reconnects=0)


async def test_a_stale_plan_once_at_once(clock):
    """The plan is made anew, so there is nothing to wait for, and no reason for a third attempt."""
    assert await retry(failing(STALE), policy=RetryPolicy()) == "done"
    await ends_in(STALE, STALE, STALE)

    assert clock.slept == [0.0, 0.0]


async def test_no_budget_is_no_second_attempt(clock):
    """Then a conflict is as final as any other error."""
    await ends_in(CONFLICT, CONFLICT, conflict_budget=0)


async def test_each_kind_counts_for_itself(clock):
    """A conflict does not use up the attempt after a lost connection."""
    assert await retry(failing(CONFLICT, STALE, LOST, CONFLICT), policy=RetryPolicy()) == "done"


@given(delay=SECONDS, budget=SECONDS)
def test_conflicts_are_tried_until_the_budget_is_used_up(delay, budget):
    """Each wait is between half and all of twice the one before; the last ends in the budget."""
    policy = RetryPolicy(conflict_delay=delay, conflict_budget=budget)
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock(patch)
        with asyncio.Runner() as runner, pytest.raises(DBAPIError):
            runner.run(retry(endless(wrapped("40001")), policy=policy))

    for number, slept in enumerate(clock.slept):
        most = delay * 2 ** min(number, 30)
        assert most / 2 <= slept <= most
    assert sum(clock.slept) <= budget
    # It did not give up early, either.
    assert budget - sum(clock.slept) <= delay * 2 ** min(len(clock.slept), 30) + 0.001 * len(
        clock.slept
    )


async def test_the_wait_is_left_to_chance(clock):
    """Those who were in each other's way do not come back at the same moment."""
    policy = RetryPolicy(conflict_delay=1.0)
    for _ in range(20):
        await retry(failing(CONFLICT), policy=policy)

    assert len(set(clock.slept)) == 20


async def test_no_wait_and_a_thousand_conflicts(clock):
    """Doubling for ever would end in a number that is none."""
    policy = RetryPolicy(conflict_delay=0)

    assert await retry(failing(*[CONFLICT] * 2000), policy=policy) == "done"


@pytest.mark.parametrize(
    "error", [LOST, CONFLICT, STALE, wrapped("23505")], ids=["lost", "conflict", "stale", "unique"]
)
async def test_what_is_told(clock, error):
    """Each attempt that is followed by another is an event, with its reason and without values."""
    told: list[Event] = []
    with_events = {"policy": RetryPolicy(), "name": "buy", "events": Events(told.append)}
    if classify(error) is None:
        with pytest.raises(DBAPIError):
            await retry(failing(error), **with_events)
        assert told == []
        return

    await retry(failing(error), **with_events)

    [event] = told
    assert isinstance(event, Retried)
    assert (event.work, event.attempt, event.level) == ("buy", 1, logging.WARNING)
    assert event.reason == classify(error).kind.value
    assert event.delay == round(clock.slept[0], 3)
    assert "the server said no" not in str(event)


@pytest.mark.parametrize(
    "error",
    [
        OSError("the disk of somebody's own"),
        TimeoutError(),
        ConnectionError(),
        HoldfastError("40001"),
        UnavailableError("the pool is used up"),
        ValueError(),
        wrapped("23505"),
        wrapped("57014"),
        wrapped("55P03"),
        wrapped("XX000"),
        wrapped(None),
    ],
    ids=repr,
)
async def test_what_is_not_run_again(error):
    """The caller's own errors, and what would fail again, come out of the first attempt."""
    assert classify(error) is None
    await ends_in(error, error)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
async def test_who_wants_to_end_is_not_held_up(error):
    """BaseExceptions pass at once, even those that carry a lost connection."""

    class Ending(error):
        connection_invalidated = True

    ending = Ending()
    await ends_in(ending, ending)


class TestGroups:
    """An ExceptionGroup, as a TaskGroup inside the work raises it."""

    @pytest.mark.parametrize(
        ("errors", "kind"),
        [
            ([LOST], Kind.LOST),
            ([CONFLICT, LOST, STALE], Kind.LOST),
            ([STALE, CONFLICT], Kind.CONFLICT),
            ([ExceptionGroup("inner", [STALE]), STALE], Kind.STALE_PLAN),
        ],
    )
    def test_all_of_it_may_be_run_again(self, errors, kind):
        """So may the group, after the longest wait that one of them asks for."""
        assert classify(ExceptionGroup("outer", errors)).kind is kind

    @pytest.mark.parametrize("errors", [[LOST, ValueError()], [ExceptionGroup("", [OSError()])]])
    def test_one_of_it_may_not(self, errors):
        """A fault of its own would be there again."""
        assert classify(ExceptionGroup("outer", errors)) is None


def test_each_reason_is_a_sentence_part_about_safety():
    """What is in the table may be run again, and says why."""
    for state, transient in TRANSIENT.items():
        assert classify(wrapped(state)) is transient
        assert len(transient.reason.split()) > 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("reconnects", -1),
        ("reconnects", True),
        ("reconnects", 1.0),
        ("reconnect_delay", -1),
        ("conflict_budget", float("nan")),
        ("conflict_delay", "1"),
        ("resolve", 1),
    ],
)
def test_a_policy_that_cannot_be(name, value):
    """The field is named, when the policy is made."""
    with pytest.raises(ConfigurationError, match=name):
        RetryPolicy(**{name: value})
