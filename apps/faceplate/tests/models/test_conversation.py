"""Conversations: the table as the server has it, defaults, and what moves `updated_at`."""

import uuid

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.orm import joinedload, selectinload

from faceplate.models import Conversation, Message
from holdfast.errors import InvalidValueError


async def test_table(read_table):
    """Columns, constraints and indexes are those of the requirements, on the server itself."""
    table = await read_table("conversations")

    assert table.columns == {
        "id": "uuid NOT NULL",
        "user_id": "uuid NOT NULL",
        "title": "character varying(255) NOT NULL DEFAULT 'New Chat'::character varying",
        "created_at": "timestamp with time zone NOT NULL DEFAULT clock_timestamp()",
        "updated_at": "timestamp with time zone NOT NULL DEFAULT clock_timestamp()",
    }
    assert table.constraints == {
        "pk_conversations": "PRIMARY KEY (id)",
        "fk_conversations_user_id_users": (
            "FOREIGN KEY (user_id) REFERENCES faceplate.users(id) ON DELETE CASCADE"
        ),
    }
    assert table.indexes == {"UNIQUE btree (id)", "btree (user_id)"}


async def test_create(session, make, user):
    """A new conversation is called `New Chat`, and has both times."""
    conversation = make.conversation(user)
    session.add(conversation)
    await session.commit()

    assert conversation.id.version == 7
    assert conversation.title == "New Chat"
    assert conversation.created_at <= conversation.updated_at


async def test_bare_sql_fills_the_defaults(session, user):
    """A row that another program inserts, with an id and an owner, is complete."""
    await session.execute(
        text("INSERT INTO faceplate.conversations (id, user_id) VALUES (:id, :user)"),
        {"id": uuid.uuid4(), "user": user.id},
    )

    assert await session.scalar(select(Conversation.title)) == "New Chat"


async def test_read_back(session, make, user, store):
    """What was stored is read back equal."""
    conversation = make.conversation(user, title="Lateral movement, day 2 ☃")
    await store(conversation)

    read = await session.get_one(Conversation, conversation.id)

    assert (read.user_id, read.title) == (user.id, "Lateral movement, day 2 ☃")
    assert read.updated_at == conversation.updated_at


@pytest.mark.parametrize("how", ["orm", "sql"])
async def test_a_new_title_moves_updated_at(session, conversation, how):
    """A change moves `updated_at`, of the object or by a bare UPDATE."""
    before = conversation.updated_at
    if how == "orm":
        conversation.title = "Renamed"
    else:
        await session.execute(update(Conversation).values(title="Renamed"))
    await session.commit()
    await session.refresh(conversation)

    assert conversation.title == "Renamed"
    assert conversation.updated_at > before


async def test_a_user_must_exist(make, user, refused_by):
    """A conversation of nobody is refused."""
    named = await refused_by(make.conversation(user, user_id=uuid.uuid4()))

    assert named == "fk_conversations_user_id_users"


async def test_user_is_required(make, user, refused_by):
    """A conversation has an owner."""
    assert await refused_by(make.conversation(user, user_id=None)) == "user_id"


async def test_a_title_that_is_too_long_is_refused(session, make, user):
    """Text is never cut."""
    session.add(make.conversation(user, title="x" * 256))

    with pytest.raises(InvalidValueError, match=r"^conversations\.title has \d+ characters"):
        await session.commit()


async def test_a_conversation_has_its_user(session, conversation, user):
    """The owner is loaded with it when asked for."""
    session.expunge_all()

    loaded = await session.get_one(
        Conversation, conversation.id, options=[joinedload(Conversation.user)]
    )

    assert loaded.user.email == user.email


async def test_messages_are_loaded_in_their_order(session, make, conversation, store):
    """The relation has the messages as they were written."""
    await store(*(make.message(conversation, content=str(number)) for number in range(30)))

    loaded = await session.get_one(
        Conversation, conversation.id, options=[selectinload(Conversation.messages)]
    )

    assert [message.content for message in loaded.messages] == [str(n) for n in range(30)]


async def test_new_messages_get_the_conversation_from_the_relation(session, conversation):
    """A message that is given a conversation, and no id, is stored with it."""
    session.add(Message(conversation=conversation, role="user", content="hello"))
    await session.commit()

    assert await session.scalar(select(Message.conversation_id)) == conversation.id
