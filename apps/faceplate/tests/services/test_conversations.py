"""Conversations: begun, renamed, listed by their latest message, deleted."""

import uuid

import pytest

from faceplate.errors import InvalidInputError, NotFoundError
from faceplate.services.conversations import (
    create_conversation,
    delete_conversation,
    get_conversation,
    list_conversations,
    rename_conversation,
)
from faceplate.services.messages import add_message
from holdfast.errors import ConfigurationError


async def test_create(session, user):
    """A conversation is called `New Chat` until it has a title."""
    assert (await create_conversation(session, user.id)).title == "New Chat"
    assert (await create_conversation(session, user.id, title="Day 1")).title == "Day 1"


async def test_create_for_nobody(db):
    """A user who does not exist is one line, and nothing is written."""
    nobody = uuid.uuid4()
    with pytest.raises(NotFoundError, match=f"^there is no user {nobody}$"):
        await db.run(create_conversation, nobody)


async def test_rename(session, conversation):
    """A new title is there, and moves `updated_at`."""
    before = conversation.updated_at
    renamed = await rename_conversation(session, conversation.id, "Day 2")

    assert renamed.title == "Day 2"
    assert renamed.updated_at > before


@pytest.mark.parametrize("title", ["", "  ", "a\nb", "x" * 256, "\0", None])
async def test_a_title_that_is_none(session, user, conversation, title):
    """A title that cannot be one is refused in one line."""
    says = r"^title is .*; it has 1 to 255 printable characters$"
    with pytest.raises(InvalidInputError, match=says):
        await create_conversation(session, user.id, title=title)
    with pytest.raises(InvalidInputError, match=says):
        await rename_conversation(session, conversation.id, title)


async def test_listed_by_the_latest_message(session, user, make, store):
    """The conversation that was written to last comes first, and another user's do not come."""
    conversations = [await create_conversation(session, user.id) for _ in range(5)]
    other = make.user()
    await store(other)
    await create_conversation(session, other.id)
    for number in (2, 0, 3):
        await add_message(session, conversations[number].id, "user", content="hello")

    page = await list_conversations(session, user.id)

    expected = [conversations[number].id for number in (3, 0, 2, 4, 1)]
    assert [each.id for each in page.items] == expected
    assert page.next is None


async def test_pages(session, user):
    """Page by page each conversation is listed once."""
    made = [(await create_conversation(session, user.id)).id for _ in range(7)]
    listed, after = [], None
    for size in (3, 3, 1):
        page = await list_conversations(session, user.id, after=after, limit=3)
        assert len(page.items) == size
        listed, after = [*listed, *(each.id for each in page.items)], page.next

    assert (listed, after) == (made[::-1], None)


async def test_get_sees_what_a_message_has_moved(session, conversation):
    """The conversation is as it is in the database now, not as the session has loaded it."""
    before = conversation.updated_at
    message = await add_message(session, conversation.id, "user", content="hello")

    found = await get_conversation(session, conversation.id)

    assert found.updated_at == message.created_at > before


async def test_delete(session, conversation):
    """A deleted conversation is gone."""
    await delete_conversation(session, conversation.id)

    for work in (get_conversation, delete_conversation):
        with pytest.raises(NotFoundError, match=f"^there is no conversation {conversation.id}$"):
            await work(session, conversation.id)
    with pytest.raises(NotFoundError):
        await rename_conversation(session, conversation.id, "late")


async def test_listing_refuses_what_is_no_page(session, user):
    """Limits and places are checked as for users."""
    with pytest.raises(InvalidInputError, match=r"^limit is 0"):
        await list_conversations(session, user.id, limit=0)
    with pytest.raises(ConfigurationError, match=r"^after is 'x'"):
        await list_conversations(session, user.id, after="x")
