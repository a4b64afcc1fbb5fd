"""What is done to a value on its way to a driver: what its type does, and a look at it before."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import ARRAY, JSON, Dialect, Interval, TypeDecorator, Uuid
from sqlalchemy.types import TypeEngine

from holdfast.database.values import Refuse, Use, check, text_of_any_type
from holdfast.errors import InvalidValueError

Process = Callable[[Any], Any]


def process_of(kind: TypeEngine[Any], dialect: Dialect, use: Use, refuse: Refuse) -> Process | None:
    """Give what looks at a value and makes the driver's of it, None where it is sent as it is.

    Args:
        kind: of the value.
        dialect: of the engine.
        use: what the value is for.
        refuse: told what is wrong with a value and what to do; it raises.
    """
    process = _steps(kind, dialect, use, refuse)
    own = _variant(kind, dialect.name)
    if process is None or not isinstance(own, TypeDecorator | JSON | ARRAY):
        return process
    return _named(process, refuse)


def _steps(kind: TypeEngine[Any], dialect: Dialect, use: Use, refuse: Refuse) -> Process | None:
    own = _variant(kind, dialect.name)
    if isinstance(own, TypeDecorator) and not isinstance(own, Interval):
        return _steps_of_decorator(own, dialect, use, refuse)
    process = kind.dialect_impl(dialect).bind_processor(dialect)
    look = check(_variant(kind, "postgresql"), use, refuse)
    if look is None and process is None:
        return text_of_any_type(refuse)
    return _in_turn(look, process)


def _steps_of_decorator(
    kind: TypeDecorator[Any], dialect: Dialect, use: Use, refuse: Refuse
) -> Process | None:
    """Look at what the decorator makes of a value, not at the value itself."""
    made: Any = kind.dialect_impl(dialect)
    if type(kind).bind_processor is not TypeDecorator.bind_processor:
        own: Process | None = made.bind_processor(dialect)
        return own
    inner = kind.load_dialect_impl(dialect)
    # The drivers of PostgreSQL take a UUID as text, too, which is what many give.
    looks = not isinstance(inner, Uuid)
    then = (
        _steps(inner, dialect, use, refuse)
        if looks
        else inner.dialect_impl(dialect).bind_processor(dialect)
    )
    if type(kind).process_bind_param is TypeDecorator.process_bind_param:
        return then
    return _in_turn(lambda value: made.process_bind_param(value, dialect), then)


def _in_turn(first: Process | None, then: Process | None) -> Process | None:
    if first is None or then is None:
        return first or then

    def both(value: Any) -> Any:
        return then(first(value))

    return both


def _named(process: Process, refuse: Refuse) -> Process:
    """Have what a type itself refuses, which knows of no column, told as the rest is."""

    def named(value: Any) -> Any:
        try:
            return process(value)
        except InvalidValueError as error:
            if error.field is not None:
                raise
            return refuse(error.reason)

    return named


def _variant(kind: TypeEngine[Any], backend: str) -> TypeEngine[Any]:
    return kind._variant_mapping.get(backend, kind)  # noqa: SLF001  -- there is no other way to it
