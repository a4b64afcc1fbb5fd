"""Messages of a round, in the order in which they arrive."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.paging import Page
from moai.core.models import Message
from moai.services.arrival import next_time
from moai.services.discussions import get_discussion, hold_active
from moai.services.inputs import MessageInput, checked
from moai.services.paging import read_page
from moai.services.rounds import find_round


async def add_message(
    session: AsyncSession,
    discussion_id: str,
    model: str,
    content: str,
    *,
    number: int | None = None,
    is_direct: bool = False,
) -> Message:
    """Write down what a model said, behind what was said before in the round.

    Args:
        session: its owner commits. Until then others who add to the discussion wait.
        discussion_id: where.
        model: who said it.
        content: what, of any length.
        number: of the round; None is the newest.
        is_direct: whether only this model was asked.

    Raises:
        EndedError: the discussion is completed or abandoned.
        NotFoundError: there is no such discussion or round.
        InvalidInputError: that is no id, the name cannot be one, or the content is blank.
    """
    given = checked(MessageInput, {"model": model, "content": content, "is_direct": is_direct})
    found = await find_round(session, await hold_active(session, discussion_id), number)
    message = Message(
        round_id=found.id,
        created_at=await next_time(session, Message, Message.round_id == found.id),
        **given.model_dump(),
    )
    session.add(message)
    await session.flush()
    return message


async def list_messages(
    session: AsyncSession,
    discussion_id: str,
    *,
    number: int | None = None,
    after: str | None = None,
    limit: int = 100,
) -> Page[Message]:
    """Give the messages of a round as they arrived.

    Args:
        session: also one of `Database.read()`.
        discussion_id: where.
        number: of the round; None is the newest.
        after: `next` of the page before.
        limit: 1 to 10,000 of them.

    Raises:
        NotFoundError: there is no such discussion or round.
        InvalidInputError, ConfigurationError: the id, the limit or the place is none.
    """
    found = await find_round(session, await get_discussion(session, discussion_id), number)
    wanted = select(Message).where(Message.round_id == found.id)
    return await read_page(session, Message, wanted, after=after, limit=limit)
