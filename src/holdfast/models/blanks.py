"""Text that says something, in Python and in the database."""

from typing import Any

from sqlalchemy import ARRAY, CheckConstraint, Column, String, Table, event, func
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import TypeDecorator, TypeEngine

from holdfast.errors import InvalidValueError

# What Python strips, and what cannot be seen although no standard calls it a space: ZERO WIDTH
# SPACE, WORD JOINER and the byte order mark. A list of our own, since each side has another one.
BLANKS = (
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680"
    "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
    "\u200b\u2060\ufeff"
)

_OF = "holdfast.not_blank"


def is_blank(text: str) -> bool:
    """Tell whether a text is empty or has nothing but `BLANKS`."""
    return not text.strip(BLANKS)


class NotBlank(TypeDecorator[str]):
    """A text that is neither empty nor blank, as Python and a CHECK constraint see to.

        title: Mapped[str] = mapped_column(NotBlank(200))

    The table gets the constraint `ck_<table>_<column>_not_blank`. Both go by `BLANKS`, so they
    agree on every text, on PostgreSQL and SQLite. The text is stored as it is, not stripped.

    Args:
        length: of the VARCHAR, in characters; None for no limit.
        name: of the constraint, without what the naming convention puts in front.

    Raises:
        InvalidValueError: on assigning or writing a blank text.
    """

    impl = String
    cache_ok = True

    def __init__(self, length: int | None = None, *, name: str | None = None) -> None:
        super().__init__(length)
        self.length = length
        self.name = name

    def check(self, value: str) -> None:
        """Raise InvalidValueError for a blank text."""
        if isinstance(value, str) and is_blank(value):
            raise InvalidValueError("is empty or blank; give it a text that can be seen")

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Refuse a blank text."""
        if value is not None:
            self.check(value)
        return value

    def coerce_compared_value(self, op: OperatorType | None, value: Any) -> TypeEngine[Any]:
        """Give plain text: what one looks for, or puts between two of them, may be blank."""
        return self.impl_instance

    def _set_parent(self, parent: Any, outer: bool = False, **options: Any) -> None:  # noqa: FBT001, FBT002
        super()._set_parent(parent, outer=outer, **options)
        if isinstance(parent, Column) and not isinstance(parent.type, ARRAY):
            event.listen(parent, "after_parent_attach", self._constrain)

    def _constrain(self, column: Column[str], table: Table) -> None:
        name = self.name or f"{column.name}_not_blank"
        says_something = func.trim(column, BLANKS) != ""
        constraint = CheckConstraint(says_something, name=name, info={_OF: name})
        event.listen(constraint, "after_parent_attach", _take_the_place, propagate=True)
        table.append_constraint(constraint)


def _take_the_place(constraint: CheckConstraint, table: Table) -> None:
    """Leave one of two: a copied table makes its own, and has that of the original copied."""
    for each in list(table.constraints):
        if each is not constraint and each.info.get(_OF) == constraint.info.get(_OF):
            table.constraints.discard(each)
