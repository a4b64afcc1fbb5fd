"""The context of a conversation: the right messages, in one statement along one index."""

import json
import uuid

import pytest
from sqlalchemy import select, text
from sqlalchemy.dialects import postgresql

from faceplate.errors import InvalidInputError
from faceplate.models import Message
from faceplate.services.context import get_context, select_context
from faceplate.services.messages import add_message, list_messages
from holdfast.testing import count_statements

INDEX = "ix_messages_conversation_id_created_at_id"
LARGE, SMALL = 0, 7


def conversation_of(number):
    return uuid.UUID(f"00000000-0000-7000-8000-{number:012d}")


@pytest.fixture
async def big(million, make_database):
    """Give the database of a million messages."""
    async with make_database(million) as db:
        yield db


async def explain(db, statement):
    """Run the query; give the indexes and kinds of its plan's scans, and the plan's nodes."""
    compiled = str(
        statement.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
    )
    sql = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {compiled}".replace(":", r"\:")
    async with db.session() as session:
        plan = await session.scalar(text(sql))
    found = list(nodes((plan if isinstance(plan, list) else json.loads(plan))[0]["Plan"]))
    scans = {
        node.get("Index Name", node["Node Type"]) for node in found if "Scan" in node["Node Type"]
    }
    return scans, found


def nodes(plan):
    yield plan
    for each in plan.get("Plans", []):
        yield from nodes(each)


def rows_read(found):
    """Count the rows that were read from the table, those that were thrown away included."""
    return sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in found
        if node.get("Relation Name") == "messages"
    )


async def test_a_million_messages(big):
    """Of a million, what is asked for is given, in one statement along one index, and no more read.

    One test, so that the database is filled once: for a conversation with nearly half of all
    messages, after which others wrote 100,000, and for one of the usual size.
    """
    for conversation_id in map(conversation_of, (LARGE, SMALL)):
        await check_last_messages(big, conversation_id)
        await check_last_characters(big, conversation_id)
        await check_characters_are_those_of_the_plain_question(big, conversation_id)
        await check_pages(big, conversation_id)
    await check_one_statement(big)
    await check_ten_thousand_at_most(big)


async def check_last_messages(big, conversation_id):
    """As many rows are read as are given, by the conversation's own index, in either order."""
    for newest_first in (True, False):
        statement = select_context(conversation_id, messages=50, newest_first=newest_first)
        scans, found = await explain(big, statement)

        assert scans - {"Subquery Scan"} == {INDEX}
        assert rows_read(found) == 50


async def check_last_characters(big, conversation_id):
    """For a number of characters one message more than is given is read, and no further one."""
    async with big.read() as session:
        given = len(await get_context(session, conversation_id, characters=4_000))
    scans, found = await explain(big, select_context(conversation_id, characters=4_000))

    assert scans - {"Subquery Scan", "CTE Scan", "WorkTable Scan"} == {INDEX}
    assert given <= rows_read(found) <= given + 1
    assert 70 < given < 100


async def check_characters_are_those_of_the_plain_question(big, conversation_id):
    """The answer is that of a running sum over the whole conversation."""
    async with big.read() as session:
        found = await get_context(session, conversation_id, characters=2_500)
        plain = await session.scalars(
            text(
                "SELECT id FROM (SELECT id, created_at, sum(length(content)) OVER"
                " (ORDER BY created_at DESC, id DESC) AS total FROM faceplate.messages"
                " WHERE conversation_id = :id) AS summed WHERE total <= 2500"
                " ORDER BY created_at"
            ),
            {"id": conversation_id},
        )

    assert [message.id for message in found] == plain.all()


async def check_pages(big, conversation_id):
    """The second page begins where the first has ended."""
    async with big.read() as session:
        first = await list_messages(session, conversation_id, limit=100)
        second = await list_messages(session, conversation_id, limit=100, after=first.next)
        plain = select(Message.id).where(Message.conversation_id == conversation_id)
        ordered = plain.order_by(Message.created_at, Message.id).limit(200)
        expected = (await session.scalars(ordered)).all()

    assert [each.id for each in first.items + second.items] == expected


