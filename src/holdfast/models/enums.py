"""Enums stored by value, so that a new member needs no migration."""

import enum
from typing import Generic, TypeVar

from sqlalchemy import String
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from holdfast.errors import ConfigurationError

# One width for all: a longer member added later needs no migration.
ENUM_LENGTH = 32

E = TypeVar("E", bound=enum.Enum)


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
