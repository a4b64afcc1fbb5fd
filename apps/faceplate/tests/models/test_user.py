"""Users: the table as the server has it, what it refuses, and e-mail addresses."""

import uuid
from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import inspect, select, text
from sqlalchemy.orm import selectinload

from faceplate import models
from faceplate.emails import checked_email
from faceplate.errors import InvalidInputError
from faceplate.models import Base, User
from holdfast.errors import InvalidValueError
from holdfast.testing import count_statements


async def test_table(read_table):
    """Columns, constraints and indexes are those of the requirements, on the server itself."""
    table = await read_table("users")

    assert table.columns == {
        "id": "uuid NOT NULL",
        "email": "character varying(255) NOT NULL",
        "subject_id": "character varying(255) NOT NULL",
        "created_at": "timestamp with time zone NOT NULL DEFAULT clock_timestamp()",
    }
    assert table.constraints == {"pk_users": "PRIMARY KEY (id)"}
    assert table.indexes == {
        "UNIQUE btree (id)",
        "UNIQUE btree (email)",
        "UNIQUE btree (subject_id)",
    }


async def test_create(session, make):
    """A new user has an id and a time in UTC, without another query."""
    user = make.user()
    session.add(user)
    await session.commit()

    assert user.id.version == 7
    assert user.created_at.tzinfo is UTC


async def test_read_back(session, make, store):
    """What was stored is read back equal."""
    user = make.user(email="ann@example.test", subject_id="oidc|ann")
    await store(user)

    read = await session.get_one(User, user.id)

    assert read is not user
    assert (read.email, read.subject_id) == ("ann@example.test", "oidc|ann")
    assert read.created_at == user.created_at


async def test_bare_sql_gets_the_time(session):
    """A row that another program inserts has the time of the server."""
    made = await session.scalar(
        text(
            "INSERT INTO faceplate.users (id, email, subject_id)"
            " VALUES (gen_random_uuid(), 'a@b.test', 's') RETURNING created_at"
        )
    )

    assert made is not None


@pytest.mark.parametrize("column", ["email", "subject_id"])
async def test_unique(session, make, user, refused_by, column):
    """Two users have neither an e-mail address nor a subject in common."""
    named = await refused_by(make.user(**{column: getattr(user, column)}))

    assert named == f"ix_users_{column}"


async def test_subject_is_required(make, refused_by):
    """The database refuses a user without a subject."""
    assert await refused_by(make.user(subject_id=None)) == "subject_id"


async def test_email_is_required(refused_by):
    """The database refuses a user without an address."""
    assert await refused_by(User(subject_id="only")) == "email"


@pytest.mark.parametrize(
    "address",
    [
        "ann@example.com",
        "a@b.co",
        "first.last+tag@sub.domain.example",
        "o'neil@example.test",
        "user@example.xn--p1ai",
        "x" * 64 + "@example.com",
        "1@2.example",
        "player-1@0a1b2c.example",
    ],
)
def test_valid_email(address):
    """Addresses that people have are taken as they are."""
    assert User(email=address, subject_id="s").email == address


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ann",
        "ann@",
        "@example.com",
        "ann@example",
        "ann@@example.com",
        "ann@example..com",
        "ann@-example.com",
        "ann@example-.com",
        "ann@example.com.",
        "ann@127.0.0.1",
        ".ann@example.com",
        "ann.@example.com",
        "a..b@example.com",
        "ann smith@example.com",
        "ann@example.com\n",
        "ann@example.com\0",
        "Ann <ann@example.com>",
        '"ann"@example.com',
        "änn@example.com",
        "x" * 65 + "@example.com",
        "ann@" + "x" * 64 + ".com",
        "ann@" + ".".join(["x" * 62] * 4) + ".com",
        None,
        7,
    ],
)
def test_invalid_email(address):
    """What is no address is refused where it is given, in one line."""
    with pytest.raises(InvalidInputError, match=r"^email is ") as error:
        User(email=address, subject_id="s")

    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 200


async def test_invalid_email_is_refused_when_it_is_changed(session, user):
    """A stored user keeps the address that is valid."""
    before = user.email
    with pytest.raises(InvalidInputError):
        user.email = "nothing"
    await session.commit()

    assert await session.scalar(select(User.email)) == before


def test_the_domain_is_lower_case():
    """Two spellings of one domain are one address; the part before the @ is left alone."""
    assert checked_email("Ann.B@Example.COM") == "Ann.B@example.com"


@given(st.emails())
def test_what_others_take_for_an_address(address):
    """Hypothesis makes addresses by RFC 5322: each is taken, unless it is too long."""
    checked = checked_email(address)

    assert checked.split("@")[0] == address.split("@")[0]
    assert checked_email(checked) == checked


async def test_subject_that_is_too_long_is_refused(session, make):
    """Text is never cut."""
    session.add(make.user(subject_id="x" * 256))

    with pytest.raises(InvalidValueError, match=r"^users\.subject_id has \d+ characters"):
        await session.commit()


async def test_ids_rise_with_time(session, make, store):
    """Users made one after the other are in the order of their ids, which Python makes."""
    users = [make.user() for _ in range(50)]
    await store(*users)

    assert [user.id.version for user in users] == [7] * 50
    found = await session.scalars(select(User.email).order_by(User.id))
    assert found.all() == [user.email for user in users]


@pytest.mark.parametrize("model", ["User", "Conversation", "Message", "MCPConfig"])
def test_every_key_is_made_in_python(model):
    """The id of each model is a UUID of version 7 before anything is sent."""
    column = getattr(models, model).__table__.c.id
    made = column.default.arg(None)

    assert isinstance(made, uuid.UUID)
    assert made.version == 7
    assert column.server_default is None


def test_every_table_is_in_the_schema():
    """All four tables are in the schema `faceplate`, and `models` exports their classes."""
    assert set(Base.metadata.tables) == {
        "faceplate.users",
        "faceplate.conversations",
        "faceplate.messages",
        "faceplate.mcp_configs",
    }
    assert {mapper.class_.__name__ for mapper in Base.registry.mappers} <= set(models.__all__)
    assert all(hasattr(models, name) for name in models.__all__)


async def test_relations_are_loaded_when_asked_for(db, session, make, user, store):
    """A user with conversations and configurations takes one statement for each of them."""
    conversations = [make.conversation(user) for _ in range(3)]
    await store(*conversations, make.config(user), make.config(user))
    options = [selectinload(User.conversations), selectinload(User.mcp_configs)]

    with count_statements(db) as sent:
        loaded = await session.get_one(User, user.id, options=options)

    assert {each.id for each in loaded.conversations} == {each.id for each in conversations}
    assert len(loaded.mcp_configs) == 2
    assert len(sent) == 3


def test_no_relation_is_loaded_behind_an_attribute():
    """Asynchronous code cannot load there, so it is an error that says what was asked for."""
    for mapper in Base.registry.mappers:
        assert {each.lazy for each in inspect(mapper.class_).relationships} == {"raise_on_sql"}
