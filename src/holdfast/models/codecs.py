"""What a document is in Python: made from JSON and checked by msgspec or pydantic."""

import math
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Generic, TypeVar, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec
import msgspec.inspect

from holdfast.errors import ConfigurationError, InvalidValueError

T = TypeVar("T")
_BEYOND = 1 << 63  # what SQLite has no whole numbers for
# What a wrong document raises: wrong values (also pydantic's ValidationError, msgspec's, and half
# of a surrogate pair), and types or depths that cannot be encoded.
_WRONG = (ValueError, TypeError, RecursionError)
# What JSON has text for, so that it differs from text where no schema says that it is none.
_KEPT = (bytes, bytearray, datetime, date, time, timedelta, Decimal, UUID)


@dataclass(frozen=True, slots=True)
class Codec(Generic[T]):
    """Makes JSON of a document, and a document of JSON.

    Attributes:
        name: of the schema, for messages.
        kind: what a document is an instance of.
        encode: gives JSON text.
        mark: gives what is the same as long as a document is not changed.
        plain: gives what a document is made of, without classes that have no `__eq__`.
        decode: gives a document that fits the schema, or raises one of `_WRONG`.
        build: the same, of what JSON was decoded to without a schema.
    """

    name: str
    kind: type
    encode: Callable[[Any], str]
    mark: Callable[[Any], bytes]
    plain: Callable[[Any], object]
    decode: Callable[[str], T]
    build: Callable[[Any], T]

    def text(self, value: T) -> str:
        """Give the JSON of a document that comes back as it is.

        Raises:
            InvalidValueError: it does not fit, or would come back as something else.
        """
        if not isinstance(value, self.kind):
            raise InvalidValueError(
                f"is a {type(value).__name__}, no {self.name}; make it one before it is assigned"
            )
        try:
            text = self.encode(value)
            back = self.decode(text)
        except _WRONG as error:
            raise InvalidValueError(
                f"is no {self.name}: {_reason(error)}{self._hint(value)}"
            ) from None
        if "\\u0000" in text and any("\0" in each for each in _texts(self.plain(value))):
            raise InvalidValueError(
                "has a NUL character in it, which PostgreSQL does not store; remove it"
            )
        if isinstance(value, int) and not -_BEYOND <= value < _BEYOND:
            raise InvalidValueError(
                "is a number past 64 bits, which SQLite rounds where it is the whole document; put "
                "it into a list, or store it as text"
            )
        if back != value:
            self._require_same(value, back, text)
        return text

    def load(self, text: str) -> T:
        """Give the document of a stored text.

        Raises:
            InvalidValueError: it does not fit the schema.
        """
        return self._fitting(self.decode, text)

    def convert(self, value: object) -> T:
        """Give the document of what a driver has decoded.

        Raises:
            InvalidValueError: it does not fit the schema.
        """
        return self._fitting(self.build, value)

    def fingerprint(self, value: object) -> bytes | None:
        """Give what differs when a document was changed, None where it cannot be stored."""
        try:
            return self.mark(value)
        except _WRONG:
            return None

    def _fitting(self, make: Callable[[Any], T], stored: object) -> T:
        try:
            return make(stored)
        except _WRONG as error:
            raise InvalidValueError(
                f"holds a document that is no {self.name}: {_reason(error)}; mend the row, or let "
                "the schema take both forms"
            ) from None

    def _hint(self, value: object) -> str:
        """Say why a float is null to msgspec and pydantic."""
        try:
            infinite = _has_infinity(self.plain(value))
        except _WRONG:  # what is wrong is said already
            return ""
        return "; NaN and infinities are null in JSON" if infinite else ""

    def _require_same(self, value: T, back: T, text: str) -> None:
        if type(value) is not type(back):
            raise InvalidValueError(
                f"is a {type(value).__name__}, no {self.name}; make it one first"
            )
        made_of = self.plain(value)
        if _has_infinity(made_of):
            raise InvalidValueError("has NaN or an infinity in it, which JSON has not; use None")
        # Classes without an __eq__ of their own are compared by what they are made of.
        has_own = isinstance(value, list | dict)
        if has_own or self.encode(back) != text or self.plain(back) != made_of:
            raise InvalidValueError(
                f"would come back as another {self.name}: JSON has text for keys, lists and no "
                "tuples, the schema drops keys that it does not name, and a secret is written as "
                "asterisks"
            )


