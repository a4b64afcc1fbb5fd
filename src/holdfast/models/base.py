"""The declarative base."""

import uuid
from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import MetaData, Uuid
from sqlalchemy.orm import DeclarativeBase, declared_attr

from holdfast.models.times import UTCDateTime
from holdfast.models.versions import mapper_args

# Names that a migration can refer to, the same on every machine. A CheckConstraint gives only
# its suffix: `name="quantity_positive"` becomes `ck_collections_quantity_positive`.
NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


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
        return mapper_args(cls)
