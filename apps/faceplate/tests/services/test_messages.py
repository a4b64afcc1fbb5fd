"""Messages: written at the end, once, by many at once, and read page by page."""

import asyncio
import uuid

import pytest
from sqlalchemy import func, select

from faceplate.errors import InvalidInputError, NotFoundError
from faceplate.models import Conversation, Message
from faceplate.services.messages import add_message, delete_message, get_message, list_messages
from faceplate.tools import FunctionCall, ToolCall
from holdfast.errors import ConfigurationError
from holdfast.models import uuid7
from holdfast.testing import count_statements

CALLS = [{"id": "c", "type": "function", "function": {"name": "scan", "arguments": "{}"}}]
RESULTS = [{"tool_call_id": "c", "content": "3 ports are open"}]


async def test_a_conversation_with_tools(session, conversation):
    """What was said, called and answered comes back as it was, in order."""
    await add_message(session, conversation.id, "system", content="You are in a range.")
    await add_message(session, conversation.id, "user", content="Scan it.")
    await add_message(session, conversation.id, "assistant", tool_calls=CALLS)
    await add_message(session, conversation.id, "tool", tool_results=RESULTS)
    await add_message(session, conversation.id, "assistant", content="3 ports are open.")
    session.expunge_all()

    page = await list_messages(session, conversation.id)

    assert [(m.role, m.content, m.tool_calls, m.tool_results) for m in page.items] == [
        ("system", "You are in a range.", None, None),
        ("user", "Scan it.", None, None),
        ("assistant", None, CALLS, None),
        ("tool", None, None, RESULTS),
        ("assistant", "3 ports are open.", None, None),
    ]


async def test_one_statement(db, session, conversation):
    """A message, its place and the conversation's `updated_at` are one round trip."""
    conversation_id = conversation.id
    with count_statements(db) as sent:
        await add_message(session, conversation_id, "user", content="hello")

    assert len(sent) == 1


async def test_typed_calls(session, conversation):
    """Calls may be given as classes, and in a tuple."""
    call = ToolCall(id="c", function=FunctionCall(name="scan", arguments={"host": "10.0.0.7"}))
    message = await add_message(session, conversation.id, "assistant", tool_calls=(call,))

    assert message.tool_calls == [
        {"id": "c", "function": {"name": "scan", "arguments": {"host": "10.0.0.7"}}}
    ]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"role": "robot"}, "role is 'robot'; it is one of user, assistant, system, tool"),
        ({"role": None}, "role is None; it is one of"),
        ({"content": "nul\0"}, "content is no text, or has"),
        ({"content": "\ud800"}, "content is no text, or has"),
        ({"content": b"x"}, "content is no text, or has"),
        ({"tool_calls": [{}]}, "tool_calls[0].id: field required; tool_calls[0].function: field"),
        ({"tool_calls": "scan"}, "tool_calls: input should be a valid list"),
        ({"tool_results": [{"content": ""}]}, "tool_results[0].tool_call_id: field required"),
    ],
)
async def test_bad_input_is_one_line(db, session, conversation, wrong, says):
    """What is wrong is said before anything is sent."""
    conversation_id = conversation.id
    with count_statements(db) as sent, pytest.raises(InvalidInputError) as error:
        await add_message(session, conversation_id, **{"role": "user"} | wrong)

    assert str(error.value).startswith(says)
    assert len(sent) == 0


async def test_an_unknown_conversation(db):
    """A conversation that does not exist is one line."""
    nowhere = uuid.uuid4()
    with pytest.raises(NotFoundError, match=f"^there is no conversation {nowhere}$"):
        await db.run(add_message, nowhere, "user", content="hello")


async def test_sent_again_with_its_id_it_is_written_once(session, conversation):
    """Whoever does not know whether a message was stored sends it again, with the same id."""
    mine = uuid7()
    sent = [
        await add_message(session, conversation.id, "user", content="hello", message_id=mine)
        for _ in range(3)
    ]

    assert {message.id for message in sent} == {mine}
    assert await session.scalar(select(func.count()).select_from(Message)) == 1


async def test_an_id_of_another_conversation_is_refused(session, make, user, conversation, store):
    """An id belongs to one conversation."""
    other = make.conversation(user)
    await store(other)
    mine = uuid7()
    await add_message(session, conversation.id, "user", message_id=mine)

    with pytest.raises(InvalidInputError, match=f"^message {mine} is in another conversation"):
        await add_message(session, other.id, "user", message_id=mine)


@pytest.fixture
async def three(database, make):
    """Give the ids of three conversations in a database of the test's own."""
    user = make.user()
    async with database.begin() as session:
        session.add(user)
        await session.flush()
        conversations = [make.conversation(user) for _ in range(3)]
        session.add_all(conversations)
    return [each.id for each in conversations]


async def test_fifty_writers_at_once(database, three):
    """50 tasks write to three conversations: each is in the order of the acknowledgements."""

    async def write(number):
        written = []
        for turn in range(3):
            message = await database.run(
                add_message, three[number % 3], "user", content=f"{number}.{turn}"
            )
            written.append((message.conversation_id, message.created_at, message.content))
        return written

    written = [each for mine in await asyncio.gather(*map(write, range(50))) for each in mine]

    for conversation_id in three:
        async with database.read() as session:
            page = await list_messages(session, conversation_id, limit=1_000)
            conversation = await session.get_one(Conversation, conversation_id)
        expected = sorted(each[1:] for each in written if each[0] == conversation_id)
        assert [(each.created_at, each.content) for each in page.items] == expected
        assert conversation.updated_at == expected[-1][0]


async def test_the_same_message_sent_twice_at_once_is_written_once(database, three):
    """Two tasks that send one message with one id: both are told of the one that is stored."""
    mine = uuid7()
    sent = await asyncio.gather(
        *(database.run(add_message, three[0], "user", message_id=mine) for _ in range(10))
    )

    assert {message.id for message in sent} == {mine}
    async with database.read() as session:
        assert len((await list_messages(session, three[0])).items) == 1


async def test_pages(session, conversation):
    """Page by page each message is listed once, in order."""
    for number in range(8):
        await add_message(session, conversation.id, "user", content=str(number))
    listed, after = [], None
    for size in (3, 3, 2):
        page = await list_messages(session, conversation.id, after=after, limit=3)
        assert len(page.items) == size
        listed, after = [*listed, *(each.content for each in page.items)], page.next

    assert (listed, after) == ([str(number) for number in range(8)], None)


async def test_get_and_delete(session, conversation):
    """One message is found by its id, and deleted."""
    message = await add_message(session, conversation.id, "user", content="hello")
    assert (await get_message(session, message.id)).content == "hello"

    await delete_message(session, message.id)

    for work in (get_message, delete_message):
        with pytest.raises(NotFoundError, match=f"^there is no message {message.id}$"):
            await work(session, message.id)


async def test_listing_refuses_what_is_no_page(session, conversation):
    """Limits and places are checked as for users."""
    with pytest.raises(InvalidInputError, match=r"^limit is 0"):
        await list_messages(session, conversation.id, limit=0)
    with pytest.raises(ConfigurationError, match=r"^after is 'x'"):
        await list_messages(session, conversation.id, after="x")
