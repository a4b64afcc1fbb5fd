"""Column types that send no tool call or result that was not checked, whatever wrote it."""

from typing import Any

from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from faceplate.tools import plain_calls, plain_results


class ToolCalls(TypeDecorator[list[dict[str, Any]]]):
    """JSONB that takes tool calls; None is SQL NULL.

    Raises:
        InvalidInputError: on binding; SQLAlchemy wraps it into `StatementError`.
    """

    impl = JSONB(none_as_null=True)
    cache_ok = True

    def process_bind_param(self, value: object, dialect: Dialect) -> list[dict[str, Any]] | None:
        """Check them; nothing is sent when one is wrong."""
        return plain_calls(value)


class ToolResults(TypeDecorator[list[dict[str, Any]]]):
    """JSONB that takes tool results; None is SQL NULL.

    Raises:
        InvalidInputError: on binding; SQLAlchemy wraps it into `StatementError`.
    """

    impl = JSONB(none_as_null=True)
    cache_ok = True

    def process_bind_param(self, value: object, dialect: Dialect) -> list[dict[str, Any]] | None:
        """Check them; nothing is sent when one is wrong."""
        return plain_results(value)
