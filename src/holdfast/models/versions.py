"""Rows that count their changes, so that none is lost to another's."""

from typing import Any

from sqlalchemy.orm import Mapped, declared_attr, mapped_column

from holdfast.errors import ConfigurationError


class Versioned:
    """A `version` that the ORM raises at each UPDATE and checks; a lost race is an error.

    Bulk and Core statements pass it by.

    Raises:
        StaleVersionError: at the flush of who comes later, with the row's key and both versions;
            on sessions that are not Holdfast's it is SQLAlchemy's StaleDataError, with neither.
        ConfigurationError: the class has `__mapper_args__` of its own without `version_id_col`,
            so that nothing would be checked.
    """

    version: Mapped[int] = mapped_column(sort_order=1)

    @declared_attr.directive
    @classmethod
    def __mapper_args__(cls) -> dict[str, Any]:
        return mapper_args(cls)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        mapper = cls.__dict__.get("__mapper__")
        if mapper is not None and mapper.version_id_col is None:
            raise ConfigurationError(
                f"{cls.__name__} is Versioned, but its own __mapper_args__ has no version_id_col, "
                "so lost updates would not be noticed; put version_id_col in, or leave it away"
            )


def mapper_args(cls: Any) -> dict[str, Any]:
    """Give what a class tells its mapper."""
    # Base and Versioned give the same, so that the order in which a class names them is all one.
    # A subclass with a table of its own takes the version of its parent's.
    version = cls.__table__.c.get("version") if issubclass(cls, Versioned) else None
    args: dict[str, Any] = {"eager_defaults": True}
    return args if version is None else {**args, "version_id_col": version}
