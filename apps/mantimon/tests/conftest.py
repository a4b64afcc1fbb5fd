"""A migrated database that each test finds empty, and the application on top of it."""

import asyncio
import itertools
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import URL, delete, make_url, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool

from holdfast import migrate
from holdfast.database import Database
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

APP = Path(__file__).parent.parent
VARIABLES = [name.upper() for name in config.Settings.model_fields]


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where databases for tests are made; `owner` migrates, `app` is what the application is."""

    owner: URL
    app: URL

    def of(self, name: str) -> "Server":
        """Give the same server with another database."""
        return Server(owner=self.owner.set(database=name), app=self.app.set(database=name))

    async def run(self, sql: str) -> None:
        """Run one statement outside of a transaction."""
        engine = create_async_engine(
            self.owner.set(drivername="postgresql+asyncpg"),
            isolation_level="AUTOCOMMIT",
            poolclass=NullPool,
        )
        async with engine.connect() as connection:
            await connection.execute(text(sql))
        await engine.dispose()


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Server:
    """Give the server of TEST_DATABASE_URL, or one of this run."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        return Server(owner=make_url(given), app=make_url(given))
    postgres = request.getfixturevalue("postgres")
    return Server(owner=make_url(postgres.url("owner")), app=make_url(postgres.url("app")))


@pytest.fixture(scope="session")
def migrated(server: Server) -> Iterator[Server]:
    """Give the migrated database of this run, as both roles; every test finds it empty."""
    name = f"mantimon_{uuid.uuid4().hex}"
    asyncio.run(_make_database(server, name))
    yield server.of(name)
    asyncio.run(server.run(f"DROP DATABASE {name} WITH (FORCE)"))


async def _make_database(server: Server, name: str) -> None:
    await server.run(f"CREATE DATABASE {name}")
    async with Database(server.of(name).owner) as db:
        await migrate.upgrade(db, APP / "alembic.ini")


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
async def on_database(
    clean_environment: pytest.MonkeyPatch, migrated: Server
) -> AsyncIterator[Server]:
    """Point the application at the migrated database, as the role `app`; empty it afterwards."""
    url = migrated.app.render_as_string(hide_password=False)
    clean_environment.setenv("DATABASE_URL", url)
    yield migrated
    async with session.get_database().begin() as emptying:
        # What players own goes with them. The tests commit for real, and side by side.
        await emptying.execute(delete(GameHistory))
        await emptying.execute(delete(User))
    await session.close_database()


@pytest.fixture
async def on_redis(clean_environment: pytest.MonkeyPatch, redis_url: str) -> AsyncIterator[str]:
    """Point the application at an empty Redis."""
    clean_environment.setenv("REDIS_URL", redis_url)
    yield redis_url
    await redis.close_redis()


@pytest.fixture
async def db(on_database: Server) -> AsyncIterator[AsyncSession]:
    """Give a session of the application's; what the test does not commit is rolled back."""
    async with session.get_database().session() as opened:
        yield opened


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
async def player(db: AsyncSession, make: Make) -> User:
    """Give a player who is stored and committed."""
    user = make.user()
    db.add(user)
    await db.commit()
    return user


@pytest.fixture
async def rival(db: AsyncSession, make: Make) -> User:
    """Give another player who is stored and committed."""
    user = make.user()
    db.add(user)
    await db.commit()
    return user


@pytest.fixture
async def store(db: AsyncSession):
    """Give a function that stores objects and forgets them, so that reading is really reading."""

    async def stored(*objects: Base) -> None:
        db.add_all(objects)
        await db.commit()
        db.expunge_all()

    return stored


@pytest.fixture(scope="session")
def cards() -> CardService:
    """Give the service on the bundle that the application ships."""
    return CardService()


@pytest.fixture(scope="session")
def first_set(cards: CardService) -> list[CardDefinition]:
    """Give the cards of set M1."""
    return cards.get_cards_by_set("M1")
