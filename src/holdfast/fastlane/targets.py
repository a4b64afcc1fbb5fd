"""Where rows go: a table's columns, and what the model puts in by itself."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from sqlalchemy import Column, Dialect, Table, insert, inspect
from sqlalchemy.orm import Mapper
from sqlalchemy.sql.compiler import SQLCompiler

from holdfast.errors import ConfigurationError
from holdfast.fastlane.values import Process, binding


@dataclass(frozen=True, slots=True)
class Field:
    """One column, by the name that rows have for it.

    Attributes:
        key: the attribute of a mapped class, or the key of a table's column.
        column: of the table.
        default: makes the value where rows have none; None where the model has no default.
    """

    key: str
    column: Column[Any]
    default: Callable[[], object] | None

    @property
    def may_be_left_out(self) -> bool:
        """Whether the server puts something in."""
        column = self.column
        return bool(
            column.nullable
            or column.server_default is not None
            or column.identity is not None
            or (column.table is not None and column is column.table.autoincrement_column)
        )


@dataclass(frozen=True, slots=True)
class Target:
    """A table and its columns."""

    table: Table
    fields: Mapping[str, Field]


def target(model: type[object] | Table) -> Target:
    """Give the table of a mapped class, or of itself.

    Raises:
        ConfigurationError: it is neither, or the class has more than one table.
    """
    if isinstance(model, Table):
        fields = [Field(each.key, each, _default(each)) for each in model.columns]
        return Target(model, {each.key: each for each in fields})
    mapper = inspect(model, raiseerr=False)
    if not isinstance(mapper, Mapper) or not isinstance(mapper.local_table, Table):
        raise ConfigurationError(f"{model!r} is neither a mapped class nor a table")
    if len(mapper.tables) > 1:
        raise ConfigurationError(
            f"{mapper.class_.__name__} has its columns in {len(mapper.tables)} tables; "
            "copy into each, the parent's first"
        )
    return Target(mapper.local_table, {each.key: each for each in _fields_of(mapper)})


def processes(fields: Sequence[Field], dialect: Dialect) -> list[Process | None]:
    """Give what makes the driver's values of each column, as an INSERT would."""
    columns = [each.column for each in fields]
    statement: Any = insert(columns[0].table)
    keys = [each.key for each in columns]
    compiled: SQLCompiler = statement.compile(dialect=dialect, column_keys=keys)
    made, names = binding(compiled), {bind.key: name for bind, name in compiled.bind_names.items()}
    return [made.get(names[key]) for key in keys]


def _fields_of(mapper: Mapper[Any]) -> Iterable[Field]:
    for attribute in mapper.column_attrs:
        column = attribute.columns[0]
        if isinstance(column, Column):
            default = _mapped_default(mapper, column) or _default(column)
            yield Field(attribute.key, column, default)


def _mapped_default(mapper: Mapper[Any], column: Column[Any]) -> Callable[[], object] | None:
    """What an INSERT of the ORM puts in without a default: a version, the kind of a subclass."""
    if column is mapper.version_id_col and mapper.version_id_generator is not False:
        generator: Any = mapper.version_id_generator
        return lambda: generator(None)
    if column is mapper.polymorphic_on:
        return lambda: mapper.polymorphic_identity
    return None


def _default(column: Column[Any]) -> Callable[[], object] | None:
    default: Any = column.default
    if default is None:
        return None
    if default.is_scalar:
        return lambda: default.arg
    if default.is_callable:
        return lambda: default.arg(_NoContext(column))
    return None if default.is_sequence and column.server_default is not None else _refuse(column)


def _refuse(column: Column[Any]) -> Callable[[], NoReturn]:
    def refuse() -> NoReturn:
        raise ConfigurationError(
            f"the default of {column} is SQL, which COPY cannot run; "
            "give the rows a value for it, or make it a server_default"
        )

    return refuse


class _NoContext:
    """Stands for the statement that a default may look at; in COPY there is none."""

    def __init__(self, column: Column[Any]) -> None:
        self._column = column

    def __getattr__(self, name: str) -> NoReturn:
        raise ConfigurationError(
            f"the default of {self._column} looks at the row's other values, which COPY has not; "
            "give the rows a value for it"
        )
