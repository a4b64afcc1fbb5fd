"""What services read, they find by an index: nothing of a table is read besides."""

import asyncio
import random
import uuid
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from holdfast.database import Database
from mantimon.db.models import CardSource
from mantimon.services.boosters import open_booster
from mantimon.services.campaign import get_campaign, record_campaign_game
from mantimon.services.collections import add_copies, get_owned, list_owned
from mantimon.services.decks import list_decks, revalidate
from mantimon.services.games import get_games_of
from mantimon.services.history import get_games_played
from mantimon.services.players import Identity, find_player, get_player, list_players, log_in
from mantimon.services.premium import grant_premium
from mantimon.services.purse import buy_packs

PLAYERS = 3_000
NUMBERS = f"WITH numbers AS (SELECT generate_series(1, {PLAYERS}) AS n) "
ID = "('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid"
FILL = [
    f"""INSERT INTO users (id, email, display_name, oauth_provider, oauth_id)
        SELECT {ID}, n || '@example.test', 'Player ' || n, 'google', n::text FROM numbers""",
    f"""INSERT INTO campaign_progress (id, user_id, booster_packs, mantibucks)
        SELECT gen_random_uuid(), {ID}, 3, 1000 FROM numbers""",
    f"""INSERT INTO collections (id, user_id, card_definition_id, source)
        SELECT gen_random_uuid(), {ID}, card, 'booster'
        FROM numbers, unnest(ARRAY['a', 'b']) card""",
    f"INSERT INTO decks (id, user_id, name) SELECT gen_random_uuid(), {ID}, 'Deck' FROM numbers",
    f"""INSERT INTO active_games (id, game_type, player1_id)
        SELECT gen_random_uuid(), 'ranked', {ID} FROM numbers""",
    f"""INSERT INTO game_history (id, game_type, player1_id, winner_id, end_reason)
        SELECT gen_random_uuid(), 'ranked', {ID}, {ID}, 'prizes_taken' FROM numbers""",
]
ANALYZE = """
    ANALYZE users, campaign_progress, collections, decks, active_games, game_history, standings"""
READ = """
    SELECT relname, seq_tup_read, idx_scan FROM pg_stat_xact_user_tables
    WHERE seq_tup_read + coalesce(idx_scan, 0) > 0"""
ONE = uuid.UUID("00000000-0000-7000-8000-000000000007")
SEVEN = Identity(provider="google", oauth_id="7", email="7@example.test", display_name="Seven")


@pytest.fixture(scope="module")
def tables(request, make_clone):
    """Give the URL of a database with some thousand rows a table, of which the planner knows."""
    with make_clone(request) as clone:
        asyncio.run(_fill(clone.owner))
        yield clone.app


async def _fill(url):
    # The owner: PostgreSQL passes over an ANALYZE of anybody else, with no more than a warning.
    async with Database(url) as db, db.begin() as session:
        for statement in FILL:
            await session.execute(text(NUMBERS + statement))
        await session.execute(text(ANALYZE))


@pytest.fixture
async def filled(tables, make_database):
    """Give a session on the filled tables, on a connection that has planned nothing before."""
    async with make_database(tables) as db, db.session() as session:
        yield session


async def read(session):
    rows = (await session.execute(text(READ))).all()
    return {table: (rows_read, by_index or 0) for table, rows_read, by_index in rows}


@pytest.mark.parametrize(
    ("service", "read_by_index"),
    [
        (lambda s, _: log_in(s, SEVEN), {"users"}),
        (lambda s, _: find_player(s, "7@example.test"), {"users"}),
        (lambda s, _: get_player(s, ONE), {"users"}),
        (lambda s, _: list_players(s, limit=10), {"users"}),
        (lambda s, _: grant_premium(s, ONE, None, at=datetime.now(UTC)), {"users"}),
        (lambda s, _: get_campaign(s, ONE), {"campaign_progress"}),
        (lambda s, _: buy_packs(s, ONE, 1), {"campaign_progress"}),
        (
            lambda s, _: record_campaign_game(s, ONE, "club_1_brann", won=True),
            {"campaign_progress"},
        ),
        (lambda s, _: get_owned(s, ONE), {"collections"}),
        (lambda s, _: list_owned(s, ONE, limit=10), {"collections"}),
        (lambda s, _: add_copies(s, ONE, {"a": 1}, CardSource.BOOSTER), {"collections"}),
        (
            lambda s, cards: open_booster(s, ONE, "M1", cards=cards, rng=random.Random(1)),
            {"campaign_progress", "collections"},
        ),
        (lambda s, _: list_decks(s, ONE), {"decks"}),
        (lambda s, cards: revalidate(s, ONE, cards=cards), {"decks", "collections"}),
        (lambda s, _: get_games_of(s, ONE), {"active_games"}),
        (lambda s, _: get_games_played(s, ONE), set()),
    ],
)
async def test_a_table_is_not_read_as_a_whole(filled, cards, service, read_by_index):
    """The tables of a service are looked up in an index, and in no table all rows are read."""
    before = await read(filled)
    await service(filled, cards)
    after = await read(filled)

    scans = {
        table: (rows_read - before.get(table, (0, 0))[0], found - before.get(table, (0, 0))[1])
        for table, (rows_read, found) in after.items()
    }
    assert {table for table, (rows_read, _) in scans.items() if rows_read} == set()
    assert read_by_index <= {table for table, (_, found) in scans.items() if found}
