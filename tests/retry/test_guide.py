"""The guide's page says what the code does."""

import re
from dataclasses import fields
from pathlib import Path

from holdfast.retry import TRANSIENT, Kind, RetryPolicy

PAGE = (Path(__file__).parents[2] / "docs/guide/retry.md").read_text(encoding="utf-8")
STATE = re.compile(r"`([0-9A-Z]{5})`")
ROWS = re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|", PAGE, re.MULTILINE)
UNREACHED = "nothing was sent to the server"


def states(words: str) -> set[str]:
    """Give the SQLSTATEs of the table's row that begins with these words."""
    [named] = [named for what, named in ROWS if what.startswith(words)]
    return set(STATE.findall(named))


def listed(kind: Kind, *, unreached: bool = False) -> set[str]:
    return {
        state
        for state, transient in TRANSIENT.items()
        if transient.kind is kind and (transient.reason == UNREACHED) == unreached
    }


def test_every_state_is_in_its_row():
    """What is run again is what the page says, no more and no less."""
    assert states("the connection was lost") == listed(Kind.LOST)
    assert states("no connection could be made") == listed(Kind.LOST, unreached=True)
    assert states("another transaction") == listed(Kind.CONFLICT)
    assert states("a cached plan") - {"0A000"} == listed(Kind.STALE_PLAN)  # told by its function


def test_every_field_of_the_policy_is_there():
    """With its default, where that is a time."""
    for field in fields(RetryPolicy):
        assert field.name in PAGE
    for said in ("`reconnects` times (1)", "`reconnect_delay` (1 s)", "`conflict_delay` (20 ms)"):
        assert said in PAGE
    assert "`conflict_budget` (5 s)" in PAGE
