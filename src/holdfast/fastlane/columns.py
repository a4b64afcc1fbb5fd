"""The columns that a `select()` gives, by name and type."""

from typing import Any

from sqlalchemy import CompoundSelect, Select, inspect
from sqlalchemy.orm import Load
from sqlalchemy.types import TypeEngine

from holdfast.errors import ConfigurationError

Query = Select[*tuple[Any, ...]] | CompoundSelect[*tuple[Any, ...]]
Columns = list[tuple[str, TypeEngine[Any]]]
_NO_LABEL = "_no_label"  # SQLAlchemy's own word for an expression that was given none


def without_entities(statement: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """Put the columns of a mapped class in its place: no objects are made, nothing is joined.

    Raises:
        ConfigurationError: the statement has options for loading objects.
    """
    if any(isinstance(each, Load) for each in statement._with_options):  # noqa: SLF001
        raise ConfigurationError(
            "fastlane reads columns and makes no objects, so options for loading them would do "
            "nothing; select the columns that are wanted, of a join where they are elsewhere"
        )
    given = [each["expr"] for each in statement.column_descriptions]
    if not any(map(_mapper, given)):
        return statement
    columns = [column for each in given for column in _columns_of(each)]
    return statement.with_only_columns(*columns, maintain_column_froms=True)


def columns(statement: Query) -> Columns:
    """Give names and types in the order of the statement.

    The second of two columns `name` is `name_1`, as everywhere in SQLAlchemy.

    Raises:
        ConfigurationError: one has no name.
    """
    found: Columns = (
        [(each["name"], each["type"]) for each in statement.column_descriptions]
        if isinstance(statement, Select)
        else [(name, column.type) for name, column in statement.selected_columns.items()]
    )
    for number, (name, kind) in enumerate(found, 1):
        if not name or name == _NO_LABEL or not isinstance(kind, TypeEngine):
            raise ConfigurationError(
                f"column {number} of the statement has no name; give it one with .label()"
            )
    return found


def _columns_of(expression: Any) -> list[Any]:
    mapper = _mapper(expression)
    if mapper is None:
        return [expression]
    return [getattr(expression, each.key) for each in mapper.column_attrs if not each.deferred]


def _mapper(expression: Any) -> Any:
    found = inspect(expression, raiseerr=False)
    is_entity = getattr(found, "is_mapper", False) or getattr(found, "is_aliased_class", False)
    return found.mapper if is_entity else None
