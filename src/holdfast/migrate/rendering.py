"""How Holdfast's types are written into a migration: as plain SQLAlchemy ones.

An old migration then means the same for ever, whatever becomes of the library or the models.
"""

from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import JSON
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect

from holdfast.models import NotBlank, TypedJSON, UTCDateTime, ValueEnum

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext

_POSTGRESQL: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's own


def render_item(kind: str, item: Any, autogen: "AutogenContext") -> str | Literal[False]:
    """Answer Alembic's question how to write an item; False leaves it to Alembic."""
    if kind != "type":
        return False
    if isinstance(item, UTCDateTime):
        return "sa.DateTime(timezone=True)"
    if isinstance(item, ValueEnum):
        return f"sa.String(length={item.length})"
    if isinstance(item, NotBlank):
        return f"sa.String(length={item.length})" if item.length else "sa.String()"
    if isinstance(item, TypedJSON) or _is_json_type(item):
        autogen.imports.add("from sqlalchemy.dialects import postgresql")
        return "sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(), 'postgresql')"
    return False


def _is_json_type(item: Any) -> bool:
    return type(item) is JSON and isinstance(item.dialect_impl(_POSTGRESQL), postgresql.JSONB)
