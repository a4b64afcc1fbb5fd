"""What goes with a user or a conversation: by the database, without loading anything."""

import asyncio

import pytest
from sqlalchemy import delete, func, select, text

from faceplate.errors import NotFoundError
from faceplate.models import Conversation, MCPConfig, Message, User
from faceplate.services.conversations import delete_conversation
from faceplate.services.messages import add_message
from faceplate.services.users import delete_user
from holdfast.testing import count_statements

MODELS = (User, Conversation, Message, MCPConfig)


@pytest.fixture
async def two_users(session, make, store):
    """Give the ids of two users, each with two conversations of three messages and two configs."""
    users = [make.user(), make.user()]
    await store(*users)
    for user in users:
        conversations = [make.conversation(user) for _ in range(2)]
        await store(*conversations, *(make.config(user) for _ in range(2)))
        await store(*(make.message(each) for each in conversations for _ in range(3)))
    return [user.id for user in users]


async def counts(session):
    found = [await session.scalar(select(func.count()).select_from(model)) for model in MODELS]
    return tuple(found)


async def remove(session, model, key, how):
    """Delete a row as the ORM, a service, Core or bare SQL does."""
    if how == "orm":
        await session.delete(await session.get_one(model, key))
    elif how == "service":
        await (delete_user if model is User else delete_conversation)(session, key)
    elif how == "core":
        await session.execute(delete(model.__table__).where(model.__table__.c.id == key))
    else:
        statement = f"DELETE FROM {model.__table__.fullname} WHERE id = :id"
        await session.execute(text(statement), {"id": key})
    await session.commit()


HOW = pytest.mark.parametrize("how", ["orm", "service", "core", "sql"])


@HOW
async def test_deleting_a_user_deletes_everything_of_the_user(session, two_users, how):
    """Conversations, messages and configurations go with the user; another user's stay."""
    gone, stays = two_users
    assert await counts(session) == (2, 4, 12, 4)

    await remove(session, User, gone, how)

    assert await counts(session) == (1, 2, 6, 2)
    for model in (Conversation, MCPConfig):
        assert set(await session.scalars(select(model.user_id))) == {stays}


@HOW
async def test_deleting_a_conversation_deletes_its_messages(session, two_users, how):
    """Messages go with their conversation; all else stays."""
    gone = await session.scalar(select(Conversation.id).limit(1))

    await remove(session, Conversation, gone, how)

    assert await counts(session) == (2, 3, 9, 4)
    assert gone not in set(await session.scalars(select(Message.conversation_id)))


@pytest.mark.parametrize(("model", "table"), [(User, "users"), (Conversation, "conversations")])
async def test_deleting_through_the_orm_loads_no_children(db, session, two_users, model, table):
    """One DELETE is sent, however much goes with the row."""
    thing = await session.get_one(model, await session.scalar(select(model.id).limit(1)))

    with count_statements(db) as sent:
        await session.delete(thing)
        await session.commit()

    assert [" ".join(each.sql.split()) for each in sent.statements] == [
        f"DELETE FROM faceplate.{table} WHERE faceplate.{table}.id = $1::UUID"
    ]


@pytest.mark.parametrize("kind", ["message", "config"])
async def test_deleting_a_child_leaves_its_parents(
    *, session, make, user, conversation, store, kind
):
    """A message or a configuration goes alone."""
    child = make.message(conversation) if kind == "message" else make.config(user)
    await store(child)
    before = await counts(session)

    await session.delete(await session.get_one(type(child), child.id))
    await session.commit()

    assert sum(before) - sum(await counts(session)) == 1
    assert (await counts(session))[:2] == (1, 1)


async def test_every_foreign_key_cascades_on_the_server(session):
    """The server itself has the rule, for each foreign key of the schema."""
    rules = await session.execute(
        text(
            "SELECT conname, confdeltype::text FROM pg_constraint"
            " WHERE contype = 'f' AND connamespace = 'faceplate'::regnamespace"
        )
    )

    assert dict(rules.all()) == {
        "fk_conversations_user_id_users": "c",
        "fk_messages_conversation_id_conversations": "c",
        "fk_mcp_configs_user_id_users": "c",
    }


async def test_a_user_is_deleted_while_messages_are_written(database, make):
    """Writers of a conversation that goes are refused in one line, and nothing is left over."""
    user = make.user()
    async with database.begin() as session:
        session.add(user)
        await session.flush()
        conversation = make.conversation(user)
        session.add(conversation)
    refused, stored = await write_until_refused(database, conversation.id, user.id)

    assert refused == {f"there is no conversation {conversation.id}"}
    assert stored > 0
    async with database.read() as session:
        assert await counts(session) == (0, 0, 0, 0)


async def write_until_refused(database, conversation_id, user_id):
    """Write by ten tasks, delete the user once all have written; give refusals and writes."""
    refused, stored = set(), 0
    written = asyncio.Barrier(11)

    async def write():
        nonlocal stored
        await database.run(add_message, conversation_id, "user", content="hello")
        stored += 1
        await written.wait()
        try:
            while True:
                await database.run(add_message, conversation_id, "user", content="hello")
        except NotFoundError as error:
            refused.add(str(error))

    async def remove_user():
        await written.wait()
        await database.run(delete_user, user_id)

    await asyncio.gather(remove_user(), *(write() for _ in range(10)))
    return refused, stored
