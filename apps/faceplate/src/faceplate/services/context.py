"""The end of a conversation that a model is given: so many messages, or so many characters.

Read in one statement along one index, from the newest message back, and no further than asked
for: what it costs depends on the answer, not on how long the conversation or the table is.
"""

import uuid
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Integer,
    Select,
    Text,
    and_,
    cast,
    func,
    literal,
    select,
    true,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from faceplate.errors import InvalidInputError
from faceplate.models import Message
from faceplate.services.inputs import MOST_AT_ONCE, require_limit

MOST_CHARACTERS = 100_000_000


async def get_context(
    session: AsyncSession,
    conversation_id: uuid.UUID,
    *,
    messages: int | None = None,
    characters: int | None = None,
    newest_first: bool = False,
) -> list[Message]:
    """Give the last messages of a conversation, as many as both limits allow.

    Args:
        session: also one of `Database.read()`.
        conversation_id: one that does not exist has no messages.
        messages: at most so many, 1 to 10,000.
        characters: at most so many in all, 1 to 100 million. Messages are given whole: the first
            one, going back, that does not fit ends the context, also when it is the newest. The
            characters of a message are those of its content, and of its tool calls and results as
            JSON text. With this alone there are 10,000 messages at most.
        newest_first: the newest message first, instead of the oldest.

    Raises:
        InvalidInputError: neither limit is given, or one is out of its range.
    """
    statement = select_context(
        conversation_id, messages=messages, characters=characters, newest_first=newest_first
    )
    return list(await session.scalars(statement))


def select_context(
    conversation_id: uuid.UUID,
    *,
    messages: int | None = None,
    characters: int | None = None,
    newest_first: bool = False,
) -> "Select[Message]":
    """Build the query of `get_context`; arguments and errors are the same."""
    if messages is None and characters is None:
        raise InvalidInputError("a context needs a limit: messages, characters, or both")
    if messages is not None:
        require_limit("messages", messages)
    most = messages or MOST_AT_ONCE
    if characters is None:
        found = aliased(Message, _newest(conversation_id).limit(most).subquery())
        return select(found).order_by(*_order(found, newest_first=newest_first))
    require_limit("characters", characters, MOST_CHARACTERS)
    walked = _walk_back(conversation_id, most, characters)
    found = aliased(Message, walked)
    fits = walked.c.characters <= characters  # the newest one may be too long by itself
    return select(found).where(fits).order_by(*_order(found, newest_first=newest_first))


def _walk_back(conversation_id: uuid.UUID, messages: int, characters: int) -> CTE:
    """Take one message after the other, each found by the index, until a limit is reached.

    A running sum over the whole conversation would read and count all of it.
    """
    newest = _newest(conversation_id).limit(1).subquery("newest")
    walked = select(newest, _length(newest.c).label("characters"), literal(1).label("number")).cte(
        "walked", recursive=True
    )
    before = tuple_(Message.created_at, Message.id) < tuple_(walked.c.created_at, walked.c.id)
    previous = _newest(conversation_id).where(before).limit(1).lateral("previous")
    total = walked.c.characters + _length(previous.c)
    within = and_(total <= characters, walked.c.number < messages)
    step = select(previous, total, walked.c.number + 1).select_from(walked).join(previous, true())
    return walked.union_all(step.where(within))


def _newest(conversation_id: uuid.UUID) -> "Select[Message]":
    backward = (Message.created_at.desc(), Message.id.desc())
    mine = Message.conversation_id == conversation_id
    return select(Message).where(mine).order_by(*backward)


def _order(of: type[Message], *, newest_first: bool) -> "tuple[ColumnElement[Any], ...]":
    columns = (of.created_at, of.id)
    return tuple(each.desc() if newest_first else each.asc() for each in columns)


def _length(columns: "ReadOnlyColumnCollection[str, Any]") -> ColumnElement[int]:
    texts = (columns.content, cast(columns.tool_calls, Text), cast(columns.tool_results, Text))
    first, *others = (func.coalesce(func.char_length(each), 0) for each in texts)
    total: ColumnElement[int] = cast(sum(others, start=first), Integer)
    return total
