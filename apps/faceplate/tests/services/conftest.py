"""A database of a million messages, filled once for a module."""

import asyncio

import pytest
from sqlalchemy import text

from holdfast.database import Database

MESSAGES = 1_000_000
CONVERSATIONS = 1_000
# Conversation 0 has every other message but of the last tenth, which is everybody else's; the rest
# have about 550 each. A message is a second; its content has 20 to 79 characters.
FILL = f"""
    INSERT INTO faceplate.users (id, email, subject_id)
    VALUES ('00000000-0000-7000-8000-000000000000', 'ann@example.test', 'ann');

    INSERT INTO faceplate.conversations (id, user_id)
    SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, users.id
    FROM generate_series(0, {CONVERSATIONS - 1}) n, faceplate.users;

    INSERT INTO faceplate.messages (id, conversation_id, role, content, created_at)
    SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid,
           ('00000000-0000-7000-8000-' || lpad((
               CASE WHEN n % 2 = 0 AND n < {MESSAGES // 10 * 9} THEN 0
               ELSE 1 + n % {CONVERSATIONS - 1} END)::text, 12, '0'))::uuid,
           'user', repeat('x', 20 + n % 60),
           timestamptz '2030-01-01 00:00:00+00' + n * interval '1 second'
    FROM generate_series(0, {MESSAGES - 1}) n
"""
# Rows go in far quicker without what has to be kept up to date for each of them.
KEYS = """
    SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE conrelid = 'faceplate.messages'::regclass AND contype IN ('p', 'f') ORDER BY contype DESC
"""
INDEXES = """
    SELECT indexname, indexdef FROM pg_indexes
    WHERE schemaname = 'faceplate' AND tablename = 'messages' AND indexname LIKE 'ix_%'
"""


@pytest.fixture(scope="module")
def million(request, make_clone):
    """Give the URL of a database with a million messages."""
    with make_clone(request) as clone:
        asyncio.run(_fill(clone.owner))
        yield clone.app


async def _fill(url):
    async with Database(url) as db:
        async with db.begin() as session:
            await session.execute(text("SET LOCAL statement_timeout = 0"))
            keys = (await session.execute(text(KEYS))).all()
            indexes = (await session.execute(text(INDEXES))).all()
            table = "ALTER TABLE faceplate.messages"
            dropped = [f"{table} DROP CONSTRAINT {name}" for name, _ in keys]
            dropped += [f"DROP INDEX faceplate.{name}" for name, _ in indexes]
            made = [f"{table} ADD CONSTRAINT {name} {definition}" for name, definition in keys]
            made += [definition for _, definition in indexes]
            for statement in (
                f"{table} DISABLE TRIGGER place_message",
                *dropped,
                *FILL.replace(":", r"\:").split(";"),
                *made,
                f"{table} ENABLE TRIGGER place_message",
            ):
                await session.execute(text(statement))
        async with db.engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            await connection.execute(text("VACUUM ANALYZE faceplate.messages"))
