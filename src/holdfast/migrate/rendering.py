"""How Holdfast's types and clock are written into a migration: plainly, for both engines.

An old migration then means the same for ever, whatever becomes of the library or the models.
"""

from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import JSON
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect

from holdfast.models import NotBlank, TypedJSON, UTCDateTime, ValueEnum, clock_timestamp

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext

_POSTGRESQL: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's own
_SQLITE: Dialect = sqlite.dialect()


def render_item(kind: str, item: Any, autogen: "AutogenContext") -> str | Literal[False]:
    """Answer Alembic's question how to write an item; False leaves it to Alembic."""
    if kind != "type":
        return _render_clock(item) if kind == "server_default" else False
    if isinstance(item, UTCDateTime):
        return "sa.DateTime(timezone=True)"
    if isinstance(item, ValueEnum):
        return f"sa.String(length={item.length})"
    # SQLModel's AutoString by its name, since SQLModel may not be installed.
    if isinstance(item, NotBlank) or type(item).__name__ == "AutoString":
        return f"sa.String(length={item.length})" if item.length else "sa.String()"
    if isinstance(item, TypedJSON) or _is_json_type(item):
        autogen.imports.add("from sqlalchemy.dialects import postgresql")
        return "sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(), 'postgresql')"
    return False


def _render_clock(item: Any) -> str | Literal[False]:
    clock = getattr(item, "arg", None)
    if not isinstance(clock, clock_timestamp):
        return False
    # The SQL of the engine at hand would fail on the other one.
    texts = {each.name: str(clock.compile(dialect=each)) for each in (_POSTGRESQL, _SQLITE)}
    return f"sa.text({texts!r}[op.get_context().dialect.name])"


def _is_json_type(item: Any) -> bool:
    return type(item) is JSON and isinstance(item.dialect_impl(_POSTGRESQL), postgresql.JSONB)
