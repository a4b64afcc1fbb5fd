"""What a column's type does to a value on its way to the driver, and back."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import NumericCommon, TypeEngine

Process = Callable[[Any], Any]
# PostgreSQL's types, by which SQLAlchemy's Numeric tells what the driver gives.
_FLOAT8, _NUMERIC = 701, 1700


def binding(compiled: SQLCompiler) -> Mapping[str, Process]:
    """Give what makes the driver's values of a statement's, by the names of its parameters.

    Values of the others are sent as they are. An engine of Holdfast looks at values there.
    """
    made: Any = compiled._bind_processors  # noqa: SLF001  -- there is no other way to it
    return {name: process for name, process in made.items() if callable(process)}


def loading(kind: TypeEngine[Any], dialect: Dialect) -> Process | None:
    """Give what makes the type's value, None where the driver gives it already."""
    impl = kind.dialect_impl(dialect)
    of_numeric = impl.result_processor(dialect, _NUMERIC)
    if not isinstance(getattr(impl, "impl_instance", impl), NumericCommon):
        return of_numeric
    return _by_kind(impl.result_processor(dialect, _FLOAT8), of_numeric)


def _by_kind(of_float: Process | None, of_numeric: Process | None) -> Process | None:
    """Choose by the value: an expression's type on the server is not known beforehand."""
    if of_float is None and of_numeric is None:
        return None

    def process(value: Any) -> Any:
        chosen = of_float if type(value) is float else of_numeric
        return value if chosen is None else chosen(value)

    return process
