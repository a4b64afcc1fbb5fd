"""Columns of JSON."""

from typing import Any

from sqlalchemy import JSON
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine


def json_type() -> TypeEngine[Any]:
    """A JSON column type: JSONB on PostgreSQL, JSON elsewhere; None is SQL NULL.

    A new type each time: SQLAlchemy's mutation tracking spreads to all columns that share one.
    """
    return JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
