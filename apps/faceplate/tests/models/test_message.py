"""Messages: the table as the server has it, tool calls and results, and their order."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import StatementError

from faceplate.errors import InvalidInputError
from faceplate.models import Conversation, Message, Role
from faceplate.tools import FunctionCall, ToolCall, ToolResult, plain_calls, plain_results
from holdfast.testing import count_statements

CALLS = [
    {"id": "call_1", "function": {"name": "scan", "arguments": '{"host": "10.0.0.7"}'}},
    {
        "id": "call_2",
        "type": "function",
        "function": {"name": "stop", "arguments": {"force": True}},
    },
]
RESULTS = [
    {"tool_call_id": "call_1", "content": "3 ports are open ☃"},
    {"tool_call_id": "call_2", "content": [{"type": "text", "text": "stopped"}], "is_error": False},
]


async def test_table(read_table):
    """Columns, constraints and indexes are those of the requirements, on the server itself."""
    table = await read_table("messages")

    assert table.columns == {
        "id": "uuid NOT NULL",
        "conversation_id": "uuid NOT NULL",
        "role": "character varying(20) NOT NULL",
        "content": "text",
        "tool_calls": "jsonb",
        "tool_results": "jsonb",
        "created_at": "timestamp with time zone NOT NULL DEFAULT clock_timestamp()",
    }
    check = table.constraints.pop("ck_messages_role")
    assert all(f"'{role}'" in check for role in ("user", "assistant", "system", "tool"))
    assert table.constraints == {
        "pk_messages": "PRIMARY KEY (id)",
        "fk_messages_conversation_id_conversations": (
            "FOREIGN KEY (conversation_id) REFERENCES faceplate.conversations(id) ON DELETE CASCADE"
        ),
    }
    assert table.indexes == {
        "UNIQUE btree (id)",
        "btree (conversation_id)",
        "brin (created_at) WITH (autosummarize='true')",
        "btree (conversation_id, created_at, id)",
    }


@pytest.mark.parametrize("role", ["user", "assistant", "system", "tool"])
async def test_roles(session, make, conversation, store, role):
    """Each of the four roles is stored as its text."""
    message = make.message(conversation, role=role)
    await store(message)

    assert (await session.get_one(Message, message.id)).role == role == Role(role)


@pytest.mark.parametrize("role", ["robot", "", "User"])
async def test_other_roles_are_refused(make, conversation, refused_by, role):
    """The database itself refuses a role that there is not."""
    assert await refused_by(make.message(conversation, role=role)) == "ck_messages_role"


@pytest.mark.parametrize("column", ["conversation_id", "role"])
async def test_required(make, conversation, refused_by, column):
    """A message belongs to a conversation and to somebody who speaks."""
    assert await refused_by(make.message(conversation, **{column: None})) == column


async def test_a_message_may_have_no_content(session, make, conversation, store):
    """Content, calls and results may each be missing, and are SQL's NULL then."""
    message = make.message(conversation, content=None, tool_calls=None, tool_results=None)
    await store(message)

    empty = await session.scalar(
        text(
            "SELECT count(*) FROM faceplate.messages WHERE content IS NULL"
            " AND tool_calls IS NULL AND tool_results IS NULL"
        )
    )
    assert empty == 1


async def test_tools_come_back_as_plain_lists_and_dicts(session, make, conversation, store):
    """Calls and results are read back equal, keys beyond the known ones included."""
    message = make.message(conversation, tool_calls=CALLS, tool_results=RESULTS)
    await store(message)

    read = await session.get_one(Message, message.id)
    assert read.tool_calls == CALLS
    assert read.tool_results == RESULTS
    assert {type(read.tool_calls), type(read.tool_results)} == {list}
    assert {type(each) for each in [*read.tool_calls, *read.tool_results]} == {dict}


async def test_tools_may_be_given_as_classes(session, make, conversation, store):
    """The classes of `faceplate.tools` are stored as the same plain JSON."""
    message = make.message(
        conversation,
        tool_calls=[ToolCall(id="c", function=FunctionCall(name="scan", arguments="{}"))],
        tool_results=[ToolResult(tool_call_id="c", content="done")],
    )
    assert message.tool_calls == [{"id": "c", "function": {"name": "scan", "arguments": "{}"}}]
    await store(message)

    read = await session.get_one(Message, message.id)
    assert read.tool_calls == message.tool_calls
    assert read.tool_results == [{"tool_call_id": "c", "content": "done"}]


