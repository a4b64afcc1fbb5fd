"""The base of every model: Faceplate's own schema, an id, and times by the server's clock."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column

from holdfast import models
from holdfast.models import NAMING_CONVENTION, Timestamps, UTCDateTime, UUIDKey, clock_timestamp

SCHEMA = "faceplate"


class Base(DeclarativeBase):
    """The declarative base: all tables, and Alembic's own, are in the schema `faceplate`."""

    metadata = MetaData(schema=SCHEMA, naming_convention=NAMING_CONVENTION)
    type_annotation_map: ClassVar[dict[Any, Any]] = models.Base.type_annotation_map

    @declared_attr.directive
    @classmethod
    def __mapper_args__(cls) -> dict[str, Any]:
        # What the server makes comes back with the statement: async code cannot fetch it later.
        return {"eager_defaults": True}


class UUIDMixin(UUIDKey):
    """A primary key `id`: UUID version 7, made in Python, rising with time."""


class TimestampMixin(Timestamps):
    """`created_at`, and `updated_at` that moves with every change, also of a bare UPDATE."""


class BaseModel(UUIDMixin, Base):
    """What every table has: `id` and `created_at`."""

    __abstract__ = True

    created_at: Mapped[datetime] = mapped_column(
        UTCDateTime(), server_default=clock_timestamp(), sort_order=1
    )
