r"""Tool calls that a model makes, and the results that tools give: typed, stored as plain JSON.

    [{"id": "call_1", "function": {"name": "scan", "arguments": "{\"host\": \"10.0.0.7\"}"}}]
    [{"tool_call_id": "call_1", "content": "3 ports are open"}]

Both may be given as the classes here or as plain lists and dicts, and come back as the latter.
`arguments` is the text that a model wrote, which need not be valid JSON, or an object. Other keys,
such as `type` or what a provider wants back with the next request, are kept as they are.
"""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from faceplate.errors import InvalidInputError
from faceplate.values import find_problems


def _text_or_object(value: object) -> object:
    if not isinstance(value, (str, dict)):
        raise ValueError("it has to be text or an object")  # noqa: TRY004  -- pydantic's own way
    return value


def _text_or_json(value: object) -> object:
    if not isinstance(value, (str, list, dict)):
        raise ValueError("it has to be text, a list or an object")  # noqa: TRY004
    return value


Name = Annotated[str, StringConstraints(min_length=1)]
Arguments = Annotated[str | dict[str, Any], BeforeValidator(_text_or_object)]
Content = Annotated[str | list[Any] | dict[str, Any], BeforeValidator(_text_or_json)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True, hide_input_in_errors=True)


class FunctionCall(_Part):
    """Which tool a model wants to be called, and with what."""

    name: Name
    arguments: Arguments


class ToolCall(_Part):
    """One call; `id` is what its result refers to."""

    id: Name
    function: FunctionCall


class ToolResult(_Part):
    """What a tool gave for one call."""

    tool_call_id: Name
    content: Content


_CALLS = TypeAdapter(list[ToolCall])
_RESULTS = TypeAdapter(list[ToolResult])


def plain_calls(value: object) -> list[dict[str, Any]] | None:
    """Check tool calls and give them as plain lists and dicts, as JSONB keeps them.

    Raises:
        InvalidInputError: it names everything that is wrong, without the values.
    """
    return _plain("tool_calls", _CALLS, value)


def plain_results(value: object) -> list[dict[str, Any]] | None:
    """Check tool results and give them as plain lists and dicts, as JSONB keeps them.

    Raises:
        InvalidInputError: it names everything that is wrong, without the values.
    """
    return _plain("tool_results", _RESULTS, value)


def _plain(what: str, adapter: TypeAdapter[Any], value: object) -> list[dict[str, Any]] | None:
    if value is None:
        return None
    try:
        parts = adapter.validate_python(value)
    except ValidationError as error:
        raise InvalidInputError("; ".join(_problems(what, error))) from None
    plain: list[dict[str, Any]] = adapter.dump_python(parts, exclude_unset=True)
    if problems := list(find_problems(plain, what)):
        raise InvalidInputError("; ".join(problems))
    return plain


def _problems(what: str, error: ValidationError) -> Iterator[str]:
    for each in error.errors(include_url=False, include_input=False, include_context=False):
        steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in each["loc"])
        message = each["msg"].removeprefix("Value error, ")
        yield f"{what}{''.join(steps)}: {message[0].lower()}{message[1:]}"
