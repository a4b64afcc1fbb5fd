"""Refuse values that no database takes, or that two take differently, before they are sent."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import repeat
from typing import Any, NoReturn

from sqlalchemy import BindParameter, Column, Dialect, Engine, ExceptionContext, Tuple, event
from sqlalchemy.sql import operators
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TupleType, TypeEngine

from holdfast.database.judging import Use
from holdfast.database.processing import Process, process_of
from holdfast.errors import InvalidValueError

_COMPARE = frozenset(
    {
        *(operators.eq, operators.ne, operators.lt, operators.le, operators.gt, operators.ge),
        *(operators.in_op, operators.not_in_op, operators.between_op, operators.not_between_op),
        *(operators.is_distinct_from, operators.is_not_distinct_from),
    }
)
# How SQLAlchemy calls the values of a column in a VALUES of several rows.
_ONE_OF_MANY = re.compile(r"(?P<column>.+)_m(?P<row>\d+)")


def refuse_values(engine: Engine) -> None:
    """Have the values of each statement of the engine, and of its views, looked at by their types.

    What to look at is found out when a statement is compiled, and kept with it. What is sent
    without that, the driver's own SQL, is not looked at.
    """
    engine.dialect.statement_compiler = _looking(engine.dialect.statement_compiler)
    event.listen(engine, "handle_error", _tell)


@cache
def _looking(compiler: Any) -> type[SQLCompiler]:
    """Give the compiler of a driver that looks at values, one for all engines."""
    return type(compiler.__name__, (_Compiler, compiler), {})


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a value goes.

    Attributes:
        key: by which a row of parameters has it.
        name: for messages.
        use: what it is for.
        row: of those in the statement itself, counted from 1; None where it holds one.
        beside: the type of the column that it is compared with.
    """

    key: str
    name: str
    use: Use
    row: int | None = None
    beside: TypeEngine[Any] | None = None


class _MisfitError(InvalidValueError):
    """Raised in the middle of SQLAlchemy's work, which does not know of which row a value is."""

    def __init__(self, reason: str, place: _Place, process: Process) -> None:
        super().__init__(reason, place.name, place.row)
        self._key = place.key
        self._process = process

    def find_row(self, rows: Any) -> int | None:
        """Give the number of the row where several were given."""
        if self.row is not None or not isinstance(rows, Sequence) or len(rows) < 2:
            return self.row
        return next((at for at, row in enumerate(rows, 1) if self._refuses(row)), None)

    def _refuses(self, row: Mapping[str, object]) -> bool:
        try:
            self._process(row.get(self._key))
        except InvalidValueError:
            return True
        return False


def _tell(context: ExceptionContext) -> None:
    """Raise it as it is: SQLAlchemy would wrap it."""
    error = context.original_exception
    if isinstance(error, InvalidValueError):
        row = error.find_row(context.parameters) if isinstance(error, _MisfitError) else error.row
        raise InvalidValueError(error.reason, error.field, row)


class _Compiler(SQLCompiler):
    """Puts a look at each value before what its type makes of it."""

    def visit_binary(self, binary: Any, *args: Any, **options: Any) -> Any:
        """Note which columns values are compared with."""
        if binary.operator in _COMPARE:
            self._compared.update(_facing(binary.left, binary.right))
            self._compared.update(_facing(binary.right, binary.left))
        return super().visit_binary(binary, *args, **options)  # type: ignore[no-untyped-call]  # it has no types

    def visit_on_conflict_do_update(self, on_conflict: Any, **options: Any) -> Any:
        """Note which columns values are stored in where the row is there already."""
        insert: Any = self.current_executable
        self._upserted.update(_by_parameter(insert.table, on_conflict.update_values_to_set))
        return super().visit_on_conflict_do_update(on_conflict, **options)  # type: ignore[misc]  # of the dialects

    @cached_property
    def _compared(self) -> dict[str, Sequence[Any]]:
        """The columns that parameters are compared with, by the parameters' keys."""
        return {}

    @cached_property
    def _upserted(self) -> dict[str, Any]:
        return {}

    @cached_property
    def _bind_processors(self) -> Any:
        made: dict[str, Any] = dict(super()._bind_processors)
        for bind, name in self.bind_names.items():
            if bind in self.literal_execute_params:
                continue
            places = self._places(bind, name)
            if isinstance(bind.type, TupleType):
                each = zip(bind.type.types, places, strict=False)  # places may have no end
                made[name] = tuple(_process(kind, self.dialect, place) for kind, place in each)
            elif process := _process(bind.type, self.dialect, next(places)):
                made[name] = process
        return made

    def _places(self, bind: BindParameter[Any], name: str) -> Iterator[_Place]:
        """Give where a parameter's value goes; one of tuples goes to several places."""
        if bind.key in self._compared:
            columns = self._compared[bind.key]
            return (
                _Place(bind.key, _name(each), Use.COMPARED, beside=each.type) for each in columns
            )
        column, row = self._stored_in(bind, name)
        if column is None:
            return repeat(_Place(bind.key, f"the parameter {name!r}", Use.OTHER))
        return repeat(_Place(bind.key, _name(column), Use.STORED, row))

    def _stored_in(self, bind: BindParameter[Any], name: str) -> tuple[Any, int | None]:
        """Give the column, and which row of the statement it is where it has several."""
        if bind.key in self._given:
            return self._given[bind.key], None
        if not bind._is_crud or self.dml_compile_state is None:  # noqa: SLF001  -- or it is of an expression
            return None, None
        columns = self.dml_compile_state.dml_table.c  # type: ignore[attr-defined]  # it writes
        many = None if name in columns else _ONE_OF_MANY.fullmatch(name)
        if many is None:
            return columns.get(name), None
        return columns.get(many["column"]), int(many["row"]) + 1

    @cached_property
    def _given(self) -> Mapping[str, Any]:
        """The columns that the statement itself has values for, by the parameters' keys."""
        state: Any = self.dml_compile_state
        values = getattr(state, "_dict_parameters", None)
        return {**(_by_parameter(state.dml_table, values) if values else {}), **self._upserted}


def _process(kind: TypeEngine[Any], dialect: Dialect, place: _Place) -> Process | None:
    def refuse(reason: str) -> NoReturn:
        assert process is not None
        raise _MisfitError(reason, place, process) from None

    process = process_of(kind, dialect, place.use, refuse, beside=place.beside)
    return process


def _facing(one: Any, other: Any) -> Mapping[str, Sequence[Any]]:
    """Give the columns on one side of a comparison by the parameters on the other."""
    columns = one.clauses if isinstance(one, Tuple) else [one]
    if not all(isinstance(each, Column) for each in columns):
        return {}
    values = getattr(other, "clauses", [other])
    return {each.key: columns for each in values if isinstance(each, BindParameter)}


def _by_parameter(table: Any, values: Mapping[Any, Any]) -> Mapping[str, Any]:
    """Give the columns of a table by the keys of the parameters that they are given."""
    return {
        value.key: table.c.get(getattr(column, "key", column))
        for column, value in values.items()
        if isinstance(value, BindParameter)
    }


def _name(column: Any) -> str:
    """Give the column's name in the table that it is of, behind aliases and subqueries."""
    own = next(iter(column.base_columns), column)
    return str(own.name if own.table is None else f"{own.table.name}.{own.name}")
