"""What a value must be like, so that PostgreSQL and SQLite store it, and find it, the same."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import types

from holdfast.database import amounts, moments, texts
from holdfast.database.judging import Check, Refuse, Use, no


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


def _array(kind: types.ARRAY[Any], _use: Use, refuse: Refuse) -> Check:
    # SQLAlchemy casts all of it to the type, which would cut what is too long.
    element = check(
        kind.item_type, Use.STORED, lambda reason: refuse(f"has an element that {reason}")
    )

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
        return refuse(no(value, "a list"))

    return outer


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
    (types.Enum, texts.member),
    (types.String, texts.text),
    (types.SmallInteger, amounts.whole_number(16, "Integer")),
    (types.BigInteger, amounts.whole_number(64, "Numeric")),
    (types.Integer, amounts.whole_number(32, "BigInteger")),
    (types.Float, amounts.floating),
    (types.Numeric, amounts.decimal),
    (types.Boolean, amounts.truth),
    (types.DateTime, moments.datetime),
    (types.Date, moments.date),
    (types.Time, moments.time),
    (types.Interval, moments.interval),
    (types.Uuid, texts.uuid),
    (types.LargeBinary, texts.binary),
    (types.ARRAY, _array),
    (types.JSON.JSONElementType, texts.key_in_json),
)
