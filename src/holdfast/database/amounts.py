"""What numbers must be like, and true and false."""

import math
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Context, Decimal
from struct import Struct
from typing import Any

from sqlalchemy import types

from holdfast.database.judging import Check, Refuse, Use, judging, no

# The largest of PostgreSQL's `real` and `double precision`; SQLite has the latter only.
_REAL, _DOUBLE = (2 - 2.0**-23) * 2.0**127, (2 - 2.0**-52) * 2.0**1023
_AS_DECIMALS = {each: Decimal(each) for each in (_REAL, _DOUBLE, math.inf)}  # it takes a while
_REAL_BITS = 24  # FLOAT(24) and less are `real`
_FOUR_BYTES = Struct("f")
_EXACT = Context(prec=2000)  # more digits than a double and a scale have


def whole_number(bits: int, wider: str) -> Callable[[Any, Use, Refuse], Check]:
    """Give what gives the check of ints of a size: drivers round others, or take what is no int.

    Args:
        bits: of the size.
        wider: the type to declare for larger ones.
    """
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1

    def wrong(value: object) -> str | None:
        if not isinstance(value, int) or isinstance(value, bool):
            return no(value, "an int")
        if low <= value <= high:
            return None
        return f"does not fit into {bits} bits, {low} to {high}; declare it as {wider}"

    def make(_kind: object, _use: Use, refuse: Refuse) -> Check:
        judge = judging(wrong, refuse)
        return lambda value: value if type(value) is int and low <= value <= high else judge(value)

    return make


def floating(kind: types.Float[Any], use: Use, refuse: Refuse) -> Check:
    """Give the check of floats; those of four bytes are rounded to them."""
    bits = _REAL_BITS if isinstance(kind, types.REAL) else kind.precision
    largest = _REAL if bits is not None and bits <= _REAL_BITS else _DOUBLE
    judge = judging(lambda value: _wrong_number(value, use, largest), refuse)
    if largest is _REAL:
        return lambda value: value if judge(value) is None else _as_real(value)
    return lambda value: (
        value if type(value) is float and -largest <= value <= largest else judge(value)
    )


def decimal(kind: types.Numeric[Any], use: Use, refuse: Refuse) -> Check:
    """Give the check of decimals; those with a scale are rounded to it, half away from zero.

    With asyncpg SQLAlchemy casts to the type what is compared, too, so that is the same.
    """
    largest = math.inf if use is Use.OTHER else _DOUBLE
    scale, before = kind.scale or 0, (kind.precision or 0) - (kind.scale or 0)
    if use is Use.OTHER or kind.precision is None or before < 0 or scale < 0:
        return judging(lambda value: _wrong_number(value, use, largest), refuse)
    judge = judging(lambda value: _wrong_number(value, Use.STORED, largest), refuse)
    last, room = Decimal(1).scaleb(-scale), Decimal(10**before)

    def fit(value: Any) -> Any:
        if judge(value) is None:
            return None
        rounded = _rounded(value, last)
        if rounded.copy_abs() >= room:
            refuse(f"has more than {before} digits before the point; declare more, or store less")
        return rounded

    return fit


def truth(_kind: object, use: Use, refuse: Refuse) -> Check:
    """Give the check of true and false."""

    def wrong(value: object) -> str | None:
        # Of the numbers SQLAlchemy makes booleans where they are stored, for all drivers.
        is_number = use is Use.STORED and type(value) is int and value in {0, 1}
        return None if is_number or isinstance(value, bool) else no(value, "True or False")

    judge = judging(wrong, refuse)
    return lambda value: value if value is True or value is False else judge(value)


def _wrong_number(value: Any, use: Use, largest: float) -> str | None:
    if not isinstance(value, int | float | Decimal) or isinstance(value, bool):
        return no(value, "an int, a float or a Decimal")
    is_nan = value.is_nan() if isinstance(value, Decimal) else value != value  # noqa: PLR0124
    if is_nan:
        return None if use is Use.OTHER else "is NaN, which SQLite stores as NULL; use None"
    bound = _AS_DECIMALS[largest] if isinstance(value, Decimal) else largest
    if -bound <= value <= bound:
        return None
    if value in {math.inf, -math.inf}:
        infinite = "is infinite, and columns are for finite numbers; use None"
        return infinite if use is Use.STORED else None
    return f"is beyond {largest:.2}, the largest number of its type; store it as text"


# Both round as PostgreSQL does, and SQLite does not.


def _as_real(value: Any) -> float:
    rounded: float = _FOUR_BYTES.unpack(_FOUR_BYTES.pack(value))[0]
    return rounded


def _rounded(value: float | Decimal, last: Decimal) -> Decimal:
    exact = value if isinstance(value, int | Decimal) else repr(float(value))
    return Decimal(exact).quantize(last, ROUND_HALF_UP, _EXACT)
