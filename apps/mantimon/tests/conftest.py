"""The application on the databases of the test kit, and builders of valid objects."""

import itertools
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.database import Database
from holdfast.testing import Clone
from mantimon import config
from mantimon.cards.definition import CardDefinition
from mantimon.db import redis, session
from mantimon.db.models import (
    ActiveGame,
    Base,
    CampaignProgress,
    Collection,
    Deck,
    GameHistory,
    User,
)
from mantimon.services.card_service import CardService

VARIABLES = [name.upper() for name in config.Settings.model_fields]


@pytest.fixture(scope="session")
def make_database() -> Callable[[str], Database]:
    """Give the application's own way to make its database."""
    return session.make_database


@pytest.fixture
async def clean_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[pytest.MonkeyPatch]:
    """Leave no setting of the machine, and no `.env`, in the way; close what the test opened."""
    for name in [*VARIABLES, *(name for name in os.environ if name.startswith("MANTIMON_"))]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    config.get_settings.cache_clear()
    yield monkeypatch
    await session.close_database()
    await redis.close_redis()
    config.get_settings.cache_clear()


@pytest.fixture
def db(clean_environment: pytest.MonkeyPatch, db: Database) -> Iterator[Database]:
    """Give the application's shared database: its own functions use it as well."""
    clean_environment.setattr(session, "make_database", lambda _url: db)
    yield session.get_database()
    session.get_database.cache_clear()  # the kit closes it


@pytest.fixture
def on_clone(clean_environment: pytest.MonkeyPatch, clone: Clone) -> Clone:
    """Let the application make its database itself, from a URL in its environment."""
    clean_environment.setenv("DATABASE_URL", clone.app)
    return clone


@pytest.fixture
def patient(clean_environment: pytest.MonkeyPatch) -> None:
    """Let the application wait for Redis and the store longer: a busy machine is no fault."""
    for limit in ("REDIS_CONNECT_TIMEOUT", "REDIS_TIMEOUT", "REDIS_POOL_TIMEOUT", "STATE_TIMEOUT"):
        clean_environment.setenv(f"MANTIMON_{limit}", "30")


@pytest.fixture
async def on_redis(clean_environment: pytest.MonkeyPatch, redis_url: str) -> AsyncIterator[str]:
    """Point the application at an empty Redis."""
    clean_environment.setenv("REDIS_URL", redis_url)
    yield redis_url
    await redis.close_redis()


class Make:
    """Build valid objects, each one different; what a test is about it gives itself."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def user(self, **values: object) -> User:
        """Build a player."""
        number = next(self._numbers)
        defaults = {
            "email": f"player{number}@example.test",
            "display_name": f"Player {number}",
            "oauth_provider": "google",
            "oauth_id": f"google-{number}",
        }
        return User(**defaults | values)

    def collection(self, owner: User, /, **values: object) -> Collection:
        """Build a card that is owned."""
        defaults = {
            "user_id": owner.id,
            "card_definition_id": f"card-{next(self._numbers)}",
            "source": "booster",
        }
        return Collection(**defaults | values)

    def deck(self, owner: User, /, **values: object) -> Deck:
        """Build an empty deck."""
        return Deck(**{"user_id": owner.id, "name": "Deck"} | values)

    def campaign(self, owner: User, /, **values: object) -> CampaignProgress:
        """Build a campaign."""
        return CampaignProgress(**{"user_id": owner.id} | values)

    def game(self, owner: User, /, **values: object) -> ActiveGame:
        """Build a game in the first seat."""
        return ActiveGame(**{"player1_id": owner.id, "game_type": "ranked"} | values)

    def history(self, owner: User, /, **values: object) -> GameHistory:
        """Build a game that was played in the first seat."""
        defaults = {"player1_id": owner.id, "game_type": "ranked", "end_reason": "prizes_taken"}
        return GameHistory(**defaults | values)


@pytest.fixture
def make() -> Make:
    """Give the builder of valid objects."""
    return Make()


@pytest.fixture
async def player(session: AsyncSession, make: Make) -> User:
    """Give a player who is stored and committed."""
    user = make.user()
    session.add(user)
    await session.commit()
    return user


@pytest.fixture
async def rival(session: AsyncSession, make: Make) -> User:
    """Give another player who is stored and committed."""
    user = make.user()
    session.add(user)
    await session.commit()
    return user


@pytest.fixture
async def store(session: AsyncSession):
    """Give a function that stores objects and forgets them, so that reading is really reading."""

    async def stored(*objects: Base) -> None:
        session.add_all(objects)
        await session.commit()
        session.expunge_all()

    return stored


@pytest.fixture(scope="session")
def cards() -> CardService:
    """Give the service on the bundle that the application ships."""
    return CardService()


@pytest.fixture(scope="session")
def first_set(cards: CardService) -> list[CardDefinition]:
    """Give the cards of set M1."""
    return cards.get_cards_by_set("M1")
