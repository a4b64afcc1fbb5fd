"""Leave the values out of what servers and drivers say of an error."""

import re
from collections.abc import Iterator

from sqlalchemy import Engine, ExceptionContext, event

_HIDDEN = "(hidden: see DatabasePolicy.show_bound_values_in_errors)"
# From where a text may hold values, to its end, as a value may look like any end of it.
# DETAIL: the key of a duplicate row, or all of a row that a constraint refused.
_DETAIL = re.compile(r"\n(?:DETAIL|CONTEXT):.*", re.DOTALL)
# A value that asyncpg could not send.
_ARGUMENT = re.compile(r"(?<=invalid input for query argument) \$.*?:.*", re.DOTALL)
# A value that is none of its type; PostgreSQL puts it between quotes.
_QUOTED = re.compile(r'".*', re.DOTALL)
_DATA_EXCEPTION = re.compile("22(?!021)")  # such errors; 22021 tells no more than one bad byte


def hide_values(engine: Engine) -> None:
    """Have each error of the engine say what is wrong without the value that is.

    The parts stay where programs look for them: psycopg's `diag`, and names of constraints, tables
    and columns.
    """
    event.listen(engine, "handle_error", _hide)


def _hide(context: ExceptionContext) -> None:
    state = getattr(context.original_exception, "sqlstate", None) or ""
    for error in _errors(context):
        if error.args and isinstance(error.args[0], str):
            said = _without_values(error.args[0], state)
            error.args = (said, *error.args[1:])
        if isinstance(getattr(error, "detail", None), str):  # asyncpg's own
            error.detail = _HIDDEN  # type: ignore[attr-defined]  # looked for above


def _errors(context: ExceptionContext) -> Iterator[BaseException]:
    """Give SQLAlchemy's error, its adapter's and the driver's: a traceback prints all of them."""
    if context.sqlalchemy_exception is not None:
        yield context.sqlalchemy_exception
    yield context.original_exception
    if context.original_exception.__cause__ is not None:
        yield context.original_exception.__cause__


def _without_values(said: str, state: str) -> str:
    said = _DETAIL.sub(f"\nDETAIL: {_HIDDEN}", said)
    said = _ARGUMENT.sub(lambda found: f"{found[0].partition(':')[0]}: {_HIDDEN}", said)
    return _QUOTED.sub(_HIDDEN, said) if _DATA_EXCEPTION.match(state) else said
