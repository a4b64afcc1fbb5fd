"""How a value is judged: passed on, or refused with a reason that does not show it."""

import enum
from collections.abc import Callable
from typing import Any, NoReturn

Check = Callable[[Any], Any]
Refuse = Callable[[str], NoReturn]


class Use(enum.Enum):
    """What a value is for. The less is known of that, the less can be wrong with it."""

    STORED = enum.auto()  # in a column
    COMPARED = enum.auto()  # with a column
    OTHER = enum.auto()


def judging(wrong: Callable[[Any], str | None], refuse: Refuse) -> Check:
    """Give a check from what says what is wrong; None passes, which is for the server to say."""

    def judge(value: Any) -> Any:
        if value is not None and (reason := wrong(value)):
            refuse(reason)
        return value

    return judge


def no(value: object, wanted: str) -> str:
    """Say that a value is of a wrong type."""
    return f"is of type {type(value).__name__}, and has to be {wanted}"
