"""A declarative base and column types that mean the same on PostgreSQL and SQLite.

    class Deck(UUIDKey, Timestamps, Base):
        __tablename__ = "decks"

        name: Mapped[str]
        cards: Mapped[dict[str, int]] = mapped_column(json_type())
        status: Mapped[DeckStatus] = mapped_column(ValueEnum(DeckStatus))

The mixins and types also work on a declarative base of one's own.
"""

import enum
import sys
import uuid
from datetime import UTC, datetime
from typing import Any, ClassVar, Generic, TypeVar

from sqlalchemy import JSON, DateTime, MetaData, String, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from holdfast.errors import ConfigurationError

if sys.version_info >= (3, 14):
    from uuid import uuid7
else:
    # Only `compat` gives real `uuid.UUID` objects, which drivers and pydantic ask for.
    from uuid_utils.compat import uuid7

__all__ = [
    "ENUM_LENGTH",
    "NAMING_CONVENTION",
    "Base",
    "Timestamps",
    "UTCDateTime",
    "UUIDKey",
    "ValueEnum",
    "Versioned",
    "clock_timestamp",
    "json_type",
    "uuid7",
]

# Names that a migration can refer to, the same on every machine. A CheckConstraint gives only
# its suffix: `name="quantity_positive"` becomes `ck_collections_quantity_positive`.
NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
# One width for all: a longer member added later needs no migration.
ENUM_LENGTH = 32

E = TypeVar("E", bound=enum.Enum)


class UTCDateTime(TypeDecorator[datetime]):
    """An instant: aware values go in, aware values in UTC come back, microseconds kept.

    `TIMESTAMP WITH TIME ZONE` on PostgreSQL. SQLite has no such type and drops offsets, so the
    value is stored there in UTC.

    Raises:
        ValueError: on binding a naive datetime, which PostgreSQL would have taken for the local
            time of the process; SQLAlchemy wraps it into `StatementError`.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a naive value and turn an aware one into UTC."""
        if value is None:
            return None
        if value.utcoffset() is None:
            raise ValueError(f"{value!r} has no time zone; use datetime.now(UTC)")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the value back in UTC; SQLite's has lost its zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class ValueEnum(TypeDecorator[E], Generic[E]):
    """An enum stored by value in a `VARCHAR(32)`, checked in Python before it is written.

    There is no CHECK and no database type, so a new member needs no migration.

    Args:
        members: the enum; its values are strings of at most 32 characters.

    Raises:
        ConfigurationError: a value is not a string or too long, at class definition.
        LookupError: on loading a value that is no member, and on binding one, where SQLAlchemy
            wraps it into `StatementError`.
    """

    impl = String(ENUM_LENGTH)
    cache_ok = True

    def __init__(self, members: type[E]) -> None:
        for member in members:
            if not isinstance(member.value, str) or len(member.value) > ENUM_LENGTH:
                raise ConfigurationError(
                    f"{members.__name__}.{member.name} is {member.value!r}; "
                    f"a value is a string of at most {ENUM_LENGTH} characters"
                )
        super().__init__(ENUM_LENGTH)
        self.members = members
        # Calling an enum takes four times as long, for each value of each row.
        self._by_value = {member.value: member for member in members}

    def process_bind_param(self, value: E | str | None, dialect: Dialect) -> str | None:
        """Give the member's value; a string is taken when it is one."""
        if isinstance(value, self.members):
            return str(value.value)
        return None if value is None else str(self._member(value).value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> E | None:
        """Give the member."""
        if value is None:
            return None
        return self._by_value.get(value) or self._member(value)

    def _member(self, value: E | str) -> E:
        try:
            return self.members(value)
        except ValueError:
            known = ", ".join(repr(member.value) for member in self.members)
            raise LookupError(
                f"{value!r} is not a {self.members.__name__}; it has {known}"
            ) from None


def json_type() -> TypeEngine[Any]:
    """A JSON column type: JSONB on PostgreSQL, JSON elsewhere; None is SQL NULL.

    A new type each time: SQLAlchemy's mutation tracking spreads to all columns that share one.
    """
    return JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


class clock_timestamp(FunctionElement[datetime]):  # noqa: N801  -- reads as the SQL function
    """The server's clock at this moment, not at the start of the transaction.

    Two updates in one transaction get two times, also in a test that runs in one transaction.
    """

    type = UTCDateTime()
    inherit_cache = True


@compiles(clock_timestamp)
def _clock_timestamp(_element: clock_timestamp, _compiler: SQLCompiler, **_kw: object) -> str:
    return "clock_timestamp()"


@compiles(clock_timestamp, "sqlite")
def _clock_timestamp_sqlite(
    _element: clock_timestamp, _compiler: SQLCompiler, **_kw: object
) -> str:
    # SQLite's clock has milliseconds; the text is padded to what SQLAlchemy writes itself.
    return "(strftime('%Y-%m-%d %H:%M:%f000', 'now'))"


class Base(DeclarativeBase):
    """The declarative base: names for every constraint, and types for plain annotations.

    Values that the server makes (timestamps) come back with the INSERT or UPDATE itself, so
    that reading one afterwards needs no query: a lazy one is impossible in async code.

    Its classes share one `MetaData` and one registry of names. A part with a schema or names of
    its own makes its own base from this one, with `__abstract__ = True` and a `metadata`.
    """

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: UTCDateTime(), uuid.UUID: Uuid()}

    @declared_attr.directive
    @classmethod
    def __mapper_args__(cls) -> dict[str, Any]:
        return _mapper_args(cls)


class UUIDKey:
    """A primary key `id`: UUID version 7, made in Python, rising with time."""

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid7, sort_order=-2)


class Timestamps:
    """`created_at` and `updated_at`, both by the server's clock, also for bare Core statements."""

    # With their type, for bases that do not have our annotation map.
    created_at: Mapped[datetime] = mapped_column(
        UTCDateTime(), server_default=clock_timestamp(), sort_order=1
    )
    updated_at: Mapped[datetime] = mapped_column(
        UTCDateTime(), server_default=clock_timestamp(), onupdate=clock_timestamp(), sort_order=1
    )


class Versioned:
    """A `version` that the ORM raises at each UPDATE and checks; a lost race is an error.

    The later writer gets `sqlalchemy.orm.exc.StaleDataError`. Bulk and Core statements pass it by.

    Raises:
        ConfigurationError: the class has `__mapper_args__` of its own without `version_id_col`,
            so that nothing would be checked.
    """

    version: Mapped[int] = mapped_column(sort_order=1)

    @declared_attr.directive
    @classmethod
    def __mapper_args__(cls) -> dict[str, Any]:
        return _mapper_args(cls)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        mapper = cls.__dict__.get("__mapper__")
        if mapper is not None and mapper.version_id_col is None:
            raise ConfigurationError(
                f"{cls.__name__} is Versioned, but its own __mapper_args__ has no version_id_col, "
                "so lost updates would not be noticed; put version_id_col in, or leave it away"
            )


def _mapper_args(cls: Any) -> dict[str, Any]:
    # Base and Versioned give the same, so that the order in which a class names them is all one.
    # A subclass with a table of its own takes the version of its parent's.
    version = cls.__table__.c.get("version") if issubclass(cls, Versioned) else None
    args: dict[str, Any] = {"eager_defaults": True}
    return args if version is None else {**args, "version_id_col": version}
