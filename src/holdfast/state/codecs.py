"""What a state is in Python, and how it is stored."""

import gc
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import UnionType
from typing import Any, Generic, TypeVar, get_origin

import msgspec

from holdfast.errors import ConfigurationError, InvalidValueError

T = TypeVar("T")
# The escape of a NUL, and not one of a backslash before `u0000`.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


# Without slots: Python 3.11 cannot make StateCodec[Board](…) of a frozen one that has them.
@dataclass(frozen=True, kw_only=True)
class StateCodec(Generic[T]):
    """Makes JSON of a state, and a state of JSON.

    Attributes:
        encode: gives JSON in UTF-8; the same for the same state.
        kind: what a state is an instance of, and not of a subclass (`object` for anything, `dict`
            for any mapping of that kind).
        decode: gives the state of such JSON, also after PostgreSQL has put its keys into another
            order; raises where it is none. What is saved is decoded once before.
    """

    encode: Callable[[T], bytes]
    decode: Callable[[bytes], T]
    kind: type = object


def codec_of(state: Any) -> StateCodec[Any]:
    """Give the codec of a type, or the given one.

    Args:
        state: a msgspec Struct, pydantic model, dataclass, TypedDict, dict, or a StateCodec.

    Raises:
        ConfigurationError: neither msgspec nor pydantic makes it from JSON.
    """
    if isinstance(state, StateCodec):
        return state
    pydantic = sys.modules.get("pydantic")  # where it was not imported, nothing is of it
    if pydantic and isinstance(state, type) and issubclass(state, pydantic.BaseModel):
        adapter = pydantic.TypeAdapter(state)
        return StateCodec(encode=adapter.dump_json, decode=adapter.validate_json, kind=state)
    try:
        decoder = msgspec.json.Decoder(state)
    except Exception as error:
        raise ConfigurationError(
            f"codec: {state!r} is no type of states: {error}; give a msgspec Struct, pydantic "
            "model, dataclass, TypedDict or dict, or a StateCodec"
        ) from error
    kind = get_origin(state) or state
    if not isinstance(kind, type) or kind is UnionType:
        kind = object
    elif dict in kind.__mro__:
        kind = dict  # a TypedDict is no class to ask for
    return StateCodec(encode=msgspec.json.Encoder().encode, decode=decoder.decode, kind=kind)


def encode(codec: StateCodec[T], key: str, value: T, most: int) -> bytes:
    """Give the JSON of a state.

    Raises:
        InvalidValueError: it cannot be encoded, decoded again or stored, or is too large.
    """
    kind = codec.kind
    # One of a subclass would be loaded without what that has more.
    if not isinstance(value, kind) if kind in {object, dict} else type(value) is not kind:
        raise InvalidValueError(
            f"is a {type(value).__name__}, no {kind.__name__}: save() takes the state itself, and "
            "what changes a state returns it as well",
            key,
        )
    try:
        text = codec.encode(value)
        text.decode()  # PostgreSQL takes text
    except Exception as error:
        raise InvalidValueError(f"cannot be encoded: {error}", key) from error
    try:
        # Encoders look at less than decoders: a text in place of a number, NaN as null, ….
        _decode(codec, text)
    except Exception as error:
        said = " ".join(str(error).split())
        raise InvalidValueError(f"could not be loaded again: {said}", key) from error
    if len(text) > most:
        raise InvalidValueError(
            f"takes {len(text):,} bytes, more than max_bytes of the store's policy, {most:,}", key
        )
    if b"\\u0000" in text and _NUL.search(text):
        raise InvalidValueError(
            "has a NUL character in it, which PostgreSQL does not store; remove it", key
        )
    return text


def decode(codec: StateCodec[T], key: str, text: bytes) -> T:
    """Give the state of stored JSON.

    Raises:
        InvalidValueError: it is no such state.
    """
    try:
        return _decode(codec, text)
    except Exception as error:
        raise InvalidValueError(
            f"holds what is no state of this store: {' '.join(str(error).split())}; mend the row, "
            "or let the codec take the old form, and load it again",
            key,
        ) from error


def _decode(codec: StateCodec[T], text: bytes) -> T:
    """Decode without collecting garbage meanwhile: of 200 kB it would be half of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        return codec.decode(text)
    finally:
        if collecting:
            gc.enable()
