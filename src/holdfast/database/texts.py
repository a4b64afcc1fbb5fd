"""What text must be like, and what else is given as text or bytes."""

import enum
import math
import re
from typing import Any
from uuid import UUID

from sqlalchemy import types

from holdfast.database.judging import Check, Refuse, Use, judging, no

_DIGITS_OF_UUID = re.compile(r"[0-9a-f]{8}(-?)(?:[0-9a-f]{4}\1){3}[0-9a-f]{12}", re.IGNORECASE)


def text(kind: types.String, use: Use, refuse: Refuse) -> Check:
    """Give the check of text: characters that PostgreSQL stores, and no more than it has room for.

    In a comparison a longer one is found by no engine.
    """
    most: float = math.inf
    if use is Use.STORED and kind.length is not None and not isinstance(kind, types.Text):
        most = kind.length
    judge = judging(lambda value: _wrong_text(value, most), refuse)

    def check(value: Any) -> Any:
        # What nearly all are, in as little time as can be.
        if type(value) is str and value.isascii() and "\0" not in value and len(value) <= most:
            return value
        return judge(value)

    return check


def text_of_any_type(refuse: Refuse) -> Check:
    """Give the check of values whose type is not known: what is text has to be storable."""
    judge = judging(lambda value: _wrong_text(value, math.inf), refuse)
    return lambda value: judge(value) if isinstance(value, str) else value


def key_in_json(_kind: object, _use: Use, refuse: Refuse) -> Check:
    """Give the check of a key, or a path of keys and numbers."""
    check = text_of_any_type(refuse)

    def look(value: Any) -> Any:
        for each in value if isinstance(value, list | tuple) else [value]:
            check(each)
        return value

    return look


def member(kind: types.Enum, use: Use, refuse: Refuse) -> Check:
    """Give the check of an enum's members, whose names SQLAlchemy takes as well."""
    known = frozenset((*kind.enums, *(kind.enum_class or ())))
    name = kind.name if kind.enum_class is None else kind.enum_class.__name__

    def wrong(value: object) -> str | None:
        if isinstance(value, str | int | enum.Enum) and value in known:
            return None
        if isinstance(value, str) and use is Use.OTHER:
            return _wrong_text(value, math.inf)  # a pattern, for one
        return f"is no {name or 'member'}; it has {', '.join(map(repr, kind.enums))}"

    return judging(wrong, refuse)


def uuid(kind: types.Uuid[Any], _use: Use, refuse: Refuse) -> Check:
    """Give the check of UUIDs, as objects or text as the type has them."""
    if not kind.as_uuid:
        return judging(_wrong_digits, refuse)
    judge = judging(lambda it: None if isinstance(it, UUID) else no(it, "a uuid.UUID"), refuse)
    return lambda value: value if type(value) is UUID else judge(value)


def binary(_kind: object, _use: Use, refuse: Refuse) -> Check:
    """Give the check of bytes."""

    def wrong(value: object) -> str | None:
        return None if isinstance(value, bytes | bytearray | memoryview) else no(value, "bytes")

    return judging(wrong, refuse)


def _wrong_text(value: object, most: float) -> str | None:
    if not isinstance(value, str):
        return no(value, "a str")
    if (at := value.find("\0")) >= 0:
        return f"has a NUL character at index {at}, which PostgreSQL does not store; remove it"
    try:
        value.encode()
    except UnicodeEncodeError as error:
        return f"has half of a surrogate pair at index {error.start}, which no text has; remove it"
    if len(value) > most:
        return f"has {len(value)} characters, and its type has room for {most}; shorten it"
    return None


def _wrong_digits(value: object) -> str | None:
    is_one = isinstance(value, str) and _DIGITS_OF_UUID.fullmatch(value)
    return None if is_one else no(value, "a str with the 32 digits of a UUID")
