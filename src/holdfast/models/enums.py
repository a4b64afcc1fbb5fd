"""Enums stored by value, so that a new member needs no migration."""

import enum
from typing import Any, Generic, Literal, TypeVar

from sqlalchemy import String
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import operators
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import TypeDecorator, TypeEngine

from holdfast.errors import ConfigurationError, InvalidValueError

# One width, unless another is asked for: a longer member added later needs no migration.
ENUM_LENGTH = 32

_PATTERNS = frozenset(
    {
        *(operators.like_op, operators.not_like_op, operators.ilike_op, operators.not_ilike_op),
        *(operators.startswith_op, operators.endswith_op, operators.contains_op),
        *(operators.regexp_match_op, operators.not_regexp_match_op),
    }
)

E = TypeVar("E", bound=enum.Enum)


class ValueEnum(TypeDecorator[E], Generic[E]):
    """An enum stored by value in a VARCHAR, checked in Python before it is written.

        status: Mapped[Status] = mapped_column(ValueEnum(Status))

    There is no CHECK and no database type, so a new member needs no migration. A value that this
    release does not know, since a newer one has written it, can be read, and is never written.

    Args:
        members: the enum; its values are strings of at most `length` characters.
        unknown: what an unknown value is when it is read: its text (`"text"`), a member that
            stands for all of them, or an error (`"error"`).
        length: of the VARCHAR, in characters.

    Raises:
        ConfigurationError: a value is not a string or too long, at class definition.
        InvalidValueError: on binding what is no member, or the one that stands for the unknown
            ones; with `unknown="error"`, on loading what is no member.
    """

    impl = String
    cache_ok = True

    def __init__(
        self,
        members: type[E],
        *,
        unknown: E | Literal["text", "error"] = "text",
        length: int = ENUM_LENGTH,
    ) -> None:
        for member in members:
            if not isinstance(member.value, str) or len(member.value) > length:
                raise ConfigurationError(
                    f"{members.__name__}.{member.name} is {member.value!r}; "
                    f"a value is a string of at most {length} characters"
                )
        if not isinstance(unknown, members) and unknown not in {"text", "error"}:
            raise ConfigurationError(
                f"unknown={unknown!r} of ValueEnum({members.__name__}): it is 'text', 'error' or "
                "a member that stands for the unknown values"
            )
        super().__init__(length)
        self.length = length
        self.members = members
        self.unknown = unknown
        # Calling an enum takes four times as long, for each value of each row.
        self._by_value = {member.value: member for member in members}

    def coerce_compared_value(self, op: OperatorType | None, value: Any) -> TypeEngine[Any]:
        """Give plain text for a pattern, which need be no member."""
        return self.impl_instance if op in _PATTERNS else self

    def process_bind_param(self, value: E | str | None, dialect: Dialect) -> str | None:
        """Give the member's value; a string is taken when it is one."""
        if value is None:
            return None
        member = value if isinstance(value, self.members) else None
        if isinstance(value, str):
            member = self._by_value.get(value)
        if member is None:
            raise self._refusal()
        if member is self.unknown:
            raise InvalidValueError(
                f"is {self.members.__name__}.{member.name}, which stands for values that this "
                "release does not know and is never written; give it one of the others"
            )
        return str(member._value_)  # `value` is a property, and takes as long as all of this

    def process_result_value(self, value: str | None, dialect: Dialect) -> E | None:
        """Give the member."""
        if value is None:
            return None
        member = self._by_value.get(value)
        return self._not_known(value) if member is None else member  # one of "" is false

    def _not_known(self, value: str) -> E:
        if isinstance(self.unknown, self.members):
            return self.unknown
        if self.unknown == "error":
            raise self._refusal()
        return value  # type: ignore[return-value]  # what the policy says

    def _refusal(self) -> InvalidValueError:
        known = ", ".join(repr(each.value) for each in self.members if each is not self.unknown)
        return InvalidValueError(f"is no {self.members.__name__}; it has {known}")
