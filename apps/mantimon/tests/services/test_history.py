"""History on 100,000 games: the right answers, and the indexes that give them quickly."""

import asyncio
import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.dialects import postgresql

from holdfast.database import Database
from mantimon.db.models import GameHistory
from mantimon.errors import InvalidInputError
from mantimon.services.history import (
    get_leaderboard,
    get_recent_games,
    select_leaderboard,
    select_recent_games,
)

GAMES = 100_000
BEGIN = datetime(2030, 1, 1, tzinfo=UTC)
# 1,000 players; a game a minute; player n's id ends in n. Every tenth game is a draw, the
# others are won by either seat in turn.
FILL_PLAYERS = """
    INSERT INTO users (id, email, display_name, oauth_provider, oauth_id)
    SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid,
           n || '@example.test', 'Player ' || n, 'google', n::text
    FROM generate_series(0, 999) n"""
FILL_GAMES = f"""
    INSERT INTO game_history
        (id, game_type, player1_id, player2_id, winner_id, end_reason, played_at)
    SELECT gen_random_uuid(), 'ranked', a.id, b.id,
           CASE WHEN n % 10 = 0 THEN NULL WHEN n % 2 = 0 THEN a.id ELSE b.id END,
           CASE WHEN n % 10 = 0 THEN 'draw' ELSE 'prizes_taken' END,
           timestamptz '2030-01-01 00:00:00+00' + n * interval '1 minute'
    FROM generate_series(0, {GAMES - 1}) n
    JOIN users a ON a.oauth_id = (n * 7919 % 1000)::text
    JOIN users b ON b.oauth_id = ((n * 7919 + 1 + n / 1000) % 1000)::text"""


def player(number):
    return uuid.UUID(f"00000000-0000-7000-8000-{number:012d}")


@pytest.fixture(scope="module")
def history(request, make_clone):
    """Give the URL of a database that is filled once for this module."""
    with make_clone(request) as clone:
        asyncio.run(_fill(clone.owner))
        yield clone.app


async def _fill(url):
    async with Database(url) as db:
        async with db.begin() as session:
            await session.execute(text(FILL_PLAYERS))
            await session.execute(text(FILL_GAMES))
        async with db.engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            await connection.execute(text("VACUUM ANALYZE game_history"))


@pytest.fixture
async def games(history, make_database):
    """Give a session on the filled database."""
    async with make_database(history) as db, db.session() as session:
        yield session


async def explain(session, statement):
    """Run the query and give the indexes that its plan uses, and the plan."""
    compiled = statement.compile(
        dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True}
    )
    plan = await session.scalar(text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {_plain(compiled)}"))
    top = (plan if isinstance(plan, list) else json.loads(plan))[0]["Plan"]
    return {node["Index Name"] for node in nodes(top) if "Index Name" in node}, top


def _plain(compiled):
    return str(compiled).replace(":", r"\:")


def nodes(plan):
    yield plan
    for each in plan.get("Plans", []):
        yield from nodes(each)


async def test_recent_games_use_an_index_for_each_seat(games):
    """A player's newest games are read in order from two indexes, and no game more than asked."""
    used, plan = await explain(games, select_recent_games(player(7), 20))

    assert used == {
        "ix_game_history_player1_id_played_at_id",
        "ix_game_history_player2_id_played_at_id",
    }
    assert all(node["Actual Rows"] <= 2 * 20 for node in nodes(plan))


async def test_leaderboard_reads_the_index_alone(games):
    """The wins of a day come from the index, without visiting the table."""
    since = BEGIN + timedelta(days=30)
    used, plan = await explain(games, select_leaderboard(since, since + timedelta(days=1), 10))

    assert used == {"ix_game_history_wins"}
    assert {"Index Only Scan"} <= {node["Node Type"] for node in nodes(plan)}


@pytest.mark.parametrize("column", ["player1_id", "player2_id", "winner_id"])
async def test_deleting_a_player_uses_the_indexes(games, column):
    """What the database does to each column when a player goes reads that player's games alone."""
    taken = getattr(GameHistory, column) == player(9)
    used, plan = await explain(games, select(GameHistory.id).where(taken))

    assert any(name.startswith(f"ix_game_history_{column}") for name in used)
    assert sum(plan[block] for block in ("Shared Hit Blocks", "Shared Read Blocks")) < 200


async def test_recent_games_are_the_player_s_newest(games):
    """The answer is the same as that of the plain question."""
    found = await get_recent_games(games, player(7), limit=20)

    plain = await games.scalars(
        text(
            "SELECT id FROM game_history WHERE player1_id = :id OR player2_id = :id"
            " ORDER BY played_at DESC, id DESC LIMIT 20"
        ),
        {"id": player(7)},
    )
    assert [game.id for game in found] == plain.all()
    assert len(found) == 20


async def test_leaderboard_counts_wins_in_the_period(games):
    """Only games of the period count, its end not included, and a draw is nobody's win."""
    since, until = BEGIN + timedelta(days=10), BEGIN + timedelta(days=12)
    found = await get_leaderboard(games, since, until, limit=1_000)

    wins = await games.execute(
        text(
            "SELECT winner_id, count(*) FROM game_history WHERE winner_id IS NOT NULL"
            " AND played_at >= :since AND played_at < :until GROUP BY winner_id"
        ),
        {"since": since, "until": until},
    )
    assert dict(found) == dict(wins.all())
    assert sum(count for _, count in found) == 2 * 24 * 60 * 9 // 10
    assert [count for _, count in found] == sorted((count for _, count in found), reverse=True)


@pytest.mark.parametrize("limit", [-1, 0, 10_001, 10**20, None, True, "5"])
async def test_a_wrong_limit_is_refused(session, limit):
    """A limit that is no number of rows is one line that has it."""
    says = rf"^limit is {limit!r}; it is between 1 and 10000$"
    with pytest.raises(InvalidInputError, match=says):
        await get_recent_games(session, uuid.uuid4(), limit=limit)
    with pytest.raises(InvalidInputError, match=says):
        await get_leaderboard(session, BEGIN, BEGIN, limit=limit)


async def test_a_player_without_games(games):
    """Somebody who has not played has no games."""
    assert await get_recent_games(games, uuid.uuid4()) == []


async def test_a_game_against_oneself_is_listed_once(session, make, player, store):
    """A player in both seats, as in a practice game, does not see it twice."""
    game = make.history(player, player2_id=player.id)
    await store(game)

    assert [found.id for found in await get_recent_games(session, player.id)] == [game.id]
