"""The partitions of the played games: who may make them, and who does not have to wait."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from holdfast.database import Database
from mantimon.db import session as database
from mantimon.db.models import GameHistory
from mantimon.db.partitions import MONTHS_AHEAD, cover, make_partitions
from mantimon.db.start import running
from mantimon.errors import InvalidInputError

FAR = datetime(2029, 5, 31, 23, 30, tzinfo=UTC)
PARTITIONS = """
    SELECT relname FROM pg_class JOIN pg_inherits ON inhrelid = oid
    WHERE inhparent = 'game_history'::regclass ORDER BY relname"""


def months_from_now(count):
    """Name the partitions of this month and so many more."""
    first = datetime.now(UTC)
    numbers = [first.year * 12 + first.month - 1 + more for more in range(count + 1)]
    return [f"game_history_{number // 12}_{number % 12 + 1:02}" for number in numbers]


@pytest.fixture
async def app(clone):
    """Give a database as the role that the application runs as."""
    async with Database(clone.app) as db:
        yield db


async def partitions(db):
    async with db.read() as session:
        return list(await session.scalars(text(PARTITIONS)))


async def test_the_first_ones_come_with_the_tables(app):
    """A migrated database has room for games of this month and the next ones."""
    assert await partitions(app) == months_from_now(MONTHS_AHEAD)


@pytest.mark.parametrize("months", [0, 7, 48])
async def test_so_many_months_are_made(app, months):
    """This month and so many more have a partition, each once, and the names are the new ones."""
    made = await app.run(make_partitions, months=months)

    expected = months_from_now(max(months, MONTHS_AHEAD))
    assert await partitions(app) == expected
    assert made == expected[MONTHS_AHEAD + 1 :]
    assert await app.run(make_partitions, months=months) == []


async def test_eight_at_once_make_each_once(clone):
    """Servers that start together neither fail nor make one twice."""

    async def start():
        async with Database(clone.app) as db:
            return await db.run(make_partitions, months=12)

    made = await asyncio.gather(*(start() for _ in range(8)))

    assert (
        sorted(name for names in made for name in names) == months_from_now(12)[MONTHS_AHEAD + 1 :]
    )


async def test_a_process_starts_with_room(on_clone):
    """The start of the application makes what is missing, and opens the shared database."""
    async with Database(on_clone.owner) as owner, owner.begin() as session:
        await session.execute(text(f"DROP TABLE {months_from_now(2)[-1]}"))

    async with running() as db:
        assert db is database.get_database()
        assert await partitions(db) == months_from_now(MONTHS_AHEAD)


async def test_a_start_does_not_fail_for_a_partition(on_clone, caplog, make):
    """Where somebody writes players for long, a start goes on, and says what it has not made."""
    async with Database(on_clone.owner) as owner, owner.begin() as session:
        await session.execute(text(f"DROP TABLE {months_from_now(3)[-1]}"))
    async with Database(on_clone.app) as busy, busy.begin() as session:
        session.add(make.user())
        await session.flush()
        async with running() as db:
            assert await partitions(db) == months_from_now(2)

    assert "no partition was made ahead" in caplog.text


async def test_a_start_without_tables_fails(on_clone):
    """What does not pass by itself is an error."""
    async with Database(on_clone.owner) as owner, owner.begin() as session:
        await session.execute(text("DROP FUNCTION make_game_history_partitions"))

    with pytest.raises(DBAPIError, match="does not exist"):
        async with running():
            pass


async def test_what_was_made_is_gone_with_the_transaction(app):
    """Whoever rolls back has made nothing, and the next one makes it."""

    async def fail(session):
        assert await cover(session, FAR, FAR) == ["game_history_2029_05"]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await app.run(fail)

    assert await app.run(cover, FAR, FAR) == ["game_history_2029_05"]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Los_Angeles"])
async def test_a_month_is_one_of_utc(app, make, zone):
    """Wherever a client is, a game is in the partition of its month in UTC."""
    player = make.user()
    async with app.begin() as session:
        await session.execute(text(f"SET LOCAL timezone = '{zone}'"))
        made = await cover(session, FAR, FAR + timedelta(hours=1))
        session.add(player)
        await session.flush()
        session.add_all(
            make.history(player, played_at=FAR + hours * timedelta(hours=1)) for hours in (0, 1)
        )
    sql = "SELECT tableoid::regclass::text FROM game_history ORDER BY played_at"
    async with app.read() as session:
        found = list(await session.scalars(text(sql)))

    assert made == found == ["game_history_2029_05", "game_history_2029_06"]


async def test_a_game_without_a_partition_is_refused(app, make):
    """Nothing is half stored: the error is the database's, and the transaction is undone."""
    player = make.user()
    async with app.begin() as session:
        session.add(player)
    with pytest.raises(IntegrityError, match="no partition of relation"):
        async with app.begin() as session:
            session.add(make.history(player, played_at=FAR))

    async with app.read() as session:
        assert await session.scalar(text("SELECT count(*) FROM game_history")) == 0