WRONG_CALLS = [
    ({}, "tool_calls: input should be a valid list"),
    (["scan"], "tool_calls[0]: input should be a valid dictionary or instance of ToolCall"),
    ([{"id": "c"}], "tool_calls[0].function: field required"),
    (
        [{"function": {"name": "", "arguments": "{}"}}],
        (
            "tool_calls[0].id: field required; "
            "tool_calls[0].function.name: string should have at least 1 character"
        ),
    ),
    (
        [CALLS[0], {"id": 7, "function": {"name": "scan", "arguments": None}}],
        (
            "tool_calls[1].id: input should be a valid string; "
            "tool_calls[1].function.arguments: it has to be text or an object"
        ),
    ),
    (
        [{"id": "c", "function": {"name": "n", "arguments": {"a": float("nan")}}}],
        "tool_calls[0].function.arguments.a: JSON has no number nan",
    ),
    (
        [{"id": "c\0", "function": {"name": "n", "arguments": ""}, "extra": "\ud800"}],
        (
            "tool_calls[0].id: a zero or half a character cannot be kept; "
            "tool_calls[0].extra: a zero or half a character cannot be kept"
        ),
    ),
]
WRONG_RESULTS = [
    ([{}], "tool_results[0].tool_call_id: field required; tool_results[0].content: field required"),
    (
        [{"tool_call_id": "", "content": 7}],
        (
            "tool_results[0].tool_call_id: string should have at least 1 character; "
            "tool_results[0].content: it has to be text, a list or an object"
        ),
    ),
]
WRONG = [
    *(("tool_calls", value, says) for value, says in WRONG_CALLS),
    *(("tool_results", value, says) for value, says in WRONG_RESULTS),
]


@pytest.mark.parametrize(("column", "value", "says"), WRONG)
def test_wrong_tools_are_refused_where_they_are_given(make, conversation, column, value, says):
    """Everything that is wrong is named at once, and no value is repeated."""
    with pytest.raises(InvalidInputError) as error:
        make.message(conversation, **{column: value})

    assert sorted(str(error.value).split("; ")) == sorted(says.split("; "))


@pytest.mark.parametrize(("column", "value", "says"), WRONG)
async def test_wrong_tools_are_refused_before_sql(
    *, db, session, conversation, column, value, says
):
    """A bare INSERT that no object was made for sends nothing either."""
    row = {"conversation_id": conversation.id, "role": "tool", column: value}

    with count_statements(db) as sent, pytest.raises(StatementError, match=column):
        await session.execute(insert(Message), [row])

    assert len(sent) == 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.lists(JSON) | JSON)
def test_anything_is_stored_or_refused(value):
    """Whatever is given is refused with the application's own error, or comes back equal."""
    for plain in (plain_calls, plain_results):
        try:
            assert plain(value) == value
        except InvalidInputError as error:
            assert str(error).startswith("tool_")  # noqa: PT017  -- not the same for every value


async def test_messages_of_one_flush_are_in_order(session, make, conversation):
    """Of messages that one statement writes, each has a later time than the one before."""
    messages = [make.message(conversation, content=str(number)) for number in range(500)]
    session.add_all(messages)
    await session.commit()

    times = [message.created_at for message in messages]
    assert times == sorted(set(times))
    found = await session.scalars(select(Message.content).order_by(Message.created_at, Message.id))
    assert found.all() == [str(number) for number in range(500)]


async def test_messages_of_one_bare_statement_are_in_order(session, conversation):
    """Bare SQL gets the same order, whatever its ids are."""
    await session.execute(
        text(
            "INSERT INTO faceplate.messages (id, conversation_id, role, content)"
            " SELECT gen_random_uuid(), :id, 'user', n FROM generate_series(1, 300) n"
        ),
        {"id": conversation.id},
    )

    found = await session.scalars(select(Message.content).order_by(Message.created_at, Message.id))
    assert found.all() == [str(number) for number in range(1, 301)]


@pytest.mark.parametrize("how", ["orm", "core", "sql"])
async def test_writing_a_message_moves_the_conversation(session, make, conversation, how):
    """Whoever writes, the conversation's `updated_at` is the time of its newest message."""
    before = conversation.updated_at
    if how == "orm":
        session.add(make.message(conversation))
    elif how == "core":
        row = {"conversation_id": conversation.id, "role": "user"}
        await session.execute(insert(Message), [row])
    else:
        await session.execute(
            text(
                "INSERT INTO faceplate.messages (id, conversation_id, role)"
                " VALUES (gen_random_uuid(), :id, 'user')"
            ),
            {"id": conversation.id},
        )
    await session.commit()
    await session.refresh(conversation)

    assert conversation.updated_at > before
    assert conversation.updated_at == await session.scalar(select(Message.created_at))


