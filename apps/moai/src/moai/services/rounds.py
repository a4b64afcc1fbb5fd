"""Rounds of a discussion, numbered from 1, however many begin one at once."""

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.paging import Page
from moai.core.models import Discussion, Round, RoundKind
from moai.errors import NotFoundError
from moai.services.arrival import next_time
from moai.services.discussions import get_discussion, hold_active
from moai.services.inputs import RoundInput, checked
from moai.services.paging import read_page


async def add_round(
    session: AsyncSession, discussion_id: str, *, kind: str = RoundKind.PARALLEL
) -> Round:
    """Begin the next round of an active discussion.

    Args:
        session: its owner commits. Until then others who begin a round there wait.
        discussion_id: where.
        kind: `parallel` or `sequential`.

    Raises:
        EndedError: the discussion is completed or abandoned.
        NotFoundError: there is no such discussion.
        InvalidInputError: that is no id, or no kind.
    """
    given = checked(RoundInput, {"kind": kind})
    discussion = await hold_active(session, discussion_id)
    within = Round.discussion_id == discussion.id
    last = await session.scalar(select(func.max(Round.number)).where(within))
    begun = Round(
        discussion_id=discussion.id,
        number=(last or 0) + 1,
        created_at=await next_time(session, Round, within),
        **given.model_dump(),
    )
    session.add(begun)
    await session.flush()
    return begun


async def find_round(
    session: AsyncSession, discussion: Discussion, number: int | None = None
) -> Round:
    """Give a round of a discussion by its number, or the newest.

    Raises:
        NotFoundError: there is no such round, or none at all.
    """
    wanted = select(Round).where(Round.discussion_id == discussion.id)
    if number is not None:
        wanted = wanted.where(Round.number == number)
    found = (await session.scalars(wanted.order_by(Round.number.desc()).limit(1))).one_or_none()
    if found is None:
        which = "no round yet" if number is None else f"no round {number}"
        raise NotFoundError(
            f"discussion {discussion.id} has {which}; begin one: moai rounds add {discussion.id}"
        )
    return found


async def list_rounds(
    session: AsyncSession, discussion_id: str, *, after: str | None = None, limit: int = 100
) -> Page[Round]:
    """Give a discussion's rounds by number.

    Args:
        session: also one of `Database.read()`.
        discussion_id: whose.
        after: `next` of the page before.
        limit: 1 to 10,000 of them.

    Raises:
        NotFoundError: there is no such discussion.
        InvalidInputError, ConfigurationError: the id, the limit or the place is none.
    """
    discussion = await get_discussion(session, discussion_id)
    wanted = select(Round).where(Round.discussion_id == discussion.id)
    return await read_page(session, Round, wanted, after=after, limit=limit)
