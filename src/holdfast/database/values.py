"""What a value must be like, so that PostgreSQL and SQLite store it, and find it, the same."""

import enum
import math
from collections.abc import Callable, Hashable
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any, NoReturn
from uuid import UUID

from sqlalchemy import types

Check = Callable[[Any], Any]
Refuse = Callable[[str], NoReturn]
Wrong = Callable[[Any], str | None]

# The largest of PostgreSQL's `real` and `double precision`; SQLite has the latter only.
_REAL, _DOUBLE = (2 - 2.0**-23) * 2.0**127, (2 - 2.0**-52) * 2.0**1023
_EXACT = Context(prec=2000)  # more digits than a double and a scale have
_REAL_BITS = 24  # FLOAT(24) and less are `real`
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  -- from which SQLAlchemy counts intervals on SQLite


class Use(enum.Enum):
    """What a value is for. The less is known of that, the less can be wrong with it."""

    STORED = enum.auto()  # in a column
    COMPARED = enum.auto()  # with a column
    OTHER = enum.auto()


def check(kind: types.TypeEngine[Any], use: Use, refuse: Refuse) -> Check | None:
    """Give what passes a value on or refuses it, None for a type that is not looked at.

    Python's None passes: whether a column takes it is for the server to say.

    Args:
        kind: as PostgreSQL has it; a column of SQLite takes anything.
        use: what the values are for.
        refuse: told what is wrong and what to do, never the value.
    """
    for base, make in _CHECKS:
        if isinstance(kind, base):
            return make(kind, use, refuse)
    return None


def can_compare(one: types.TypeEngine[Any], other: types.TypeEngine[Any]) -> bool:
    """Tell whether PostgreSQL compares values of these types, in doubt it does."""
    families = [_family(one), _family(other)]
    return None in families or families[0] == families[1]


def _family(kind: types.TypeEngine[Any]) -> int | None:
    return next((at for at, family in enumerate(_FAMILIES) if isinstance(kind, family)), None)


def text_of_any_type(refuse: Refuse) -> Check:
    """Give the check of values whose type is not known: what is text has to be storable."""
    judge = _judge(lambda value: _wrong_text(value, math.inf), refuse)
    return lambda value: judge(value) if isinstance(value, str) else value


def _judge(wrong: Wrong, refuse: Refuse) -> Check:
    def judge(value: Any) -> Any:
        if value is not None and (reason := wrong(value)):
            refuse(reason)
        return value

    return judge


def _no(value: object, wanted: str) -> str:
    return f"is of type {type(value).__name__}, and has to be {wanted}"


# Where many values are written, the first test is for what nearly all of them are.


def _text(kind: types.String, use: Use, refuse: Refuse) -> Check:
    limited = use is Use.STORED and kind.length is not None
    most: float = kind.length if limited and kind.length is not None else math.inf
    judge = _judge(lambda value: _wrong_text(value, most), refuse)

    def check(value: Any) -> Any:
        if type(value) is str and value.isascii() and "\0" not in value and len(value) <= most:
            return value
        return judge(value)

    return check


def _wrong_text(value: object, most: float) -> str | None:
    if not isinstance(value, str):
        return _no(value, "a str")
    if (at := value.find("\0")) >= 0:
        return f"has a NUL character at index {at}, which PostgreSQL does not store; remove it"
    try:
        value.encode()
    except UnicodeEncodeError as error:
        return f"has half of a surrogate pair at index {error.start}, which no text has; remove it"
    if len(value) > most:
        return f"has {len(value)} characters, and its type has room for {most}; shorten it"
    return None


def _integer(bits: int, wider: str) -> Callable[[Any, Use, Refuse], Check]:
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1

    def wrong(value: object) -> str | None:
        if not isinstance(value, int) or isinstance(value, bool):
            return _no(value, "an int")
        if low <= value <= high:
            return None
        return f"does not fit into {bits} bits, {low} to {high}; declare it as {wider}"

    def make(_kind: object, _use: Use, refuse: Refuse) -> Check:
        judge = _judge(wrong, refuse)
        return lambda value: value if type(value) is int and low <= value <= high else judge(value)

    return make


