"""Columns of JSON: as it comes, or as documents of a declared kind."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from sqlalchemy import JSON, Column
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import TypeDecorator, TypeEngine

from holdfast.errors import InvalidValueError
from holdfast.models.codecs import Codec, codec

T = TypeVar("T")
# Drivers that take a document as text, and those that give it so; the others have a codec.
_TAKE_TEXT = frozenset({"asyncpg", "aiosqlite", "pysqlite"})
_GIVE_TEXT = frozenset({"aiosqlite", "pysqlite"})


def json_type() -> TypeEngine[Any]:
    """A JSON column type: JSONB on PostgreSQL, JSON elsewhere; None is SQL NULL.

    It is stored and read as it comes. A change in place goes unseen: assign a new value, or use
    `typed_json`. A new type each time: SQLAlchemy's mutation tracking spreads to all columns that
    share one.
    """
    return JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def typed_json(schema: type[T]) -> "TypedJSON[T]":
    """A JSON column type whose values are documents of one kind.

        cards: Mapped[DeckList] = mapped_column(typed_json(DeckList))
        tags: Mapped[list[str]] = mapped_column(typed_json(list[str]), default=list)

    A document is checked when it is assigned and again when it is written; one that was changed
    in place, at any depth, is found at the next flush, and what was not changed is not written.
    None is SQL NULL. JSONB on PostgreSQL, JSON elsewhere.

    Args:
        schema: a pydantic model, dataclass, TypedDict or msgspec Struct, or a list or dict, of
            what these can hold: `dict[str, int]`, `list[Card]`, `dict[str, Any]`.

    Raises:
        ConfigurationError: the schema cannot be made from JSON.
        InvalidValueError: on assigning or writing what does not fit, or would come back as
            something else; on loading a stored document that does not fit.
    """
    return TypedJSON(schema)


class _Whole(JSON):
    """JSON of which a part, by an index or a path, is any JSON."""

    class Comparator(JSON.Comparator[Any]):
        def _setup_getitem(self, index: Any) -> tuple[OperatorType, Any, TypeEngine[Any]]:
            operator, step, _ = super()._setup_getitem(index)  # type: ignore[no-untyped-call]
            return operator, step, json_type()

    comparator_factory = Comparator


class TypedJSON(TypeDecorator[T], Generic[T]):
    """The type that `typed_json` gives."""

    impl = _Whole
    cache_ok = True
    hashable = False  # the ORM would put documents into sets

    def __init__(self, schema: type[T]) -> None:
        super().__init__(none_as_null=True)
        self.schema = schema
        self._codec: Codec[T] = codec(schema)
        self._column: Column[Any] | None = None

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Give JSONB on PostgreSQL."""
        return dialect.type_descriptor(json_type().dialect_impl(dialect))

    def coerce_compared_value(self, op: OperatorType | None, value: Any) -> TypeEngine[Any]:  # noqa: D102
        return JSON().coerce_compared_value(op, value)

    def check(self, value: T) -> None:
        """Raise InvalidValueError for what cannot be stored."""
        self._codec.text(value)

    def fingerprint(self, value: object) -> bytes | None:
        """Give what differs when a document was changed, None where it cannot be stored."""
        return self._codec.fingerprint(value)

    def bind_processor(self, dialect: Dialect) -> Callable[[T | None], Any]:
        """Give what checks a document and makes the driver's value of it."""
        text = self._codec.text
        if dialect.driver in _TAKE_TEXT:
            return lambda value: None if value is None else text(value)
        plain = self.load_dialect_impl(dialect).bind_processor(dialect) or _as_it_is
        loads = codec(Any).decode
        return lambda value: None if value is None else plain(loads(text(value)))

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], T | None]:
        """Give what makes a document of the driver's value."""
        of_text = dialect.driver in _GIVE_TEXT
        load, convert = self._codec.load, self._codec.convert

        def process(value: Any) -> T | None:
            if value is None or (of_text and value == "null"):
                return None
            try:
                # SQLite makes a number of a document that is one.
                return load(value) if of_text and isinstance(value, str) else convert(value)
            except InvalidValueError as error:
                raise InvalidValueError(error.reason, _name(self._column)) from None

        return process

    def _set_parent(self, parent: Any, outer: bool = False, **options: Any) -> None:  # noqa: FBT001, FBT002
        # Each column has its type to itself, and tells it so.
        if isinstance(parent, Column):
            self._column = parent
        super()._set_parent(parent, outer=outer, **options)


def _as_it_is(value: Any) -> Any:
    return value


def _name(column: Column[Any] | None) -> str | None:
    if column is None:
        return None
    return f"{column.table.name}.{column.name}" if column.table is not None else column.name
