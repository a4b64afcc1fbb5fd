"""What follows the commit of a caller's transaction."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

_WAITING = "holdfast_state_after_commit"  # of a session's info


def follow(session: Session, then: Callable[[], None]) -> None:
    """Call once when the transaction that is under way was committed; not where it was not."""
    waiting: list[Callable[[], None]] | None = session.info.get(_WAITING)
    if waiting is None:
        waiting = session.info[_WAITING] = []
        event.listen(session, "after_commit", _committed)
        event.listen(session, "after_transaction_end", _ended)
    waiting.append(then)


def _committed(session: Session) -> None:
    if not session.in_nested_transaction():
        waiting, session.info[_WAITING][:] = list(session.info[_WAITING]), []
        for then in waiting:
            then()


def _ended(session: Session, transaction: Any) -> None:
    if transaction.parent is None:
        session.info[_WAITING].clear()
