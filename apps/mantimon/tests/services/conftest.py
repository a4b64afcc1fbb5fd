"""Players with a campaign, and what tests of several transactions at once wait for."""

import asyncio
import uuid

import pytest
from sqlalchemy import select, text

from mantimon.db.models import CampaignProgress, GameType
from mantimon.services.games import start_game
from mantimon.services.pairings import NewGame
from mantimon.services.starters import choose_starter, give_starter

BLOCKED = text(
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND wait_event_type = 'Lock'"
)
PATIENCE = 30  # seconds, for a machine that is busy; what is waited for is a fact


@pytest.fixture
def begin(player, make, store):
    """Give a function that begins the player's campaign, and returns the player's id."""

    async def begun(**values: object) -> uuid.UUID:
        user_id = player.id
        await store(make.campaign(player, **values))
        return user_id

    return begun


@pytest.fixture
def read_campaign(session):
    """Give a function that reads a player's campaign as it is stored."""

    async def read(user_id: uuid.UUID) -> CampaignProgress:
        statement = select(CampaignProgress).where(CampaignProgress.user_id == user_id)
        fresh = statement.execution_options(populate_existing=True)
        return (await session.scalars(fresh)).one()

    return read


@pytest.fixture
def until_blocked(db):
    """Give a function that waits until so many connections wait for another's transaction."""

    async def blocked(count: int = 1) -> None:
        async with asyncio.timeout(PATIENCE), db.read() as session:
            while await session.scalar(BLOCKED) < count:
                pass

    return blocked


@pytest.fixture(scope="module")
def deck(first_set):
    """Give a deck that follows every rule."""
    return choose_starter("tide", first_set)


@pytest.fixture
def register(make, cards):
    """Give what stores players who own that deck and have begun their campaign."""

    async def registered(db, count=2):
        async with db.begin() as session:
            users = [make.user() for _ in range(count)]
            session.add_all(users)
            await session.flush()
            for user in users:
                await give_starter(session, user.id, "tide", "M1", cards=cards)
            return [user.id for user in users]

    return registered


@pytest.fixture
def new_game(register, deck):
    """Give a function that gives a ranked game of two new players, which can begin."""

    async def ready(db):
        one, two = await register(db)
        return NewGame(
            game_type=GameType.RANKED, player1_id=one, deck1=deck, player2_id=two, deck2=deck
        )

    return ready


@pytest.fixture
async def begun(database, cards, new_game):
    """Give a ranked game that has begun, on a database of its own."""
    new = await new_game(database)
    await database.run(start_game, new, cards=cards, seed=1)
    return new


@pytest.fixture
async def campaign_game(database, cards, register, deck):
    """Give a campaign game that has begun, on a database of its own."""
    player, _ = await register(database)
    new = NewGame(game_type=GameType.CAMPAIGN, player1_id=player, deck1=deck, npc_id="club_1_brann")
    await database.run(start_game, new, cards=cards, seed=1)
    return new