async def test_nobody_waits_who_reads_or_writes_games(clone, make):
    """A partition is made while a transaction that has read and written games is open."""
    player = make.user()
    async with Database(clone.app) as busy, Database(clone.app) as other:
        async with busy.begin() as session:
            session.add(player)
        async with busy.begin() as session:
            await session.execute(text("SELECT count(*) FROM game_history"))
            session.add(make.history(player))
            await session.flush()
            async with asyncio.timeout(4):  # less than the limit of the locks
                assert await other.run(cover, FAR, FAR) == ["game_history_2029_05"]


async def test_another_table_of_that_name_is_not_touched(app):
    """The function acts as the owner of the tables, and on no table that a caller has put there."""
    async with app.begin() as session:
        await session.execute(text("CREATE TEMP TABLE game_history (id int) ON COMMIT DROP"))
        made = await cover(session, FAR, FAR)

    assert made == ["game_history_2029_05"]
    assert "game_history_2029_05" in await partitions(app)


async def test_nobody_waits_behind_it_to_log_in(clone, make):
    """While a partition waits for a transaction that has written a player, others log in."""
    player, guest = make.user(), make.user()
    async with Database(clone.app) as busy, Database(clone.app) as other:
        async with busy.begin() as session:
            session.add(player)
            await session.flush()
            making = asyncio.create_task(other.run(cover, FAR, FAR))
            await until_waiting(busy)
            async with other.begin() as second:
                second.add(guest)
            assert not making.done()

        assert await making == ["game_history_2029_05"]


async def until_waiting(db):
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    async with asyncio.timeout(30), db.read() as session:
        while not await session.scalar(waiting):  # noqa: ASYNC110  -- a server has no event
            await asyncio.sleep(0.01)


async def test_what_is_no_partition_is_not_taken_for_one(clone, app):
    """A table of that name that does not belong to the history is an error, not room for games."""
    async with Database(clone.owner) as owner, owner.begin() as session:
        await session.execute(text("CREATE TABLE game_history_2029_05 (id int)"))

    with pytest.raises(DBAPIError, match='"game_history_2029_05" already exists'):
        await app.run(cover, FAR, FAR)


async def test_a_temporary_table_does_not_hide_that_one_is_missing(app):
    """What a caller has put into a schema of its own is not looked at."""
    async with app.begin() as session:
        sql = text("CREATE TEMP TABLE game_history_2029_05 (id int) ON COMMIT DROP")
        await session.execute(sql)
        assert await cover(session, FAR, FAR) == ["game_history_2029_05"]

    assert "game_history_2029_05" in await partitions(app)


async def test_who_may_only_read_makes_none(clone):
    """Who may not store games holds up nobody who logs in, as making a partition does."""
    role = make_url(clone.app).set(username="readonly").render_as_string(hide_password=False)
    async with Database(role) as reader, reader.session() as session:
        await session.execute(text("SET TRANSACTION READ WRITE"))  # anybody may
        with pytest.raises(DBAPIError, match="readonly may not store games"):
            await cover(session, FAR, FAR)
        await session.rollback()


@pytest.mark.parametrize("months", [-1, 49, None, True, 1.5, "3"])
async def test_months_that_are_none(session, months):
    """What is no number of months is one line that has it."""
    with pytest.raises(InvalidInputError, match=rf"^months is {months!r}; it is between 0 and 48$"):
        await make_partitions(session, months=months)


@pytest.mark.parametrize(
    ("since", "until"),
    [
        (datetime(1999, 12, 31, tzinfo=UTC), FAR),
        (FAR, FAR - timedelta(1)),
        (FAR, datetime(2999, 1, 1, tzinfo=UTC)),
    ],
)
async def test_a_period_without_end_is_refused(app, since, until):
    """Whoever may call the function cannot fill the database with tables."""
    with pytest.raises(DBAPIError, match="a period begins in 2000 or later, and ends within five"):
        await app.run(cover, since, until)


async def test_it_is_the_model_s_key_and_the_table_s(session, make, player, store):
    """A game is found by its id alone."""
    game = make.history(player)
    await store(game)

    assert (await session.get(GameHistory, game.id)).id == game.id
