"""Say what was read when a statement was to run outside of an awaited call."""

import sys
from types import FrameType
from typing import Any

from holdfast.pool.callers import find_caller

_ATTRIBUTES = "sqlalchemy.orm.attributes"


def explain_outside() -> str:
    """Give the text of SQLAlchemy's `MissingGreenlet`, which is nearly always about an attribute.

    The attribute is on the stack: an object that asks the database for what it lacks.
    """
    read = _attribute_being_read()
    what = "Model.attribute" if read is None else f"{type(read[0]).__name__}.{read[1]}"
    how = (
        f"Load it with the query (options(selectinload({what}))), or before it is read "
        f"(await session.refresh(instance, [{what.partition('.')[2]!r}]))"
    )
    if read is None:
        return (
            f"at {find_caller()} a statement was to run outside of an awaited call of the session: "
            "most likely an attribute that is not loaded was read (a relationship, or a column "
            f"after expire), which would have to ask the database. {how}"
        )
    return (
        f"{what} was read at {find_caller()} and is not loaded (a relationship, or a column after "
        f"expire): the database would have to be asked, outside of an awaited call. {how}"
    )


def _attribute_being_read() -> tuple[Any, str] | None:
    """Give the object and the name of the attribute."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  -- only a failure looks at it
    while frame is not None:
        if frame.f_code.co_name == "__get__" and frame.f_globals.get("__name__") == _ATTRIBUTES:
            attribute: Any = frame.f_locals["self"]
            return frame.f_locals["instance"], attribute.key
        frame = frame.f_back
    return None
