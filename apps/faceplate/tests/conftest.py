"""Faceplate on the databases of the test kit, and builders of valid objects."""

import itertools
import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from faceplate import config
from faceplate.db import session
from faceplate.models import Base, Conversation, MCPConfig, Message, User
from holdfast.database import Database
from holdfast.testing import Clone

VARIABLES = ("DATABASE_URL", "DATABASE_OWNER_URL")


@pytest.fixture(scope="session")
def make_database() -> Callable[[str], Database]:
    """Give the application's own way to make its database."""
    return session.make_database


@pytest.fixture
async def clean_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[pytest.MonkeyPatch]:
    """Leave no setting of the machine, and no `.env`, in the way; close what the test opened."""
    for name in [*VARIABLES, *(name for name in os.environ if name.startswith("FACEPLATE_"))]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    config.get_settings.cache_clear()
    yield monkeypatch
    await session.close_database()
    config.get_settings.cache_clear()


@pytest.fixture
def db(clean_environment: pytest.MonkeyPatch, db: Database) -> Iterator[Database]:
    """Give the application's shared database: its own functions use it as well."""
    clean_environment.setenv("DATABASE_URL", "postgresql://given-to-nobody")
    clean_environment.setattr(session, "make_database", lambda _url, **_options: db)
    yield session.get_database()
    session.get_database.cache_clear()  # the kit closes it


@pytest.fixture
def on_clone(clean_environment: pytest.MonkeyPatch, clone: Clone) -> Clone:
    """Let the application make its database itself, from the URLs in its environment."""
    clean_environment.setenv("DATABASE_URL", clone.app)
    clean_environment.setenv("DATABASE_OWNER_URL", clone.owner)
    return clone


class Make:
    """Build valid objects, each one different; what a test is about it gives itself."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def user(self, **values: object) -> User:
        """Build a user."""
        number = next(self._numbers)
        defaults = {"email": f"user{number}@example.test", "subject_id": f"subject-{number}"}
        return User(**defaults | values)

    def conversation(self, owner: User, /, **values: object) -> Conversation:
        """Build an empty conversation."""
        return Conversation(**{"user_id": owner.id} | values)

    def message(self, conversation: Conversation, /, **values: object) -> Message:
        """Build a message of the user."""
        number = next(self._numbers)
        defaults = {
            "conversation_id": conversation.id,
            "role": "user",
            "content": f"message {number}",
        }
        return Message(**defaults | values)

    def config(self, owner: User, /, **values: object) -> MCPConfig:
        """Build a tool server's configuration."""
        defaults = {
            "user_id": owner.id,
            "name": f"server {next(self._numbers)}",
            "config": {"command": "scan", "args": ["--fast"]},
        }
        return MCPConfig(**defaults | values)


@pytest.fixture
def make() -> Make:
    """Give the builder of valid objects."""
    return Make()


@pytest.fixture
async def user(session: AsyncSession, make: Make) -> User:
    """Give a user who is stored and committed."""
    user = make.user()
    session.add(user)
    await session.commit()
    return user


@pytest.fixture
async def conversation(session: AsyncSession, make: Make, user: User) -> Conversation:
    """Give a conversation of the user that is stored and committed."""
    conversation = make.conversation(user)
    session.add(conversation)
    await session.commit()
    return conversation


@pytest.fixture
async def store(session: AsyncSession):
    """Give a function that stores objects and forgets them, so that reading is really reading."""

    async def stored(*objects: Base) -> None:
        session.add_all(objects)
        await session.commit()
        session.expunge_all()

    return stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table as the server has it: columns, constraints by name, and indexes without names."""

    columns: dict[str, str]
    constraints: dict[str, str]
    indexes: set[str]


COLUMNS = """
    SELECT attname, concat(format_type(atttypid, atttypmod),
        CASE WHEN attnotnull THEN ' NOT NULL' END, ' DEFAULT ' || pg_get_expr(adbin, adrelid))
    FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attrelid = CAST(:table AS regclass) AND attnum > 0 ORDER BY attnum"""
CONSTRAINTS = """
    SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE conrelid = CAST(:table AS regclass) AND contype <> 'n'"""
INDEXES = """
    SELECT regexp_replace(pg_get_indexdef(indexrelid), '^CREATE (UNIQUE )?INDEX .* USING ', '\\1')
    FROM pg_index WHERE indrelid = CAST(:table AS regclass)"""


@pytest.fixture
def read_table(session: AsyncSession):
    """Give a function that reads a migrated table from the server's catalogue."""

    async def read(name: str) -> Table:
        table = {"table": f"faceplate.{name}"}
        return Table(
            columns=dict((await session.execute(text(COLUMNS), table)).all()),
            constraints=dict((await session.execute(text(CONSTRAINTS), table)).all()),
            indexes=set(await session.scalars(text(INDEXES), table)),
        )

    return read


@pytest.fixture
def refused_by(session: AsyncSession):
    """Give a function that tells which column or constraint the database refuses a thing for."""

    async def refused(thing: Base) -> str:
        session.add(thing)
        with pytest.raises(IntegrityError) as error:
            await session.commit()
        await session.rollback()
        cause = error.value.orig.__cause__
        return cause.column_name or cause.constraint_name

    return refused
