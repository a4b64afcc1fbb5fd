"""Conversations of a user: begun, renamed, listed by their latest message, and deleted."""

import uuid

from sqlalchemy import delete, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from faceplate.errors import NotFoundError
from faceplate.models import Conversation
from faceplate.models.conversation import NEW_CHAT
from faceplate.services.inputs import require_limit, require_name
from faceplate.services.refusals import refusing
from holdfast.paging import Page, make_page, read_place

LONGEST_TITLE = 255


async def create_conversation(
    session: AsyncSession, user_id: uuid.UUID, *, title: str = NEW_CHAT
) -> Conversation:
    """Begin a conversation.

    Args:
        session: the caller commits.
        user_id: whose it is.
        title: 1 to 255 printable characters.

    Raises:
        InvalidInputError: the title is none. Nothing is written.
        NotFoundError: there is no such user. The transaction has failed.
    """
    require_name("title", title, LONGEST_TITLE)
    conversation = Conversation(user_id=user_id, title=title)
    session.add(conversation)
    missing = NotFoundError(f"there is no user {user_id}")
    with refusing({"fk_conversations_user_id_users": missing}):
        await session.flush()
    return conversation


async def get_conversation(session: AsyncSession, conversation_id: uuid.UUID) -> Conversation:
    """Give a conversation, as it is in the database now.

    Raises:
        NotFoundError: there is no such conversation.
    """
    found = await session.get(Conversation, conversation_id, populate_existing=True)
    if found is None:
        raise _missing(conversation_id)
    return found


async def list_conversations(
    session: AsyncSession, user_id: uuid.UUID, *, after: str | None = None, limit: int = 50
) -> Page[Conversation]:
    """Give a user's conversations, the one with the latest message first.

    One that is written to while pages are read moves to the front, where the first page has it.

    Args:
        session: also one of `Database.read()`.
        user_id: whose they are; nobody has none.
        after: `next` of the page before.
        limit: 1 to 10,000 of them.

    Raises:
        InvalidInputError: the limit or the place is none.
    """
    require_limit("limit", limit)
    statement = (
        select(Conversation)
        .where(Conversation.user_id == user_id)
        .order_by(Conversation.updated_at.desc(), Conversation.id.desc())
        .limit(limit + 1)
    )
    if after is not None:
        place = tuple_(Conversation.updated_at, Conversation.id)
        statement = statement.where(place < read_place(after))
    rows = (await session.scalars(statement)).all()
    return make_page(rows, limit, lambda each: (each.updated_at, each.id))


async def rename_conversation(
    session: AsyncSession, conversation_id: uuid.UUID, title: str
) -> Conversation:
    """Give a conversation another title, 1 to 255 printable characters.

    Raises:
        InvalidInputError: the title is none. Nothing is written.
        NotFoundError: there is no such conversation.
    """
    require_name("title", title, LONGEST_TITLE)
    conversation = await get_conversation(session, conversation_id)
    conversation.title = title
    await session.flush()
    return conversation


async def delete_conversation(session: AsyncSession, conversation_id: uuid.UUID) -> None:
    """Delete a conversation with its messages, in one statement.

    Raises:
        NotFoundError: there is no such conversation.
    """
    statement = delete(Conversation).where(Conversation.id == conversation_id)
    if await session.scalar(statement.returning(Conversation.id)) is None:
        raise _missing(conversation_id)


def _missing(conversation_id: uuid.UUID) -> NotFoundError:
    return NotFoundError(f"there is no conversation {conversation_id}")