async def test_other_conversations_stay(session, make, user, conversation, store):
    """Only the conversation that was written to moves."""
    other = make.conversation(user)
    await store(other)
    await store(make.message(conversation))

    assert (await session.get_one(Conversation, other.id)).updated_at == other.updated_at


async def test_a_message_is_later_than_the_last_whatever_the_clock_says(
    session, make, conversation
):
    """After the server's clock was set back, order is kept all the same."""
    ahead = datetime.now(UTC) + timedelta(hours=1)
    await session.execute(text("UPDATE faceplate.conversations SET updated_at = :t"), {"t": ahead})
    first, second = make.message(conversation), make.message(conversation)
    session.add_all([first, second])
    await session.commit()

    step = timedelta(microseconds=1)
    assert (first.created_at, second.created_at) == (ahead + step, ahead + 2 * step)


async def test_a_time_that_is_given_is_kept(session, make, conversation, store):
    """An import keeps the times of the past, to the microsecond."""
    given_time = datetime(2020, 2, 29, 12, 0, 0, 123456, tzinfo=UTC)
    message = make.message(conversation, created_at=given_time)
    await store(message)

    assert (await session.get_one(Message, message.id)).created_at == given_time


async def test_messages_of_one_moment_are_in_order_of_their_ids(session, make, conversation, store):
    """Where times that were given are equal, the ids decide: they rise as objects are made."""
    moment = datetime(2020, 2, 29, tzinfo=UTC)
    messages = [
        make.message(conversation, created_at=moment, content=str(number)) for number in range(20)
    ]
    await store(*messages)

    found = await session.scalars(select(Message.content).order_by(Message.created_at, Message.id))
    assert found.all() == [str(number) for number in range(20)]


async def test_a_conversation_must_exist(make, conversation, refused_by):
    """A message of no conversation is refused by the foreign key, not by the trigger."""
    lost = make.message(conversation, conversation_id=conversation.user_id)

    assert await refused_by(lost) == "fk_messages_conversation_id_conversations"


WRITERS = 50


async def test_fifty_writers_at_once_are_in_the_order_of_their_commits(database, make):
    """50 tasks write to one conversation: the order read back is that of the acknowledgements."""
    user = make.user()
    async with database.begin() as session:
        session.add(user)
        await session.flush()
        conversation = make.conversation(user)
        session.add(conversation)
    acknowledged = []

    async def write(number):
        for turn in range(4):
            async with database.begin() as session:
                message = make.message(conversation, content=f"{number}.{turn}")
                session.add(message)
            acknowledged.append((message.created_at, message.content))

    await asyncio.gather(*map(write, range(WRITERS)))

    async with database.read() as session:
        order = (Message.created_at, Message.id)
        found = (
            await session.execute(select(Message.created_at, Message.content).order_by(*order))
        ).all()
        moved = await session.scalar(select(Conversation.updated_at))
    assert len({time for time, _ in found}) == len(found) == 4 * WRITERS
    assert found[-1][0] == moved
    assert found == sorted(acknowledged)
    for number in range(WRITERS):
        mine = [content for _, content in found if content.split(".")[0] == str(number)]
        assert mine == [f"{number}.{turn}" for turn in range(4)]


async def test_a_message_that_is_seen_is_never_overtaken(database, make):
    """What a reader has seen stays a beginning of what it sees later: none slips in before it."""
    user = make.user()
    async with database.begin() as session:
        session.add(user)
        await session.flush()
        conversation = make.conversation(user)
        session.add(conversation)
    seen, writing = [], True

    async def read():
        while writing:
            async with database.read() as session:
                statement = select(Message.id).order_by(Message.created_at, Message.id)
                seen.append((await session.scalars(statement)).all())

    async def write():
        for _ in range(10):
            async with database.begin() as session:
                session.add(make.message(conversation))

    reader = asyncio.create_task(read())
    await asyncio.gather(*(write() for _ in range(10)))
    writing = False
    await reader

    for earlier, later in itertools.pairwise(seen):
        assert later[: len(earlier)] == earlier
    async with database.read() as session:
        assert await session.scalar(select(func.count()).select_from(Message)) == 100
