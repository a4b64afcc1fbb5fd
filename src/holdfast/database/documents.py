"""JSON on its way into a database and back."""

import json
import re
from typing import Any

import msgspec

from holdfast.errors import InvalidValueError

_BEYOND = 1 << 63  # what SQLite has no whole numbers for
_decode = msgspec.json.decode
_encode_compactly = msgspec.json.Encoder().encode
# JSON has no NaN: PostgreSQL refuses it, SQLite would store what nothing can read.
# Not `json.dumps`, which makes an encoder for each value when it is told anything.
_encode = json.JSONEncoder(allow_nan=False).encode
# A backslash that was escaped and a whole surrogate pair are passed over; the rest is no text.
_ESCAPED = re.compile(
    r"\\\\|\\ud[89ab]..\\ud[c-f]..|(?P<nul>\\u0000)|(?P<half>\\ud[89a-f]..)", re.DOTALL
)


def dumps(value: object) -> str:
    """Encode a document, as `json.dumps` does.

    Raises:
        InvalidValueError: it has what is no JSON, or what PostgreSQL does not store.
    """
    try:
        text = _encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidValueError(f"cannot be written as JSON: {error}") from None
    if "\\u0000" in text or "\\ud" in text:
        _require_text(text)
    if isinstance(value, int) and not -_BEYOND <= value < _BEYOND:
        raise InvalidValueError(
            "is a number past 64 bits, which SQLite rounds where it is the whole document; put it "
            "into a list, or store it as text"
        )
    return text


def dumps_compactly(value: object) -> str:
    """Encode a document several times as fast, without spaces and escapes.

    Not for SQLite, which stores the text and compares it.

    Raises:
        InvalidValueError: as `dumps`.
    """
    try:
        encoded = _encode_compactly(value)
        # Of NaN msgspec makes null, of a time text, and much else that is no JSON.
        same = _decode(encoded) == value
    except Exception:  # noqa: BLE001  -- also of a comparison; the standard library says it better
        same = False
    if not same or b"\\u0000" in encoded or isinstance(value, int):
        return dumps(value)
    return encoded.decode()


def loads(text: str) -> Any:
    """Decode a document, as `json.loads` does and several times as fast."""
    try:
        return _decode(text)
    except (msgspec.DecodeError, UnicodeError, TypeError, RecursionError):
        # Numbers past a float's range, half of a surrogate pair, kinds of str: the standard library
        # takes more.
        return json.loads(text)


def _require_text(written: str) -> None:
    for found in _ESCAPED.finditer(written):
        if found["nul"]:
            raise InvalidValueError(
                "has a NUL character in it, which PostgreSQL does not store; remove it"
            )
        if found["half"]:
            raise InvalidValueError(
                "has half of a surrogate pair in it, which no text has; remove it"
            )
