"""Refuse values that PostgreSQL cannot keep, before any statement is sent."""

import math
from collections.abc import Iterator

from faceplate.errors import InvalidInputError

_DEEPEST = 100  # levels; what is nested deeper is a mistake, or meant to do harm


def is_storable(text: str) -> bool:
    """Tell whether PostgreSQL can keep a text: no zero character, no half of a character."""
    return "\0" not in text and not any("\ud800" <= each <= "\udfff" for each in text)


def checked_object(where: str, value: object) -> dict[str, object]:
    """Give a JSON object back when all of it can be kept as JSONB and read back equal.

    Raises:
        InvalidInputError: it names every place that is wrong.
    """
    if not isinstance(value, dict):
        raise InvalidInputError(f"{where}: it is {_kind(value)}; it has to be an object")
    if problems := list(find_problems(value, where)):
        raise InvalidInputError("; ".join(problems))
    return value


def find_problems(value: object, where: str, level: int = 0) -> Iterator[str]:
    """Name every place of a value that JSONB cannot keep as it is."""
    if level > _DEEPEST:
        yield f"{where}: it is nested deeper than {_DEEPEST} levels"
    elif isinstance(value, dict):
        yield from _in_object(value, where, level)
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from find_problems(each, f"{where}[{number}]", level + 1)
    elif problem := _in_scalar(value):
        yield f"{where}: {problem}"


def _in_object(value: dict[object, object], where: str, level: int) -> Iterator[str]:
    for key, each in value.items():
        if isinstance(key, str) and is_storable(key):
            yield from find_problems(each, f"{where}.{key}", level + 1)
        else:
            yield f"{where}: a key of it is no text that PostgreSQL can keep"


def _in_scalar(value: object) -> str | None:
    if isinstance(value, str):
        return None if is_storable(value) else "a zero or half a character cannot be kept"
    if isinstance(value, float):
        return None if math.isfinite(value) else f"JSON has no number {value}"
    return None if value is None or isinstance(value, int) else f"{_kind(value)} is not JSON"


def _kind(value: object) -> str:
    return "null" if value is None else type(value).__name__
