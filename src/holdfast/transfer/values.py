"""How the values of a column go from one engine to the other, and what of them is digested."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from types import NoneType
from typing import Any

from sqlalchemy import Column, ColumnElement, Dialect, cast, types
from sqlalchemy import type_coerce as as_type
from sqlalchemy.engine.processors import str_to_datetime
from sqlalchemy.types import NULLTYPE, TypeDecorator, TypeEngine

from holdfast.transfer.forms import FORMS
from holdfast.transfer.refusing import MisfitError

Process = Callable[[Any], Any]

# The order tells: some of these are kinds of others.
_KINDS: Sequence[tuple[type[TypeEngine[Any]], str]] = (
    (types.JSON, "json"),
    (types.Boolean, "flag"),
    (types.Integer, "integer"),
    (types.Float, "float"),
    (types.Numeric, "decimal"),
    (types.Uuid, "uuid"),
    (types.LargeBinary, "bytes"),
    (types.DateTime, "datetime"),
    (types.Date, "date"),
    (types.Time, "time"),
    (types.String, "text"),
)
# What SQLite may hold in a column of each kind, as its driver gives it: the column's type does not
# keep anything else out, and SQLAlchemy would make True of any text, and zeros of a number.
_HELD: Mapping[str, frozenset[type]] = {
    "json": frozenset({str, int, float}),  # a document that is a number is held as one
    "flag": frozenset({int}),
    "integer": frozenset({int}),
    "float": frozenset({float, int}),
    "decimal": frozenset({float, int, str}),
    "uuid": frozenset({str}),
    "bytes": frozenset({bytes}),
    "datetime": frozenset({str}),
    "date": frozenset({str}),
    "time": frozenset({str}),
    "text": frozenset({str}),
}
_WORDS = {int: "an integer", float: "a real", str: "a text", bytes: "a blob"}
_BY_TYPE = frozenset({"uuid", "datetime", "date", "time"})
_PLACES = 10  # that SQLAlchemy reads of a decimal whose type does not say


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """A column in one of the two databases.

    Attributes:
        selected: what is read of it.
        held: the types that the driver may give for it; empty where the server sees to that.
        load: makes the value that is the same on both engines, where the driver does not.
        store: makes what the driver takes.
    """

    selected: ColumnElement[Any]
    held: frozenset[type] = frozenset()
    load: Process | None = None
    store: Process | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A column of both databases.

    Attributes:
        digested: makes what is digested of a value, the same on all engines.
        as_is: whether what was read is written, since both are of one engine.
    """

    name: str
    source: End
    target: End
    digested: Process | None
    as_is: bool


def moved(column: Column[Any], source: Dialect, target: Dialect) -> Moved:
    """Tell how a column is moved.

    What is stored is moved, so that no type of the application looks at it: an enum's name, the
    text of a document. Only where the two engines store it as different kinds, the column's own
    type makes one of the other.
    """
    kinds = {_kind(stored_as(column.type, each)) for each in (source, target)}
    kind = kinds.pop() if len(kinds) == 1 else None
    ends = [_end(column, kind, each, alone=source.name == target.name) for each in (source, target)]
    return Moved(
        name=column.name,
        source=ends[0],
        target=ends[1],
        digested=FORMS.get(kind) if kind else _in_one_form(column, source, target),
        as_is=source.name == target.name,
    )


def stored_as(kind: TypeEngine[Any], dialect: Dialect) -> TypeEngine[Any]:
    """Give the type that an engine has for it, below those of the application."""
    found = kind.dialect_impl(dialect)
    while isinstance(found, TypeDecorator):
        found = found.impl_instance
    return found


def processed(process: Process | None, values: Sequence[Any]) -> Sequence[Any]:
    """Process what is not NULL: types may make something else of that."""
    if process is None:
        return values
    return [None if value is None else process(value) for value in values]


def load(name: str, end: End, values: Sequence[Any]) -> Sequence[Any]:
    """Make values of what the driver gave.

    Raises:
        MisfitError: something is not what the column's type says.
    """
    if end.held and set(map(type, values)) - end.held - {NoneType}:
        at = next(at for at, each in enumerate(values) if type(each) not in end.held | {NoneType})
        raise MisfitError(at, f"{name}: it holds {_told(values[at])}, which its type does not know")
    return tried(name, end.load, values)


