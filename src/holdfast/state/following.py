"""What follows a caller's transaction, however it ends."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

_WAITING = "holdfast_state_after_end"  # of a session's info


def follow(session: Session, then: Callable[[], None]) -> None:
    """Call once when the transaction that is under way has ended, committed or not."""
    waiting: list[Callable[[], None]] | None = session.info.get(_WAITING)
    if waiting is None:
        waiting = session.info[_WAITING] = []
        event.listen(session, "after_transaction_end", _ended)
    waiting.append(then)


def _ended(session: Session, transaction: Any) -> None:
    if transaction.parent is None:
        waiting, session.info[_WAITING][:] = list(session.info[_WAITING]), []
        for then in waiting:
            then()
