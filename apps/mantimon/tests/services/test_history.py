"""History on 100,000 games in three partitions: the right answers, and what is read for them."""

import asyncio
import json
import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import select, text
from sqlalchemy.dialects import postgresql

from holdfast.database import Database
from holdfast.errors import ConfigurationError
from holdfast.paging import read_place
from mantimon.db.models import GameHistory
from mantimon.db.partitions import cover
from mantimon.errors import InvalidInputError
from mantimon.services.history import (
    get_games_played,
    get_leaderboard,
    select_games_played,
    select_leaderboard,
)

GAMES = 100_000
BEGIN = datetime(2030, 1, 1, tzinfo=UTC)
EARLIEST = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5)))  # no year has it in UTC
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

PLAIN = """
    SELECT id FROM game_history WHERE player1_id = :id OR player2_id = :id
    ORDER BY played_at DESC, id DESC"""


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
            await cover(session, BEGIN, BEGIN + timedelta(minutes=GAMES))
            await session.execute(text(FILL_PLAYERS))
            await session.execute(text(FILL_GAMES))
        async with db.engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            await connection.execute(text("VACUUM ANALYZE game_history, standings, users"))


@pytest.fixture
async def games(history, make_database):
    """Give a session on the filled database."""
    async with make_database(history) as db, db.session() as session:
        yield session


