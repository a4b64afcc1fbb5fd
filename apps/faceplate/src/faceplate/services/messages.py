"""Messages of a conversation: written once each, and read in the order in which they were."""

import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from faceplate.errors import InvalidInputError, NotFoundError
from faceplate.models import Message
from faceplate.services.inputs import require_content, require_limit, require_role
from faceplate.services.refusals import refusing
from faceplate.tools import ToolCall, ToolResult, plain_calls, plain_results
from holdfast.models import uuid7
from holdfast.paging import Page, make_page, read_place


async def add_message(
    session: AsyncSession,
    conversation_id: uuid.UUID,
    role: str,
    *,
    content: str | None = None,
    tool_calls: Sequence[ToolCall | dict[str, Any]] | None = None,
    tool_results: Sequence[ToolResult | dict[str, Any]] | None = None,
    message_id: uuid.UUID | None = None,
) -> Message:
    """Write a message at the end of a conversation, in one round trip.

    Others who write to the same conversation wait until the caller's transaction ends: keep it
    short, and write to several conversations in the order of their ids.

    Args:
        session: the caller commits.
        conversation_id: where it belongs.
        role: `user`, `assistant`, `system` or `tool`.
        content: any text; none for a message that only calls tools.
        tool_calls: see `faceplate.tools`.
        tool_results: see `faceplate.tools`.
        message_id: an id of the caller's own, from `holdfast.models.uuid7()`. A message that is
            sent again with it, since its COMMIT was left unknown, is written once.

    Raises:
        InvalidInputError: one of them is none; tool calls name everything that is wrong. Or the
            id is that of a message in another conversation. Nothing is written.
        NotFoundError: there is no such conversation. The transaction has failed.
    """
    require_content(content)
    message_id = message_id or uuid7()
    row = {
        "id": message_id,
        "conversation_id": conversation_id,
        "role": require_role(role),
        "content": content,
        "tool_calls": plain_calls(_listed(tool_calls)),
        "tool_results": plain_results(_listed(tool_results)),
    }
    statement = insert(Message).values(row).on_conflict_do_nothing(index_elements=["id"])
    missing = NotFoundError(f"there is no conversation {conversation_id}")
    with refusing({"fk_messages_conversation_id_conversations": missing}):
        written = (await session.scalars(statement.returning(Message))).one_or_none()
    return written or await _sent_before(session, message_id, conversation_id)


async def get_message(session: AsyncSession, message_id: uuid.UUID) -> Message:
    """Give a message.

    Raises:
        NotFoundError: there is no such message.
    """
    message = await session.get(Message, message_id)
    if message is None:
        raise _missing(message_id)
    return message


async def list_messages(
    session: AsyncSession, conversation_id: uuid.UUID, *, after: str | None = None, limit: int = 100
) -> Page[Message]:
    """Give a conversation's messages, the first one first.

    Args:
        session: also one of `Database.read()`.
        conversation_id: where they belong; one that does not exist has none.
        after: `next` of the page before.
        limit: 1 to 10,000 of them.

    Raises:
        InvalidInputError: the limit or the place is none.
    """
    require_limit("limit", limit)
    statement = (
        select(Message)
        .where(Message.conversation_id == conversation_id)
        .order_by(Message.created_at, Message.id)
        .limit(limit + 1)
    )
    if after is not None:
        statement = statement.where(tuple_(Message.created_at, Message.id) > read_place(after))
    rows = (await session.scalars(statement)).all()
    return make_page(rows, limit, lambda message: (message.created_at, message.id))


async def delete_message(session: AsyncSession, message_id: uuid.UUID) -> None:
    """Delete one message; the conversation's `updated_at` stays.

    Raises:
        NotFoundError: there is no such message.
    """
    gone = await session.scalar(
        delete(Message).where(Message.id == message_id).returning(Message.id)
    )
    if gone is None:
        raise _missing(message_id)


async def _sent_before(
    session: AsyncSession, message_id: uuid.UUID, conversation_id: uuid.UUID
) -> Message:
    message = await get_message(session, message_id)
    if message.conversation_id != conversation_id:
        raise InvalidInputError(f"message {message_id} is in another conversation already")
    return message


def _listed(parts: Sequence[Any] | None) -> object:
    return list(parts) if isinstance(parts, tuple) else parts


def _missing(message_id: uuid.UUID) -> NotFoundError:
    return NotFoundError(f"there is no message {message_id}")
