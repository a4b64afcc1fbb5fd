"""In a test's sandbox the driver's calls are in the one transaction, and taken back with it."""

import pytest
from sqlalchemy import func, literal, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from tests.fastlane.conftest import Deck, Name

from holdfast import fastlane
from holdfast.testing.sandbox import Sandbox

DECKS = select(Deck.name).order_by(Deck.name)
WRONG = select((1 / (func.length(literal("six")) - 3)).label("name"))


@pytest.fixture
async def sandbox(db, outside):
    """Give the database in a sandbox, and see that nothing got out of it."""
    made = Sandbox(db)
    yield made.db
    await made.roll_back()
    await made.close()
    assert await outside.fetchval("SELECT count(*) FROM decks") == 0


async def test_what_is_copied_in_is_read(sandbox):
    """By a session, in a stream and on the engine."""
    async with sandbox.begin() as session:
        await fastlane.copy_in(session, Deck, [{"name": "a"}, {"name": "b"}])
    async with sandbox.read() as session:
        assert await fastlane.fetch(session, DECKS, into=Name) == [Name("a"), Name("b")]
    async with sandbox.read(snapshot=True) as session:
        assert len([row async for row in fastlane.stream(session, DECKS, into=Name)]) == 2
    assert len(await fastlane.fetch(sandbox.engine, DECKS, into=Name)) == 2


async def test_an_error_in_read_is_over(sandbox):
    """As in AUTOCOMMIT, where each statement stands for itself."""
    async with sandbox.begin() as session:
        await fastlane.copy_in(session, Deck, [{"name": "a"}])
    async with sandbox.read() as session:
        with pytest.raises(DBAPIError):
            await fastlane.fetch(session, WRONG, into=Name)
        assert await fastlane.fetch(session, DECKS, into=Name) == [Name("a")]


async def test_autocommit_keeps_what_was_copied(sandbox):
    """A statement by itself is kept, whatever the session does then."""
    engine = sandbox.engine.execution_options(isolation_level="AUTOCOMMIT")
    async with AsyncSession(engine) as session:
        await fastlane.copy_in(session, Deck, [{"name": "a"}])
        await session.rollback()
    async with sandbox.read() as session:
        assert await fastlane.fetch(session, DECKS, into=Name) == [Name("a")]


async def test_a_rollback_takes_it_back(sandbox):
    """The block's own."""
    async with sandbox.session() as session:
        await fastlane.copy_in(session, Deck, [{"name": "a"}])
        await session.rollback()
        assert await fastlane.fetch(session, DECKS, into=Name) == []