async def explain(session, statement):
    """Run the query and give the indexes that its plan has read, and the plan."""
    compiled = statement.compile(
        dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True}
    )
    plan = await session.scalar(text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {_plain(compiled)}"))
    top = (plan if isinstance(plan, list) else json.loads(plan))[0]["Plan"]
    used = [node for node in nodes(top) if "Index Name" in node and node["Actual Loops"]]
    return {node["Index Name"] for node in used}, top


def _plain(compiled):
    return str(compiled).replace(":", r"\:")


def nodes(plan):
    yield plan
    for each in plan.get("Plans", []):
        yield from nodes(each)


def index(month, *columns):
    """Name the index on columns of the partition of a month of 2030."""
    return f"game_history_2030_{month:02}_{'_'.join(columns)}_idx"


SEATS = (("player1_id", "played_at", "id"), ("player2_id", "played_at", "id"))


@pytest.mark.parametrize(
    ("day", "months"), [(None, {3}), (45, {2}), (33, {1, 2})], ids=["newest", "older", "border"]
)
async def test_games_played_use_an_index_for_each_seat(games, day, months):
    """A page is read in order from two indexes of one or two months, no game more than asked."""
    place = None if day is None else (BEGIN + timedelta(days=day), uuid.UUID(int=0))
    read, plan = await explain(games, select_games_played(player(7), 20, place))

    assert read == {index(month, *seat) for month in months for seat in SEATS}
    assert all(node["Actual Rows"] <= 2 * 20 for node in nodes(plan))


@pytest.mark.parametrize(("day", "length", "months"), [(40, 1, {2}), (28, 7, {1, 2})])
async def test_leaderboard_reads_the_index_of_its_months(games, day, length, months):
    """The wins of a period come from an index, and no other month is looked at."""
    since = BEGIN + timedelta(days=day)
    read, plan = await explain(games, select_leaderboard(since, since + timedelta(days=length), 10))

    assert read - {"pk_users"} == {index(month, "played_at", "winner_id") for month in months}
    history = {node.get("Relation Name") for node in nodes(plan)} - {None, "users"}
    assert history == {f"game_history_2030_{month:02}" for month in months}


async def test_leaderboard_of_a_day_reads_the_index_alone(games):
    """A small part of a month is counted without visiting the table."""
    # What VACUUM has just marked as visible to all depends on who else looks at the table.
    await games.execute(text("SET LOCAL enable_bitmapscan = off"))
    since = BEGIN + timedelta(days=40)
    _, plan = await explain(games, select_leaderboard(since, since + timedelta(days=1), 10))

    scans = [node for node in nodes(plan) if node.get("Relation Name", "users") != "users"]
    assert [node["Node Type"] for node in scans] == ["Index Only Scan"]


@pytest.mark.parametrize("column", ["player1_id", "player2_id", "winner_id"])
async def test_deleting_a_player_uses_the_indexes(games, column):
    """What the database does to each column when a player goes reads that player's games alone."""
    taken = getattr(GameHistory, column) == player(9)
    read, plan = await explain(games, select(GameHistory.id).where(taken))

    assert {name.partition(f"_{column}")[0] for name in read} == {
        f"game_history_2030_{month:02}" for month in (1, 2, 3)
    }
    assert sum(plan[block] for block in ("Shared Hit Blocks", "Shared Read Blocks")) < 200


async def test_the_first_page_is_the_player_s_newest(games):
    """The answer is the same as that of the plain question."""
    page = await get_games_played(games, player(7), limit=20)

    plain = await games.scalars(text(f"{PLAIN} LIMIT 20"), {"id": player(7)})
    assert [game.id for game in page.items] == plain.all()
    assert len(page.items) == 20


@pytest.mark.parametrize("limit", [7, 50, 100])
async def test_pages_are_all_games_once(games, limit):
    """Page by page each of the player's games is listed once, in order, and then it ends."""
    listed, after, pages = [], None, 0
    while pages == 0 or after is not None:
        page = await get_games_played(games, player(7), after=after, limit=limit)
        listed, after, pages = [*listed, *page.items], page.next, pages + 1

    plain = await games.scalars(text(PLAIN), {"id": player(7)})
    assert [game.id for game in listed] == plain.all()
    assert pages == -(-len(listed) // limit)


async def test_pages_of_games_at_one_moment(session, make, player, rival, store):
    """Games of the same microsecond, and of both seats, are told apart by their ids."""
    moment = datetime.now(UTC)
    games = [
        make.history(*seats, played_at=moment) for seats in [(player,), (rival,), (player,)] * 3
    ]
    for game in games[1::3]:
        game.player2_id = player.id
    await store(*games)
    listed, after = [], None
    for size in (2, 2, 2, 2, 1):
        page = await get_games_played(session, player.id, after=after, limit=2)
        assert len(page.items) == size
        listed, after = [*listed, *page.items], page.next

    assert after is None
    assert [game.id for game in listed] == sorted((game.id for game in games), reverse=True)


async def test_a_page_goes_on_where_the_last_one_ended(session, make, player, store):
    """Games that are played meanwhile neither shift a page nor come twice."""
    await store(*(make.history(player) for _ in range(4)))
    first = await get_games_played(session, player.id, limit=2)
    await store(make.history(player))
    second = await get_games_played(session, player.id, after=first.next, limit=2)

    assert len({game.id for game in [*first.items, *second.items]}) == 4
    assert read_place(first.next) > (second.items[0].played_at, second.items[0].id)


async def test_the_players_come_with_the_games(games):
    """Asked for, the names of those who played are there, and nothing is loaded behind them."""
    page = await get_games_played(games, player(7), limit=5, with_players=True)

    for game in page.items:
        assert {game.player1.display_name, game.player2.display_name} >= {"Player 7"}


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
    names = {each: f"Player {each.int & 0xFFFF:x}" for each, _, _ in found}
    assert {id_: count for id_, _, count in found} == dict(wins.all())
    assert {id_: name for id_, name, _ in found} == names
    assert sum(count for _, _, count in found) == 2 * 24 * 60 * 9 // 10
    assert found == sorted(found, key=lambda row: (-row[2], row[0]))


COUNTED = """
    SELECT winner_id, count(*) FROM game_history
    WHERE winner_id IS NOT NULL AND played_at >= :since AND played_at < :until GROUP BY winner_id"""
MARCH = datetime(2030, 3, 1, tzinfo=UTC)
TOKYO = timezone(timedelta(hours=9))


@pytest.mark.parametrize(
    ("since", "until"),
    [
        (BEGIN, BEGIN + timedelta(31)),
        (BEGIN + timedelta(31), MARCH),
        (BEGIN, MARCH),
        (BEGIN - timedelta(31), MARCH + timedelta(31)),
        (BEGIN.astimezone(TOKYO), MARCH.astimezone(TOKYO)),
        (datetime(2030, 2, 1, tzinfo=TOKYO), datetime(2030, 3, 1, tzinfo=TOKYO)),
        (BEGIN + timedelta(31, microseconds=1), MARCH),
        (BEGIN, BEGIN),
    ],
)
async def test_whole_months_are_what_their_games_add_up_to(games, since, until):
    """The board is the same whether the database has counted ahead or counts now."""
    found = await get_leaderboard(games, since, until, limit=1_000)

    wins = await games.execute(text(COUNTED), {"since": since, "until": until})
    assert {id_: count for id_, _, count in found} == dict(wins.all())
    assert found == sorted(found, key=lambda row: (-row[2], row[0]))


async def test_leaderboard_of_a_month_reads_the_best_alone(games):
    """Of a whole month as many rows are read as are asked for, in order, and no game."""
    read, plan = await explain(games, select_leaderboard(BEGIN, BEGIN + timedelta(31), 10))

    assert read - {"pk_users"} == {"ix_standings_best"}
    kept = [node for node in nodes(plan) if node.get("Relation Name") == "standings"]
    assert [(node["Node Type"], node["Actual Rows"]) for node in kept] == [("Index Only Scan", 10)]


async def test_wins_are_counted_however_games_are_stored(session, make, player, rival, store):
    """One by one and many at once, in two months; a draw is nobody's win."""
    now = datetime.now(UTC)
    this = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    then = (this + timedelta(31)).replace(day=1)
    await store(make.history(player, winner_id=player.id, played_at=then))
    await store(
        *(make.history(player, winner_id=rival.id, played_at=then) for _ in range(3)),
        make.history(player, played_at=then, end_reason="draw"),
        make.history(player, winner_id=player.id, played_at=this),
    )

    board = await get_leaderboard(session, then, (then + timedelta(31)).replace(day=1))
    assert [(id_, wins) for id_, _, wins in board] == [(rival.id, 3), (player.id, 1)]
    (only,) = await get_leaderboard(session, this, then)
    assert (only[0], only[2]) == (player.id, 1)


CORRECTIONS = [
    "UPDATE game_history SET winner_id = player2_id WHERE played_at < '2029-05-02'",
    "UPDATE game_history SET winner_id = NULL, end_reason = 'draw'",
    "UPDATE game_history SET played_at = played_at + interval '1 month'",
    "UPDATE game_history SET duration_seconds = 1",
    "DELETE FROM game_history WHERE played_at < '2029-05-02'",
    "DELETE FROM game_history",
]
WON_BY_MONTH = """
    SELECT date_trunc('month', played_at AT TIME ZONE 'UTC')::date, winner_id, count(*)
    FROM game_history WHERE winner_id IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2"""


@pytest.mark.parametrize("correction", CORRECTIONS)
async def test_a_game_that_is_corrected_is_corrected_on_the_board(
    session, make, player, rival, store, *, correction
):
    """What is changed or deleted in the history is counted anew; who has no wins is on no board."""
    first = datetime(2029, 5, 1, tzinfo=UTC)
    await cover(session, first, first + timedelta(days=62))
    await store(
        *(
            make.history(
                player,
                player2_id=rival.id,
                winner_id=(player if day % 3 else rival).id,
                played_at=first + timedelta(days=day / 2),
            )
            for day in range(8)
        )
    )
    await session.execute(text(correction))
    await session.commit()

    kept = await session.execute(text("SELECT * FROM standings ORDER BY month, user_id"))
    assert kept.all() == (await session.execute(text(WON_BY_MONTH))).all()


async def test_a_deleted_player_is_on_no_board(session, make, player, rival, store):
    """Who is deleted is taken from the boards too, by the database alone."""
    this = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    period = this, (this + timedelta(31)).replace(day=1)
    await store(*(make.history(player, winner_id=each.id) for each in (player, rival)))
    await session.execute(text("DELETE FROM users WHERE id = :id"), {"id": player.id})

    board = await get_leaderboard(session, *period)
    assert [id_ for id_, _, _ in board] == [rival.id]


STORE = """
    INSERT INTO game_history (id, game_type, player1_id, winner_id, end_reason)
    SELECT gen_random_uuid(), 'ranked', winner, winner, 'prizes_taken'
    FROM unnest(CAST(:winners AS uuid[])) AS winner"""


async def test_wins_stored_at_once_are_all_counted(clone, make):
    """Forty tasks that store games of the same players count each, and none waits in a circle."""
    async with Database(clone.app) as db:
        users = [make.user() for _ in range(50)]
        async with db.begin() as session:
            session.add_all(users)
        winners = [user.id for user in users]

        async def store_games(number):
            order = winners if number % 2 else winners[::-1]
            async with db.begin() as session:  # which would not try again after a deadlock
                await session.execute(text(STORE), {"winners": order})

        await asyncio.gather(*map(store_games, range(40)))
        async with db.read() as session:
            kept = await session.execute(text("SELECT user_id, wins FROM standings"))
            assert dict(kept.all()) == dict.fromkeys(winners, 40)


@pytest.mark.parametrize(
    ("since", "until", "says"),
    [
        (BEGIN, BEGIN - timedelta(1), "the period ends at 2029-12-31.*, before it begins"),
        (BEGIN.replace(tzinfo=None), BEGIN, "since is datetime.*; it is a time with its zone"),
        (EARLIEST, BEGIN, "since is 0001-01-01 00:00:00.05:00, which in UTC is in no year"),
        (BEGIN, "tomorrow", "until is 'tomorrow'; it is a time with its zone"),
    ],
)
async def test_a_period_that_is_none(session, since, until, says):
    """A period without zones, or upside down, is refused before anything is asked."""
    with pytest.raises(InvalidInputError, match=f"^{says}"):
        await get_leaderboard(session, since, until)


@pytest.mark.parametrize("limit", [-1, 0, 10_001, 10**20, None, True, "5"])
async def test_a_wrong_limit_is_refused(session, limit):
    """A limit that is no number of rows is one line that has it."""
    says = rf"^limit is {limit!r}; it is between 1 and 10000$"
    with pytest.raises(InvalidInputError, match=says):
        await get_games_played(session, uuid.uuid4(), limit=limit)
    with pytest.raises(InvalidInputError, match=says):
        await get_leaderboard(session, BEGIN, BEGIN, limit=limit)


async def test_a_player_without_games(games):
    """Somebody who has not played has no games."""
    page = await get_games_played(games, uuid.uuid4())

    assert (page.items, page.next) == ([], None)


async def test_a_place_that_no_page_gave(session):
    """What is no `next` of a page is one line that says so."""
    with pytest.raises(ConfigurationError, match=r"^after is 'x'; it is what the page before"):
        await get_games_played(session, uuid.uuid4(), after="x")


async def test_a_game_against_oneself_is_listed_once(session, make, player, store):
    """A player in both seats, as in a practice game, does not see it twice."""
    game = make.history(player, player2_id=player.id)
    await store(game)

    page = await get_games_played(session, player.id)
    assert [found.id for found in page.items] == [game.id]
