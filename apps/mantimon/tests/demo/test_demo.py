import io
import re
import sys
import uuid
from collections.abc import Mapping
from datetime import timedelta

import pytest
from rich.console import Console
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast import redis
from holdfast.database import Database
from holdfast.errors import UnavailableError
from holdfast.testing import Clone
from mantimon.db.models import ActiveGame, CardSource, GameHistory, User, standings
from mantimon.demo import __main__ as demo
from mantimon.demo import games, play, stack
from mantimon.services import boosters, collections, purse
from mantimon.services.card_service import get_card_service
from mantimon.services.game_state_manager import GameStateManager
from mantimon.services.games import start_game
from mantimon.services.history import get_leaderboard
from mantimon.simulation import simulate
from mantimon.simulation.plan import pair
from mantimon.simulation.players import prepare_players


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Play with few players: what is checked does not depend on how many."""
    monkeypatch.setattr(play, "PLAYERS", 10)
    monkeypatch.setattr(play, "BOOSTERS", 60)
    monkeypatch.setattr(games, "GAMES", 12)
    monkeypatch.setattr(games, "PLAYERS", 5)


@pytest.fixture
def _given(monkeypatch: pytest.MonkeyPatch, clone: Clone, redis_url: str) -> None:
    monkeypatch.setenv("DATABASE_URL", clone.owner)
    monkeypatch.setenv("REDIS_URL", redis_url)


@pytest.fixture
def console() -> Console:
    """Give a console that keeps what is printed."""
    return Console(file=io.StringIO(), width=160)


@pytest.mark.usefixtures("_given")
async def test_given_servers_are_used_and_left_clean(console, clone, redis_url):
    """On servers that the environment names, the demo plays, and removes its players again."""
    held = await demo.run(console)

    printed = console.file.getvalue()
    assert held
    assert "from DATABASE_URL" in printed
    assert "from REDIS_URL" in printed
    assert "60 opened by 50 tasks at once" in printed
    assert "revision 001" in printed
    assert "12 of 5 players by 3 processes" in printed
    assert re.search(r"finished: 12, workers killed: \d+, acknowledged turns lost: 0", printed)
    assert "most wins: Simulated player" in printed
    assert "8 basic tide creatures of 60 HP and more" in printed
    async with Database(clone.owner) as db, db.read() as session:
        for model in (User, ActiveGame, GameHistory, standings):
            assert await session.scalar(select(func.count()).select_from(model)) == 0
    async with redis.client(redis_url) as client:
        assert await client.keys("demo:*") == await client.keys("game:*") == []


@pytest.mark.usefixtures("_given")
async def test_an_interrupted_demo_leaves_no_game(console, clone, redis_url, monkeypatch):
    """Games that were being played when the demo ended are gone from both servers."""

    async def interrupted(url, redis_url, plan, progress):
        async with Database(clone.owner) as db, redis.client(redis_url) as client:
            players = await prepare_players(db, plan, get_card_service(), progress)
            new = pair(uuid.uuid4(), plan.seed, 1, players)
            await db.run(start_game, new, cards=get_card_service(), seed=1)
            await GameStateManager(db, client).load_state(new.id)
        raise UnavailableError("gone")

    monkeypatch.setattr(games, "simulate", interrupted)

    with pytest.raises(UnavailableError):
        await demo.run(console)
    async with Database(clone.owner) as db, db.read() as session:
        assert await session.scalar(select(func.count()).select_from(ActiveGame)) == 0
    async with redis.client(redis_url) as client:
        assert await client.keys() == [b"holdfast:state:owners"]  # whose table the prefix is


@pytest.mark.usefixtures("_given")
async def test_a_lost_card_is_found(console, monkeypatch):
    """When one booster's cards are not stored, the check says so and the demo fails."""
    calls = 0

    async def lose_one(
        session: AsyncSession, user: uuid.UUID, copies: Mapping[str, int], source: CardSource
    ) -> dict[str, int]:
        nonlocal calls
        calls += 1
        if calls == 30:
            return {}
        return await collections.add_copies(session, user, copies, source)

    monkeypatch.setattr(boosters, "add_copies", lose_one)

    assert not await demo.run(console)
    assert console.file.getvalue().count("BROKEN") == 2


@pytest.mark.usefixtures("_given")
async def test_a_lost_pack_is_found(console, monkeypatch):
    """When one booster is opened without a pack, the check of packs alone says so."""
    calls = 0

    async def forget_one(session: AsyncSession, user: uuid.UUID) -> None:
        nonlocal calls
        calls += 1
        if calls != 30:
            await purse.take_pack(session, user)

    monkeypatch.setattr(boosters, "take_pack", forget_one)

    assert not await demo.run(console)
    printed = console.file.getvalue()
    assert printed.count("BROKEN") == 1
    assert re.search(r"BROKEN: \d+ packs bought and \d+ given: what is left", printed)


@pytest.mark.usefixtures("_given")
async def test_a_win_that_nobody_had_is_found(console, clone, monkeypatch):
    """When the leaderboard has too many wins, or a game is not as the rules say, the demo fails."""

    async def spoiled(url, redis_url, plan, progress):
        report = await simulate(url, redis_url, plan, progress)
        report.problems.append("game 3: missing; it never began")
        async with Database(clone.owner) as owner, owner.begin() as session:
            await session.execute(update(standings).values(wins=standings.c.wins + 1))
        return report

    monkeypatch.setattr(games, "simulate", spoiled)
    monkeypatch.setattr(games, "get_leaderboard", kept_board)

    assert not await demo.run(console)
    assert console.file.getvalue().count("BROKEN") == 2


async def kept_board(session, since, until, *, limit):
    """Give the board of whole months, which the database has counted as games were stored."""
    first = since.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    after = (until.replace(day=1) + timedelta(days=62)).replace(day=1)
    end = after.replace(hour=0, minute=0, second=0, microsecond=0)
    return await get_leaderboard(session, first, end, limit=limit)


def test_own_servers_are_started_and_stopped(monkeypatch, capsys):
    """Without URLs the demo runs on servers of its own, ends with `demo: ok` and stops them."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("REDIS_URL", raising=False)
    stopped = []
    for kind in (stack.PostgresServer, stack.RedisServer):
        stop = kind.stop

        async def watched(server, stop=stop):
            await stop(server)
            stopped.append(type(server).__name__)

        monkeypatch.setattr(kind, "stop", watched)

    demo.main()

    printed = capsys.readouterr().out
    assert printed.endswith("\ndemo: ok\n")
    assert "PostgreSQL" in printed
    assert sorted(stopped) == ["PostgresServer", "RedisServer"]


def test_an_unreachable_database_is_one_line(monkeypatch, capsys):
    """A database that does not answer ends the demo in one line, without the password."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://ann:hunter2@127.0.0.1:1/shop")
    monkeypatch.setattr(sys, "argv", ["demo"])

    with pytest.raises(SystemExit) as ended:
        demo.main()

    assert str(ended.value.code).startswith("error: PostgreSQL at 127.0.0.1:1/shop: ")
    assert "hunter2" not in str(ended.value.code) + capsys.readouterr().out


@pytest.mark.usefixtures("_given")
def test_a_broken_check_fails(monkeypatch):
    """A check that does not hold ends the demo with an exit code of its own words."""

    async def broken(_console: Console) -> bool:
        return False

    monkeypatch.setattr(demo, "run", broken)

    with pytest.raises(SystemExit, match="a check does not hold"):
        demo.main()
