"""One form for each value, so that what is equal has the same digest on all engines."""

import json
from collections.abc import Callable, Mapping
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from typing import Any

from msgspec.msgpack import Ext

_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)
_SMALL = 18  # digits of a number that msgpack takes


def _document(text: str) -> Any:
    """Read a document so that two with the same contents are equal: 1.0, 1 and 1e0, any order."""
    return json.loads(text, parse_float=_number, parse_int=_number)


def _number(text: str) -> int | Ext:
    if len(text) <= _SMALL and text.isdecimal():
        return int(text)
    number = _EXACT.normalize(Decimal(text))
    exponent = number.as_tuple().exponent
    whole = isinstance(exponent, int) and exponent >= 0 and number.adjusted() < _SMALL
    return int(number) if whole else Ext(1, str(number).encode())


def _decimal(value: Decimal | float) -> str:
    return str(_EXACT.normalize(Decimal(value)))


FORMS: Mapping[str, Callable[[Any], Any]] = {
    "json": _document,
    "decimal": _decimal,
    "float": (0.0).__add__,  # -0.0, which SQLite has not, is 0.0
}
