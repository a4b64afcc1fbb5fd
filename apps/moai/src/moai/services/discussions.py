"""Discussions: opened, ended, read whole, and deleted.

One is active until it is completed or abandoned, and may be opened again. Only to an active one
rounds and messages are added; a consensus may also be written for a completed one.
"""

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload, selectinload

from holdfast.models import clock_timestamp
from holdfast.paging import Page
from moai.core.models import Discussion, DiscussionKind, DiscussionStatus, Round
from moai.errors import EndedError, NotFoundError
from moai.services.inputs import DiscussionInput, StatusInput, checked, require_id
from moai.services.paging import read_page
from moai.services.projects import find_project

_ACTIVE = DiscussionStatus.ACTIVE


async def open_discussion(
    session: AsyncSession, project: str, question: str, *, kind: str = DiscussionKind.OPEN
) -> Discussion:
    """Put a question to a project's models.

    Args:
        session: its owner commits.
        project: an id or a name.
        question: any text that can be seen.
        kind: `open` or `consensus`.

    Raises:
        NotFoundError: there is no such project.
        InvalidInputError: the question is blank, there is no such kind, or the name is not clear.
    """
    given = checked(DiscussionInput, {"question": question, "kind": kind})
    found = await find_project(session, project)
    discussion = Discussion(project_id=found.id, **given.model_dump())
    session.add(discussion)
    await session.flush()
    return discussion


async def get_discussion(session: AsyncSession, discussion_id: str) -> Discussion:
    """Give a discussion, as it is in the database now.

    Raises:
        NotFoundError: there is none.
        InvalidInputError: that is no id.
    """
    return await _find(session, discussion_id, for_update=False)


async def hold_discussion(session: AsyncSession, discussion_id: str) -> Discussion:
    """Give a discussion which nobody else adds to until the transaction ends.

    Raises:
        NotFoundError, InvalidInputError: as for `get_discussion`.
    """
    return await _find(session, discussion_id, for_update=True)


async def hold_active(session: AsyncSession, discussion_id: str) -> Discussion:
    """Give a discussion to add to.

    Raises:
        EndedError: it is completed or abandoned.
        NotFoundError, InvalidInputError: as for `get_discussion`.
    """
    discussion = await hold_discussion(session, discussion_id)
    if discussion.status != _ACTIVE:
        raise _ended(discussion)
    return discussion


async def load_discussion(session: AsyncSession, discussion_id: str) -> Discussion:
    """Give a discussion with its project, rounds, messages and consensus.

    Raises:
        NotFoundError, InvalidInputError: as for `get_discussion`.
    """
    wanted = select(Discussion).where(Discussion.id == require_id("discussion", discussion_id))
    wanted = wanted.options(
        joinedload(Discussion.project),
        joinedload(Discussion.consensus),
        selectinload(Discussion.rounds).selectinload(Round.messages),
    )
    discussion = (await session.scalars(wanted)).one_or_none()
    if discussion is None:
        raise _missing(discussion_id)
    return discussion


async def list_discussions(
    session: AsyncSession,
    project: str,
    *,
    status: str | None = None,
    after: str | None = None,
    limit: int = 100,
) -> Page[Discussion]:
    """Give a project's discussions, the oldest first.

    Args:
        session: also one of `Database.read()`.
        project: an id or a name.
        status: only `active`, `completed` or `abandoned` ones.
        after: `next` of the page before.
        limit: 1 to 10,000 of them.

    Raises:
        NotFoundError: there is no such project.
        InvalidInputError, ConfigurationError: the status, the limit or the place is none.
    """
    found = await find_project(session, project)
    wanted = select(Discussion).where(Discussion.project_id == found.id)
    if status is not None:
        given = checked(StatusInput, {"status": status})
        wanted = wanted.where(Discussion.status == given.status)
    return await read_page(session, Discussion, wanted, after=after, limit=limit)


async def complete_discussion(session: AsyncSession, discussion_id: str) -> Discussion:
    """End an active discussion; `completed_at` is now.

    Raises:
        EndedError, NotFoundError, InvalidInputError: as for `hold_active`.
    """
    discussion = await hold_active(session, discussion_id)
    return await _set_status(session, discussion, DiscussionStatus.COMPLETED)


async def abandon_discussion(session: AsyncSession, discussion_id: str) -> Discussion:
    """End an active discussion that came to nothing; it was never completed.

    Raises:
        EndedError, NotFoundError, InvalidInputError: as for `hold_active`.
    """
    discussion = await hold_active(session, discussion_id)
    return await _set_status(session, discussion, DiscussionStatus.ABANDONED)


async def reopen_discussion(session: AsyncSession, discussion_id: str) -> Discussion:
    """Go on with a discussion that has ended; of an active one nothing changes.

    Raises:
        NotFoundError, InvalidInputError: as for `get_discussion`.
    """
    discussion = await hold_discussion(session, discussion_id)
    return await _set_status(session, discussion, _ACTIVE)


async def delete_discussion(session: AsyncSession, discussion_id: str) -> str:
    """Delete a discussion with everything in it, in one statement; give its id.

    Raises:
        NotFoundError, InvalidInputError: as for `get_discussion`.
    """
    discussion = await get_discussion(session, discussion_id)
    await session.execute(delete(Discussion).where(Discussion.id == discussion.id))
    return discussion.id


async def _find(session: AsyncSession, discussion_id: str, *, for_update: bool) -> Discussion:
    wanted = select(Discussion).where(Discussion.id == require_id("discussion", discussion_id))
    if for_update:
        # SQLite has no locks of rows: a transaction there has the whole file to itself.
        wanted = wanted.with_for_update(key_share=True)
    found = await session.scalars(wanted, execution_options={"populate_existing": True})
    discussion = found.one_or_none()
    if discussion is None:
        raise _missing(discussion_id)
    return discussion


async def _set_status(
    session: AsyncSession, discussion: Discussion, status: DiscussionStatus
) -> Discussion:
    ends = status == DiscussionStatus.COMPLETED
    values = {"status": status, "completed_at": clock_timestamp() if ends else None}
    changed = update(Discussion).where(Discussion.id == discussion.id).values(values)
    returned = await session.scalars(
        changed.returning(Discussion), execution_options={"populate_existing": True}
    )
    return returned.one()


def _ended(discussion: Discussion) -> EndedError:
    return EndedError(
        f"discussion {discussion.id} is {discussion.status}; to go on with it: "
        f"moai discussions reopen {discussion.id}"
    )


def _missing(discussion_id: str) -> NotFoundError:
    return NotFoundError(
        f"there is no discussion {discussion_id}; see: moai discussions list PROJECT"
    )
