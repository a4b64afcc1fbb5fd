"""What is done to a value on its way to a driver: what its type does, and a look at it before."""

from collections.abc import Callable
from typing import Any, NoReturn, TypeGuard

from sqlalchemy import ARRAY, JSON, Dialect, Interval, String, TypeDecorator, Uuid
from sqlalchemy.types import NULLTYPE, TypeEngine

from holdfast.database.judging import Refuse, Use
from holdfast.database.texts import text_of_any_type
from holdfast.database.values import can_compare, check
from holdfast.errors import InvalidValueError

Process = Callable[[Any], Any]


def process_of(
    kind: TypeEngine[Any],
    dialect: Dialect,
    use: Use,
    refuse: Refuse,
    *,
    beside: TypeEngine[Any] | None = None,
) -> Process | None:
    """Give what looks at a value and makes the driver's of it, None where it is sent as it is.

    Args:
        kind: of the value.
        dialect: of the engine.
        use: what the value is for.
        refuse: told what is wrong with a value and what to do; it raises.
        beside: the type of the column that it is compared with.
    """
    own = _variant(kind, dialect.name)
    if _is_decorator(own):
        return _process_of_decorator(own, dialect, use, refuse)
    process: Process | None = kind.dialect_impl(dialect).bind_processor(dialect)
    if process is not None and isinstance(own, ARRAY) and _is_decorator(own.item_type):
        return _process_of_elements(own.item_type, process, dialect, refuse)
    wanted = kind if beside is None or can_compare(beside, kind) else beside
    look = check(_variant(wanted, "postgresql"), use, refuse)
    if process is None:
        return look or text_of_any_type(refuse)
    if isinstance(own, JSON | ARRAY):
        process = _named(process, refuse)
    return _in_turn(look, process)


def _process_of_decorator(
    kind: TypeDecorator[Any], dialect: Dialect, use: Use, refuse: Refuse
) -> Process | None:
    """Look at what the decorator makes of a value, not at the value itself."""
    made: Any = kind.dialect_impl(dialect)
    if type(kind).bind_processor is not TypeDecorator.bind_processor:
        own: Process | None = made.bind_processor(dialect)
        return own and _named(own, refuse)
    inner = kind.load_dialect_impl(dialect)
    then: Process | None
    if isinstance(inner, Uuid):  # drivers of PostgreSQL take its text, too, which many give
        then = inner.dialect_impl(dialect).bind_processor(dialect)
    else:
        then = process_of(inner, dialect, use, refuse)
    if type(kind).process_bind_param is TypeDecorator.process_bind_param:
        return then
    return _decorated(made.process_bind_param, dialect, refuse, then or _as_it_is)


def _process_of_elements(
    kind: TypeDecorator[Any], process: Process, dialect: Dialect, refuse: Refuse
) -> Process:
    """Look at what the decorator makes of each; only text would be cut without a word."""
    made = _in_turn(check(ARRAY(NULLTYPE), Use.STORED, refuse), _named(process, refuse))
    inner = kind.load_dialect_impl(dialect)
    look = check(ARRAY(inner), Use.STORED, refuse) if isinstance(inner, String) else None
    return _in_turn(made, look) if look else made


def _is_decorator(kind: TypeEngine[Any]) -> TypeGuard[TypeDecorator[Any]]:
    return isinstance(kind, TypeDecorator) and not isinstance(kind, Interval)


def _decorated(bind: Any, dialect: Dialect, refuse: Refuse, then: Process) -> Process:
    def decorated(value: Any) -> Any:
        try:
            bound = bind(value, dialect)
        except InvalidValueError as error:
            _tell(error, refuse)
        return then(bound)

    return decorated


def _named(process: Process, refuse: Refuse) -> Process:
    def named(value: Any) -> Any:
        try:
            return process(value)
        except InvalidValueError as error:
            _tell(error, refuse)

    return named


def _tell(error: InvalidValueError, refuse: Refuse) -> NoReturn:
    """Tell what a type itself has refused, which knows of no column, as the rest is told."""
    if error.field is not None:
        raise error
    refuse(error.reason)


def _in_turn(first: Process | None, then: Process) -> Process:
    if first is None:
        return then

    def both(value: Any) -> Any:
        return then(first(value))

    return both


def _variant(kind: TypeEngine[Any], backend: str) -> TypeEngine[Any]:
    return kind._variant_mapping.get(backend, kind)  # noqa: SLF001  -- there is no other way to it


def _as_it_is(value: Any) -> Any:
    return value
