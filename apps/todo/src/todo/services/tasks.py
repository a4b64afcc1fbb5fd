"""Tasks of a user: added, listed, completed, reopened, edited and deleted.

What another user has is not there: it is told in the same words as what nobody has.
"""

import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pydantic import ValidationError
from sqlalchemy import Select, delete, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from holdfast.paging import Page, make_page, read_place
from todo.errors import InvalidInputError, NotFoundError
from todo.models import Task, TaskStatus

MOST_AT_ONCE = 10_000  # tasks of one page
_DIGITS = re.compile(r"[0-9a-f]{1,32}")
_SHOWN = 40  # characters of a value in a message


async def add_task(
    session: AsyncSession, user_id: uuid.UUID, title: str, *, description: str | None = None
) -> Task:
    """Store a new task, which is pending.

    Args:
        session: the caller commits.
        user_id: whose it is.
        title: 1 to 200 characters, one of which can be seen.
        description: up to 1,000 characters; an empty one is none.

    Raises:
        InvalidInputError: it names all that is wrong. Nothing is written.
    """
    with _refusing():
        task = Task(user_id=user_id, title=title, description=description or None)
    session.add(task)
    await session.flush()
    return task


async def get_task(session: AsyncSession, user_id: uuid.UUID, task_id: uuid.UUID) -> Task:
    """Give one task, as it is in the database now.

    Raises:
        NotFoundError: the user has no such task.
    """
    return await _one(session, _of(user_id, task_id), task_id)


async def find_task(session: AsyncSession, user_id: uuid.UUID, named: str) -> Task:
    """Give the task whose id begins so, hyphens left out or not, as people write it.

    Raises:
        InvalidInputError: that is the beginning of no id, or of the ids of several tasks.
        NotFoundError: the user has no such task.
    """
    digits = named.replace("-", "").lower()
    if not _DIGITS.fullmatch(digits):
        raise InvalidInputError(
            f"id is {named[:_SHOWN]!r}; it is the first digits of an id, or all of them, "
            "as a list shows it"
        )
    first, last = (uuid.UUID(digits.ljust(32, end)) for end in "0f")
    statement = (
        select(Task).where(col(Task.user_id) == user_id, col(Task.id).between(first, last)).limit(2)
    )
    found = await _all(session, statement)
    if len(found) > 1:
        raise InvalidInputError(f"id is {named!r}; several tasks begin so: write more of it")
    if not found:
        raise _missing(named)
    return found[0]


async def list_tasks(
    session: AsyncSession,
    user_id: uuid.UUID,
    *,
    status: TaskStatus | None = None,
    after: str | None = None,
    limit: int = 50,
) -> Page[Task]:
    """Give a user's tasks, the newest one first.

    Args:
        session: also one of `Database.read()`.
        user_id: whose they are; nobody has none.
        status: only those that have it.
        after: `next` of the page before.
        limit: 1 to 10,000 of them.

    Raises:
        InvalidInputError: the limit is none.
        ConfigurationError: no page has given that place.
    """
    if not 1 <= limit <= MOST_AT_ONCE:
        raise InvalidInputError(f"limit is {limit}; it is between 1 and {MOST_AT_ONCE}")
    rows = await _all(session, select_tasks(user_id, limit + 1, status=status, after=after))
    return make_page(rows, limit, lambda task: (task.created_at, task.id))


def select_tasks(
    user_id: uuid.UUID, limit: int, *, status: TaskStatus | None, after: str | None
) -> Select[Task]:
    """Give the query of `list_tasks`, which an index answers in its order."""
    statement = select(Task).where(col(Task.user_id) == user_id)
    if status is not None:
        statement = statement.where(col(Task.status) == status)
    if after is not None:
        place = tuple_(col(Task.created_at), col(Task.id))
        statement = statement.where(place < read_place(after))
    newest_first = (col(Task.created_at).desc(), col(Task.id).desc())
    return statement.order_by(*newest_first).limit(limit)


async def complete_task(session: AsyncSession, user_id: uuid.UUID, task_id: uuid.UUID) -> Task:
    """Say that a task is done; one that is already stays so.

    Raises:
        NotFoundError: the user has no such task.
    """
    return await _set_status(session, user_id, task_id, TaskStatus.COMPLETED)


async def reopen_task(session: AsyncSession, user_id: uuid.UUID, task_id: uuid.UUID) -> Task:
    """Say that a task is to be done; one that is pending stays so.

    Raises:
        NotFoundError: the user has no such task.
    """
    return await _set_status(session, user_id, task_id, TaskStatus.PENDING)


async def edit_task(
    session: AsyncSession,
    user_id: uuid.UUID,
    task_id: uuid.UUID,
    *,
    title: str | None = None,
    description: str | None = None,
) -> Task:
    """Give a task another title, another description, or both.

    Args:
        session: the caller commits.
        user_id: whose it is.
        task_id: which one.
        title: None keeps it.
        description: None keeps it, an empty one removes it.

    Raises:
        InvalidInputError: it names all that is wrong, or nothing is to be changed. Nothing is
            written.
        NotFoundError: the user has no such task.
    """
    changes: dict[str, str | None] = {}
    if title is not None:
        changes["title"] = title
    if description is not None:
        changes["description"] = description or None
    if not changes:
        raise InvalidInputError("nothing is to be changed: give a title, a description, or both")
    # Locked, so that nobody deletes it before the UPDATE.
    task = await _one(session, _of(user_id, task_id).with_for_update(), task_id)
    with _refusing():
        task.sqlmodel_update(changes)
    await session.flush()
    return task


async def delete_task(session: AsyncSession, user_id: uuid.UUID, task_id: uuid.UUID) -> None:
    """Delete a task.

    Raises:
        NotFoundError: the user has no such task.
    """
    statement = delete(Task).where(col(Task.id) == task_id, col(Task.user_id) == user_id)
    if await session.scalar(statement.returning(col(Task.id))) is None:
        raise _missing(task_id)


async def _set_status(
    session: AsyncSession, user_id: uuid.UUID, task_id: uuid.UUID, status: TaskStatus
) -> Task:
    statement = (
        update(Task)
        .where(col(Task.id) == task_id, col(Task.user_id) == user_id)
        .values(status=status)
        .returning(Task)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
    task = await session.scalar(statement)
    if task is None:
        raise _missing(task_id)
    return task


def _of(user_id: uuid.UUID, task_id: uuid.UUID) -> Select[Task]:
    statement = select(Task).where(col(Task.id) == task_id, col(Task.user_id) == user_id)
    return statement.execution_options(populate_existing=True)


async def _all(session: AsyncSession, statement: Select[Task]) -> Sequence[Task]:
    # SQLModel's session warns of `scalars`, and others have no `exec`.
    return await session.run_sync(lambda sync: sync.scalars(statement).all())


async def _one(session: AsyncSession, statement: Select[Task], task_id: uuid.UUID) -> Task:
    task = await session.scalar(statement)
    if task is None:
        raise _missing(task_id)
    return task


def _missing(named: object) -> NotFoundError:
    return NotFoundError(f"there is no task {named}")


@contextmanager
def _refusing() -> Iterator[None]:
    """Say in one line what a task cannot be."""
    try:
        yield
    except ValidationError as error:
        problems = (
            f"{each['loc'][0]}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors()
        )
        raise InvalidInputError("; ".join(problems)) from None