def _float(kind: types.Float[Any], use: Use, refuse: Refuse) -> Check:
    bits = _REAL_BITS if isinstance(kind, types.REAL) else kind.precision
    largest = _REAL if bits is not None and bits <= _REAL_BITS else _DOUBLE
    judge = _judge(lambda value: _wrong_number(value, use, largest), refuse)
    return lambda value: (
        value if type(value) is float and -largest <= value <= largest else judge(value)
    )


def _numeric(kind: types.Numeric[Any], use: Use, refuse: Refuse) -> Check:
    largest = math.inf if use is Use.OTHER else _DOUBLE
    judge = _judge(lambda value: _wrong_number(value, use, largest), refuse)
    scale, before = kind.scale or 0, (kind.precision or 0) - (kind.scale or 0)
    if use is not Use.STORED or before <= 0 or scale < 0:
        return judge
    last, room = Decimal(1).scaleb(-scale), Decimal(10**before)

    def fit(value: Any) -> Any:
        if judge(value) is None:
            return None
        rounded = _rounded(value, last)
        if rounded.copy_abs() >= room:
            refuse(f"has more than {before} digits before the point; declare more, or store less")
        return rounded

    return fit


def _rounded(value: float | Decimal, last: Decimal) -> Decimal:
    """Round as PostgreSQL does, which SQLite does not at all."""
    exact = value if isinstance(value, int | Decimal) else repr(float(value))
    return Decimal(exact).quantize(last, ROUND_HALF_UP, _EXACT)


def _wrong_number(value: Any, use: Use, largest: float) -> str | None:
    if not isinstance(value, int | float | Decimal) or isinstance(value, bool):
        return _no(value, "an int, a float or a Decimal")
    if value.is_nan() if isinstance(value, Decimal) else value != value:  # noqa: PLR0124
        return None if use is Use.OTHER else "is NaN, which SQLite stores as NULL; use None"
    if value in {math.inf, -math.inf}:
        return (
            "is infinite, and columns are for finite numbers; use None"
            if use is Use.STORED
            else None
        )
    if -largest <= value <= largest:
        return None
    return f"is beyond {largest:.2}, the largest number of its type; store it as text"


def _boolean(_kind: object, use: Use, refuse: Refuse) -> Check:
    def wrong(value: object) -> str | None:
        # Of the numbers SQLAlchemy makes booleans where they are stored, for all drivers.
        is_number = use is Use.STORED and type(value) is int and value in {0, 1}
        return None if is_number or isinstance(value, bool) else _no(value, "True or False")

    return _judge(wrong, refuse)


def _datetime(kind: types.DateTime, _use: Use, refuse: Refuse) -> Check:
    judge = _judge(_wrong_aware if kind.timezone else _wrong_naive, refuse)
    usual = UTC if kind.timezone else None
    return lambda value: (
        value if type(value) is datetime and value.tzinfo is usual else judge(value)
    )


def _wrong_aware(value: object) -> str | None:
    if not isinstance(value, datetime):
        return _no(value, "a datetime with a time zone")
    if value.utcoffset() is None:
        return "has no time zone; use datetime.now(UTC), or give it the one that is meant"
    try:
        value.astimezone(UTC)
    except OverflowError:
        return "is not within the years 1 to 9999 in UTC"
    return None


def _wrong_naive(value: object) -> str | None:
    if isinstance(value, datetime):
        return None if value.utcoffset() is None else _TAKES_NONE
    return None if isinstance(value, date) else _no(value, "a datetime without a time zone")


def _date(_kind: object, _use: Use, refuse: Refuse) -> Check:
    def wrong(value: object) -> str | None:
        is_date = isinstance(value, date) and not isinstance(value, datetime)
        return None if is_date else _no(value, "a date; of a datetime take its date()")

    return _judge(wrong, refuse)