def codec(schema: Any) -> Codec[Any]:
    """Give the codec of a schema.

    Raises:
        ConfigurationError: neither msgspec nor pydantic can make it from JSON.
    """
    name = getattr(schema, "__name__", str(schema)) if not get_args(schema) else str(schema)
    try:
        parts = list(_mentioned(schema))
        if any(map(_is_pydantic, parts)):
            _refuse_structs(parts)
            return _by_pydantic(schema, name)
        encoder, decoder = msgspec.json.Encoder(), msgspec.json.Decoder(schema)
        mark = _marker(schema, encoder)
    except Exception as error:
        raise ConfigurationError(
            f"typed_json({name}): {error}; a schema is a pydantic model, dataclass, TypedDict, "
            "msgspec Struct, or list or dict of what these can hold"
        ) from error
    return Codec(
        name,
        _kind(schema),
        mark=mark,
        plain=partial(msgspec.to_builtins, builtin_types=_KEPT, order="deterministic"),
        encode=lambda value: encoder.encode(value).decode(),
        decode=decoder.decode,
        build=partial(msgspec.convert, type=schema, str_keys=True),
    )


def _marker(schema: Any, encoder: msgspec.json.Encoder) -> Callable[[Any], bytes]:
    if "DateTimeType" in repr(msgspec.inspect.type_info(schema)):
        return encoder.encode  # MessagePack has times without their zone
    pack = msgspec.msgpack.Encoder().encode

    def mark(value: Any) -> bytes:
        # Half of what JSON costs, and NaN is not None there, nor 1 as a key "1".
        try:
            return pack(value)
        except OverflowError:  # an integer past 64 bits
            return encoder.encode(value)

    return mark


def _by_pydantic(schema: Any, name: str) -> Codec[Any]:
    import pydantic  # noqa: PLC0415  -- an extra, and here in use

    adapter = pydantic.TypeAdapter(schema)

    def dump(value: Any) -> bytes:
        # It warns of what does not fit, with the value; reading it back tells as well.
        return adapter.dump_json(value, by_alias=True, warnings=False)

    def build(value: Any) -> Any:
        try:
            return adapter.validate_python(value)
        except pydantic.ValidationError:
            # A strict schema takes text for times and the like in JSON only.
            return adapter.validate_json(msgspec.json.encode(value))

    return Codec(
        name,
        _kind(schema),
        mark=dump,
        plain=partial(adapter.dump_python, warnings=False),
        encode=lambda value: dump(value).decode(),
        decode=adapter.validate_json,
        build=build,
    )


def _kind(schema: Any) -> type:
    kind = get_origin(schema) or schema
    if not isinstance(kind, type):
        return object
    return dict if dict in kind.__mro__ else kind  # a TypedDict is no class for isinstance()


def _is_pydantic(each: object) -> bool:
    pydantic = sys.modules.get("pydantic")  # where it was not imported, nothing is of it
    if pydantic is None:
        return False
    if not isinstance(each, type):  # of Annotated: msgspec passes over what it does not know
        return type(each).__module__.partition(".")[0] in {"annotated_types", "pydantic"}
    marks = ("__pydantic_validator__", "__pydantic_config__")
    return issubclass(each, pydantic.BaseModel) or any(hasattr(each, name) for name in marks)


def _refuse_structs(parts: Iterable[object]) -> None:
    for each in parts:
        if isinstance(each, type) and issubclass(each, msgspec.Struct):
            raise TypeError(
                f"pydantic does not know {each.__name__}, a Struct, nor msgspec what is pydantic's "
                "here; write msgspec.Meta there, or make it a dataclass"
            )


def _mentioned(schema: Any) -> Iterator[object]:
    """Give a schema and all that it is made of, each once."""
    found = [schema]
    for each in found:
        yield each
        hints = get_type_hints(each, include_extras=True) if isinstance(each, type) else {}
        known = set(map(id, found))  # what is annotated need not have a hash
        parts = (get_origin(each), *get_args(each), *hints.values())
        found += (part for part in parts if id(part) not in known)


def _reason(error: BaseException) -> str:
    """Say what is wrong and where, not the value: pydantic's own text has it."""
    errors = getattr(error, "errors", None)
    if errors is None:
        return "it nests too deep" if isinstance(error, RecursionError) else str(error)
    found = errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{_path(each['loc'])}: {each['msg']}" for each in found)


def _path(steps: tuple[object, ...]) -> str:
    return "$" + "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in steps)


def _has_infinity(value: object) -> bool:
    return any(isinstance(each, float) and not math.isfinite(each) for each in _all(value))


def _all(value: object) -> Iterator[object]:
    yield value
    if isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from _all(each)
    elif isinstance(value, list | tuple | set | frozenset):
        for each in value:
            yield from _all(each)


def _texts(value: object) -> Iterator[str]:
    return (each for each in _all(value) if isinstance(each, str))