def tried(name: str, process: Process | None, values: Sequence[Any]) -> Sequence[Any]:
    """Process values.

    Raises:
        MisfitError: one cannot be.
    """
    try:
        return processed(process, values)
    except Exception as error:
        for at, value in enumerate(values):
            if problem := _problem(process, value):
                said = f"{name}: its type does not take {_told(value)} as it is: {problem}"
                raise MisfitError(at, said) from error
        raise


def _problem(process: Process | None, value: object) -> str | None:
    try:
        processed(process, [value])
    except Exception as error:  # noqa: BLE001  -- whatever a type raises
        return type(error).__name__
    return None


def _told(value: object) -> str:
    """Tell of a value, in SQLite's words, without showing it."""
    return _WORDS.get(type(value), "a value")


def _kind(stored: TypeEngine[Any]) -> str | None:
    return next((name for known, name in _KINDS if isinstance(stored, known)), None)


def _end(column: Column[Any], kind: str | None, dialect: Dialect, *, alone: bool) -> End:
    # With no type of its own, nothing is done to what the driver gives.
    selected = as_type(column, NULLTYPE)
    stored = stored_as(column.type, dialect)
    if alone and isinstance(stored, types.ARRAY) and isinstance(stored.item_type, types.JSON):
        # As texts: the driver reads documents, and writes none.
        return End(selected=as_type(cast(column, types.ARRAY(types.Text())), NULLTYPE))
    if kind is None:
        return End(selected=selected) if alone else _by_type(selected, column.type, dialect)
    if dialect.name == "sqlite":
        return _in_sqlite(selected, kind, stored, dialect)
    if kind == "json":  # as text: what the driver makes of a number has fewer digits
        selected = as_type(cast(column, types.Text()), NULLTYPE)
    # As text or not, a UUID is what the type says; of all others, the driver gives one form.
    load = stored.result_processor(dialect, None) if kind == "uuid" else None
    return End(selected=selected, load=load)


def _by_type(selected: ColumnElement[Any], kind: TypeEngine[Any], dialect: Dialect) -> End:
    found = kind.dialect_impl(dialect)
    return End(
        selected=selected,
        load=found.result_processor(dialect, None),
        store=found.bind_processor(dialect),
    )


def _in_sqlite(
    selected: ColumnElement[Any], kind: str, stored: TypeEngine[Any], dialect: Dialect
) -> End:
    load: Process | None = _OWN.get(kind)
    store: Process | None = None
    if isinstance(stored, types.Numeric):
        load, store = _rounded(_PLACES if stored.scale is None else stored.scale), float
    elif kind in _BY_TYPE:
        load, store = stored.result_processor(dialect, None), stored.bind_processor(dialect)
    if isinstance(stored, types.DateTime) and stored.timezone:
        load = _read_in_utc if load is str_to_datetime else _then(load, _in_utc)
        store = _then(_without_zone, store)
    return End(selected=selected, held=_HELD[kind], load=load, store=store)


def _then(first: Process | None, second: Process | None) -> Process | None:
    if first is None or second is None:
        return first or second
    return lambda value: second(first(value))


def _read_in_utc(text: str) -> datetime:
    """Do both in one step for what has no zone, in half of the time."""
    try:
        return datetime.fromisoformat(text + "+00:00")
    except ValueError:
        return _in_utc(datetime.fromisoformat(text))


def _in_utc(value: datetime) -> datetime:
    """SQLite drops the zone; what is stored there is UTC."""
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _without_zone(value: datetime) -> datetime:
    return value.astimezone(UTC).replace(tzinfo=None)


def _rounded(places: int) -> Process:
    # As SQLAlchemy reads it: a double has digits that were never written.
    return lambda value: Decimal(value if isinstance(value, str) else f"{value:.{places}f}")


def _as_document(value: object) -> str:
    return value if isinstance(value, str) else repr(value)


_OWN: Mapping[str, Process] = {
    "flag": {0: False, 1: True}.__getitem__,
    "float": float,
    "json": _as_document,
}


def _in_one_form(column: Column[Any], *dialects: Dialect) -> Process | None:
    """Give what makes of a value of the application's own type something that can be digested.

    That is what PostgreSQL would be given; nothing where both are of one engine.
    """
    if dialects[0].name == dialects[1].name:
        return None
    [dialect] = [each for each in dialects if each.name == "postgresql"]
    return column.type.dialect_impl(dialect).bind_processor(dialect)
