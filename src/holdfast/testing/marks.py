"""What a test asks for with `@pytest.mark.holdfast(…)`."""

from dataclasses import dataclass, fields
from typing import Literal, get_args

import pytest

Isolation = Literal["sandbox", "database"]
Role = Literal["app", "owner"]

SYNTAX = (
    'holdfast(isolation="sandbox"|"database", role="app"|"owner", leaks=True|False): how the '
    "database of this test is kept apart from others, as whom it is used, and whether what the "
    "test leaves behind fails it"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """The marks of a test and of what it is in, the nearest last.

    Attributes:
        isolation: everything in one transaction, or a database of its own.
        role: the one that applications have, or the one that migrates.
        leaks: whether what the test leaves behind fails it.
    """

    isolation: Isolation = "sandbox"
    role: Role = "app"
    leaks: bool = True

    @property
    def problem(self) -> str:
        """What is wrong with a value, if anything is."""
        allowed = {"isolation": get_args(Isolation), "role": get_args(Role), "leaks": (True, False)}
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                choice = " or ".join(map(repr, values))
                return f"{name} is {getattr(self, name)!r}; it is {choice}"
        return ""


def read_mark(node: pytest.Item | pytest.Collector) -> Mark:
    """Give what the marks of a test ask for.

    Raises:
        Failed: they have something that there is not.
    """
    marks = [*node.iter_markers("holdfast")][::-1]
    given = {name: value for mark in marks for name, value in mark.kwargs.items()}
    known = [field.name for field in fields(Mark)]
    problem = next((f"there is no {name}" for name in given if name not in known), "")
    if any(mark.args for mark in marks):
        problem = "its arguments have names"
    mark = Mark() if problem else Mark(**given)
    if problem := problem or mark.problem:
        pytest.fail(f"{node.nodeid}: @pytest.mark.{SYNTAX}. Here {problem}", pytrace=False)
    return mark