async def check_one_statement(big):
    """Each context is one statement, which `read()` lets pass."""
    for limits in ({"messages": 5}, {"characters": 500}, {"messages": 5, "characters": 500}):
        async with big.read() as session:
            with count_statements(big) as sent:
                assert await get_context(session, conversation_of(SMALL), **limits)
        assert len(sent) == 1


async def check_ten_thousand_at_most(big):
    """Characters alone do not fetch a conversation of half a million messages."""
    async with big.read() as session:
        found = await get_context(session, conversation_of(LARGE), characters=100_000_000)

    assert len(found) == 10_000


@pytest.fixture
async def spoken(session, conversation):
    """Give a conversation of ten messages, the n-th with n characters."""
    for number in range(1, 11):
        await add_message(session, conversation.id, "user", content=str(number % 10) * number)
    await session.commit()
    return conversation.id


def sizes(found):
    return [len(message.content) for message in found]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"messages": 1}, [10]),
        ({"messages": 3}, [8, 9, 10]),
        ({"messages": 3, "newest_first": True}, [10, 9, 8]),
        ({"messages": 99}, list(range(1, 11))),
        ({"characters": 9}, []),
        ({"characters": 10}, [10]),
        ({"characters": 26}, [9, 10]),
        ({"characters": 27}, [8, 9, 10]),
        ({"characters": 27, "newest_first": True}, [10, 9, 8]),
        ({"characters": 55}, list(range(1, 11))),
        ({"messages": 2, "characters": 27}, [9, 10]),
        ({"messages": 5, "characters": 19}, [9, 10]),
    ],
)
async def test_limits(session, spoken, limits, expected):
    """The last messages, whole, as many as both limits allow, in either order."""
    assert sizes(await get_context(session, spoken, **limits)) == expected


async def test_characters_are_counted_not_bytes(session, conversation):
    """A character of any script counts one."""
    await add_message(session, conversation.id, "user", content="☃" * 10)

    assert await get_context(session, conversation.id, characters=9) == []
    assert len(await get_context(session, conversation.id, characters=10)) == 1


async def test_tool_calls_and_results_count(session, conversation):
    """What a model is given of tools is counted as its JSON text; no content counts nothing."""
    calls = [{"id": "c1", "function": {"name": "scan", "arguments": "{}"}}]
    results = [{"tool_call_id": "c1", "content": "☃"}]
    await add_message(session, conversation.id, "assistant", tool_calls=calls, tool_results=results)
    length = len(json.dumps(calls)) + len(json.dumps(results, ensure_ascii=False))

    assert await get_context(session, conversation.id, characters=length - 1) == []
    assert len(await get_context(session, conversation.id, characters=length)) == 1


async def test_other_conversations_are_not_in_it(session, make, user, spoken, store):
    """A context is of one conversation."""
    other = make.conversation(user)
    await store(other)
    await add_message(session, other.id, "user", content="other")

    assert sizes(await get_context(session, other.id, messages=50)) == [5]
    assert sizes(await get_context(session, other.id, characters=50)) == [5]


@pytest.mark.parametrize("limits", [{"messages": 5}, {"characters": 5}])
async def test_nothing_was_said(session, conversation, limits):
    """An empty conversation, and one that does not exist, have no messages."""
    assert await get_context(session, conversation.id, **limits) == []
    assert await get_context(session, uuid.uuid4(), **limits) == []


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({}, "a context needs a limit: messages, characters, or both"),
        ({"messages": 0}, "messages is 0; it is between 1 and 10000"),
        ({"messages": 10_001}, "messages is 10001; it is between 1 and 10000"),
        ({"messages": True}, "messages is True; it is between 1 and 10000"),
        ({"characters": -1}, "characters is -1; it is between 1 and 100000000"),
        ({"characters": "9"}, "characters is '9'; it is between 1 and 100000000"),
        ({"messages": 1, "characters": 0}, "characters is 0; it is between 1 and 100000000"),
    ],
)
async def test_wrong_limits(session, spoken, limits, says):
    """A limit that is none is one line that has it."""
    with pytest.raises(InvalidInputError) as error:
        await get_context(session, spoken, **limits)

    assert str(error.value) == says
