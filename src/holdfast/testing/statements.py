"""Count the statements that a piece of code sends."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast.database import Database
    from holdfast.pool import Caller


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement as it was sent, and the line that sent it."""

    sql: str
    caller: "Caller"

    def __str__(self) -> str:
        return f"{self.caller}: {' '.join(self.sql.split())}"


@dataclass(slots=True)
class Counted:
    """The statements so far, in their order."""

    statements: list[Statement] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.statements)


@contextmanager
def count_statements(db: "Database", *, at_most: int | None = None) -> Iterator[Counted]:
    """Count what is sent to the database in this block, BEGIN and COMMIT left out.

        with count_statements(db, at_most=3):
            await show_deck(deck_id)

    Args:
        db: by any of its sessions and engines.
        at_most: more fail the test, with a list of all and the lines that sent them.

    Raises:
        AssertionError: there were more.
    """
    from sqlalchemy import event  # noqa: PLC0415  -- whoever has a database has it loaded

    from holdfast.pool import find_caller  # noqa: PLC0415  -- as above

    counted = Counted()

    def count(_conn: object, _cursor: object, sql: str, *_rest: Any) -> None:
        counted.statements.append(Statement(sql, find_caller()))

    event.listen(db.engine.sync_engine, "before_cursor_execute", count)
    try:
        yield counted
    finally:
        event.remove(db.engine.sync_engine, "before_cursor_execute", count)
    if at_most is not None and len(counted) > at_most:
        were = "1 statement was" if len(counted) == 1 else f"{len(counted)} statements were"
        said = f"{were} sent, at most {at_most} expected:"
        lines = (f"  {number}. {each}" for number, each in enumerate(counted.statements, 1))
        raise AssertionError("\n".join([said, *lines]))
