"""Tell who has lost a race for a row, and what the row is like now."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Connection, Engine, select
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.orm import Mapper, Session, object_mapper
from sqlalchemy.orm.attributes import instance_dict, instance_state
from sqlalchemy.orm.exc import StaleDataError
from sqlalchemy.orm.state import InstanceState

from holdfast.errors import StaleVersionError


@dataclass(frozen=True, slots=True)
class Written:
    """An object with a version that a flush is to write or delete."""

    mapper: Mapper[Any]
    key: tuple[Any, ...]
    expected: object


def written(session: Session) -> Sequence[Written]:
    """Give what has a version among the objects that a flush is to write or delete."""
    return [each for obj in (*session.dirty, *session.deleted) for each in _versioned(obj)]


def lost(candidates: Sequence[Written], connection: Connection) -> StaleVersionError | None:
    """Find the one whose row was changed or deleted, None where all are as they were.

    Args:
        candidates: of the flush that has failed.
        connection: on which everything was rolled back, or all since a savepoint.
    """
    began = not connection.in_transaction()
    try:
        for each in candidates:
            found = connection.scalar(_version_of(each))
            if found != each.expected:
                table = str(each.mapper.local_table)
                return StaleVersionError(table, each.key, each.expected, found)
        return None
    finally:
        if began:
            connection.rollback()


def confirm_deletes(engine: Engine) -> None:
    """Have a flush that deletes several objects with versions fail when one of them was lost.

    Where a driver does not count the rows of several statements at once, SQLAlchemy sends them one
    by one, and looks at the count of one only.
    """
    dialect: Any = engine.dialect
    if not dialect.supports_sane_multi_rowcount:
        dialect.execution_ctx_cls = _confirming(dialect.execution_ctx_cls)


@cache
def _confirming(context: Any) -> type[DefaultExecutionContext]:
    """Give the context of a driver that looks at what was deleted, one for all engines."""
    return type(context.__name__, (_Confirming, context), {})


class _Confirming(DefaultExecutionContext):
    """Looks at the count of each DELETE of a flush, without an event of the engine."""

    def post_exec(self) -> None:
        """Raise StaleDataError, as SQLAlchemy does for one."""
        super().post_exec()  # type: ignore[no-untyped-call]  # SQLAlchemy's own
        # Only a flush brings a cache of its own.
        if self.isdelete and "compiled_cache" in self.execution_options:
            self._require_row()

    def _require_row(self) -> None:
        statement: Any = self.compiled and self.compiled.statement
        table, rows = statement.table, self.compiled_parameters
        has_version = len(rows) == 1 and len(rows[0]) > len(table.primary_key) > 0
        if has_version and self.rowcount == 0:
            raise StaleDataError(f"DELETE on table {table} expected to match 1 row; 0 were matched")


def overtaken(state: InstanceState[Any], session: Session) -> StaleVersionError:
    """Say that an object cannot be merged, since its row has another version by now."""
    mapper = state.mapper
    version: Any = mapper.version_id_col
    key = mapper.identity_key_from_instance(state.obj())
    name = mapper.get_property_by_column(version).key
    found = instance_dict(session.identity_map[key]).get(name)
    return StaleVersionError(str(mapper.local_table), tuple(key[1]), state.dict.get(name), found)


def _versioned(obj: object) -> Iterator[Written]:
    mapper: Mapper[Any] = object_mapper(obj)
    column, state = mapper.version_id_col, instance_state(obj)
    if column is None or state.key is None:
        return
    name = mapper.get_property_by_column(column).key
    expected = state.committed_state.get(name, state.dict.get(name))
    if expected is not None:  # or the flush itself loads it, as it is by then
        yield Written(mapper, tuple(state.key[1]), expected)


def _version_of(each: Written) -> Any:
    keys = zip(each.mapper.primary_key, each.key, strict=True)
    version: Any = each.mapper.version_id_col
    return select(version).where(*(column == value for column, value in keys))
