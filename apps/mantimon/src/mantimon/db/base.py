"""The base of every model: an id, two timestamps, and a name for each constraint."""

from enum import StrEnum
from typing import Any, ClassVar, NoReturn

from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase, declared_attr

from holdfast import models
from holdfast.models import NAMING_CONVENTION, Timestamps, UUIDKey


class Base(UUIDKey, Timestamps, DeclarativeBase):
    """The declarative base, with the common columns `id`, `created_at` and `updated_at`.

    It has a registry of its own, not the library's: names in relationships ("User") are looked
    up there, and another application in the same process may have a `User` too.
    """

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map: ClassVar[dict[Any, Any]] = models.Base.type_annotation_map

    @declared_attr.directive
    @classmethod
    def __mapper_args__(cls) -> dict[str, Any]:
        # What the server makes comes back with the UPDATE too: async code cannot fetch it later.
        return {"eager_defaults": True}


class Choice(StrEnum):
    """A closed list of values that says what it has when it is asked for another."""

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        known = ", ".join(cls)
        raise ValueError(f"{value!r} is no {cls.__name__}; it is one of {known}")