def _time(kind: types.Time, _use: Use, refuse: Refuse) -> Check:
    def wrong(value: object) -> str | None:
        if not isinstance(value, time):
            return _no(value, "a time")
        if kind.timezone:
            return None if value.utcoffset() is not None else "has no offset from UTC; give it one"
        return None if value.tzinfo is None else _TAKES_NONE

    return _judge(wrong, refuse)


def _interval(_kind: object, _use: Use, refuse: Refuse) -> Check:
    def wrong(value: object) -> str | None:
        if not isinstance(value, timedelta):
            return _no(value, "a timedelta")
        try:
            _EPOCH + value
        except OverflowError:
            return "is beyond what SQLite has room for, the years 1 to 9999 from 1970"
        return None

    return _judge(wrong, refuse)


def _uuid(kind: types.Uuid[Any], _use: Use, refuse: Refuse) -> Check:
    if not kind.as_uuid:
        return _judge(_wrong_text_of_uuid, refuse)
    judge = _judge(_wrong_uuid, refuse)
    return lambda value: value if type(value) is UUID else judge(value)


def _wrong_uuid(value: object) -> str | None:
    return None if isinstance(value, UUID) else _no(value, "a uuid.UUID")


def _wrong_text_of_uuid(value: object) -> str | None:
    try:
        UUID(value if isinstance(value, str) else "")
    except ValueError:
        return _no(value, "a str with the digits of a UUID")
    return None


def _bytes(_kind: object, _use: Use, refuse: Refuse) -> Check:
    def wrong(value: object) -> str | None:
        return None if isinstance(value, bytes | bytearray | memoryview) else _no(value, "bytes")

    return _judge(wrong, refuse)


def _enum(kind: types.Enum, use: Use, refuse: Refuse) -> Check:
    known = frozenset((*kind.enums, *(kind.enum_class or ())))
    name = kind.name if kind.enum_class is None else kind.enum_class.__name__

    def wrong(value: object) -> str | None:
        if isinstance(value, Hashable) and value in known:
            return None
        if isinstance(value, str) and use is Use.OTHER:
            return _wrong_text(value, math.inf)  # a pattern, for one
        return f"is no {name or 'member'}; it has {', '.join(map(repr, kind.enums))}"

    return _judge(wrong, refuse)


def _array(kind: types.ARRAY[Any], use: Use, refuse: Refuse) -> Check:
    element = check(kind.item_type, use, lambda reason: refuse(f"has an element that {reason}"))

    def look(value: Any) -> Any:
        if isinstance(value, list | tuple):
            for each in value:
                look(each)
        elif element is not None:
            element(value)
        return value

    def outer(value: Any) -> Any:
        if value is None or isinstance(value, list | tuple):
            return look(value)
        return refuse(_no(value, "a list"))

    return outer


_TAKES_NONE = "has a time zone, and its type has none; take it away, or declare timezone=True"
_FAMILIES: tuple[tuple[type[Any], ...], ...] = (
    (types.String,),
    (types.Integer, types.Float, types.Numeric),
    (types.Boolean,),
    (types.DateTime, types.Date),
    (types.Uuid,),
    (types.LargeBinary,),
)
# A type before those that it is a kind of.
_CHECKS: tuple[tuple[type[Any], Callable[[Any, Use, Refuse], Check]], ...] = (
    (types.Enum, _enum),
    (types.String, _text),
    (types.SmallInteger, _integer(16, "Integer")),
    (types.BigInteger, _integer(64, "Numeric")),
    (types.Integer, _integer(32, "BigInteger")),
    (types.Float, _float),
    (types.Numeric, _numeric),
    (types.Boolean, _boolean),
    (types.DateTime, _datetime),
    (types.Date, _date),
    (types.Time, _time),
    (types.Interval, _interval),
    (types.Uuid, _uuid),
    (types.LargeBinary, _bytes),
    (types.ARRAY, _array),
)
