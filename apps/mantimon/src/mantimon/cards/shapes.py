"""Compare a JSON document with the type it should have, and go on after the first difference."""

from collections.abc import Iterator
from enum import EnumMeta
from typing import Any, Final, TypeVar, get_args

import msgspec

NOT_JSON: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_KINDS: Final = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): "null",
}
_S = TypeVar("_S", bound=msgspec.Struct)


def decoded(content: bytes) -> tuple[object, str]:
    """Give the JSON value of `content` and "", or `None` and where and why it is not JSON."""
    try:
        return msgspec.json.decode(content), ""
    except RecursionError:
        return None, "is nested too deeply to be read"
    except UnicodeDecodeError as error:
        return None, f"is not UTF-8 at {_place(content, error.start)}"
    except msgspec.DecodeError as error:
        reason, _, byte = str(error).partition(" (byte ")
        offset = int(byte.rstrip(")")) if byte else len(content)
        reason = reason.removeprefix("JSON is malformed: ")
        return None, f"is not JSON at {_place(content, offset)}: {reason}"


def kind_of(value: object) -> str:
    """Name the kind of JSON value that `value` is, with its article."""
    return _KINDS[type(value)]


def field_problems(
    value: object, struct: type[msgspec.Struct], at: str = ""
) -> Iterator[tuple[str, str]]:
    """Yield each field of `value` that keeps it from being a `struct`, and what is wrong with it.

    Nested objects are looked into; `at` is where `value` stands, and opens the fields' names.
    """
    if not isinstance(value, dict):
        yield at, f"is {kind_of(value)}, not an object"
        return
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    prefix = f"{at}." if at else ""
    for name in value:
        if name not in fields:
            yield f"{prefix}{name}", f"is not known; the fields are {', '.join(fields)}"
    for name, field in fields.items():
        if name in value:
            yield from _value_problems(value[name], field.type, f"{prefix}{name}")
        elif field.required:
            yield f"{prefix}{name}", "is missing"


def best_effort(value: dict[str, Any], struct: type[_S]) -> _S:
    """Make a `struct` of the fields of `value` that fit; the others get their default or `None`.

    Only for finding problems: the result may break what its type says.
    """
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(struct):
        try:
            found[field.name] = msgspec.convert(value[field.encode_name], field.type)
        except (KeyError, msgspec.ValidationError):
            found[field.name] = None if field.required else field.default
    return struct(**found)


def _value_problems(value: object, expected: object, at: str) -> list[tuple[str, str]]:
    try:
        msgspec.convert(value, expected)
    except msgspec.ValidationError as error:
        return _nested_problems(value, expected, at) or [_explained(error, expected, at)]
    return []


def _nested_problems(value: object, expected: object, at: str) -> list[tuple[str, str]]:
    struct = _part_of(expected, type(msgspec.Struct))
    if struct is None:
        return []
    if isinstance(value, list):
        items = enumerate(value)
        return [found for n, item in items for found in field_problems(item, struct, f"{at}[{n}]")]
    return list(field_problems(value, struct, at)) if isinstance(value, dict) else []


def _explained(error: msgspec.ValidationError, expected: object, at: str) -> tuple[str, str]:
    what, _, path = str(error).partition(" - at `$")
    choices = _part_of(expected, EnumMeta)
    if choices is not None and what.startswith("Invalid enum value"):
        what += f"; valid are {', '.join(choices)}"
    return at + path.removesuffix("`"), what[0].lower() + what[1:]


def _part_of(expected: object, metaclass: type) -> Any:
    """Give the first type of that metaclass in an annotation such as `tuple[Attack, ...]`."""
    if isinstance(expected, metaclass):
        return expected
    parts = (_part_of(part, metaclass) for part in get_args(expected))
    return next((part for part in parts if part is not None), None)


def _place(content: bytes, offset: int) -> str:
    before = content[:offset]
    line = before.count(b"\n") + 1
    column = len(before.rpartition(b"\n")[2].decode(errors="replace")) + 1
    return f"line {line}, column {column}"
