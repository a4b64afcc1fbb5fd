"""Rows `history.page` and `history.board`: a million played games, asked as Mantimon asks them.

Three years of games by 10,000 players lie in a partition a month. A sample is the median of several
requests, one after the other, each for another player or month.
"""

import random
import statistics
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg
from benchmarks.measure import Contenders, Row, Run, Sample, SecondsGoal
from sqlalchemy import Select, func, make_url, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from holdfast import migrate
from holdfast.database import Database
from holdfast.paging import Place, write_place
from holdfast.services import PostgresServer
from mantimon.db.models import GameHistory
from mantimon.db.partitions import cover
from mantimon.services.history import (
    get_games_played,
    get_leaderboard,
    select_games_played,
    select_leaderboard,
)

MANTIMON = Path(__file__).parents[1] / "apps" / "mantimon" / "alembic.ini"
GAMES, PLAYERS = 1_000_000, 10_000
QUICK = 10_000
REQUESTS = 40
SEED = 372
PAGE, BEST = 20, 100
END = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
BEGIN = END.replace(year=END.year - 3)
RANDOM = random.Random(SEED)
PLAYER = "('00000000-0000-7000-8000-' || lpad(({})::text, 12, '0'))::uuid"
PLAYERS_OF = f"""
    INSERT INTO users (id, email, display_name, oauth_provider, oauth_id)
    SELECT {PLAYER.format("n")}, n || '@example.test', 'Player ' || n, 'google', n::text
    FROM generate_series(0, {{players}} - 1) n"""
GAMES_OF = f"""
    INSERT INTO game_history
        (id, game_type, player1_id, player2_id, winner_id, end_reason, played_at)
    SELECT gen_random_uuid(), 'ranked', a, b,
        CASE WHEN n % 10 = 0 THEN NULL WHEN n % 2 = 0 THEN a ELSE b END,
        CASE WHEN n % 10 = 0 THEN 'draw' ELSE 'prizes_taken' END,
        timestamptz '{{begin}}'
            + n::float8 / {{games}} * (timestamptz '{{end}}' - timestamptz '{{begin}}')
    FROM (
        SELECT n, {PLAYER.format("n::bigint * 7919 % {players}")} AS a,
            {PLAYER.format("(n::bigint * 7919 + 1 + n / {players}) % {players}")} AS b
        FROM generate_series(0, {{games}} - 1) n
    ) AS games"""

Ask = Callable[[int, int], Awaitable[object]]  # which request it is, and for how many rows
Statement = Callable[[int, int], Select[*tuple[Any, ...]]]
Period = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parties:
    """Who asks: the driver, the plain stack, and ours; `months` are whole ones, the newest last."""

    driver: asyncpg.Connection
    plain: AsyncEngine
    db: Database
    places: Sequence[Place]
    months: Sequence[datetime]


@asynccontextmanager
async def parties(*, quick: bool) -> AsyncIterator[Parties]:
    """Give everybody on a database with all the games."""
    async with PostgresServer() as server:
        url = server.url("owner")
        driver = await asyncpg.connect(url)
        async with Database(url) as db:
            await migrate.upgrade(db, MANTIMON)
            await db.run(cover, BEGIN, END)
            await fill(driver, QUICK if quick else GAMES)
            plain = create_async_engine(make_url(url).set(drivername="postgresql+asyncpg"))
            places = [place() for _ in range(REQUESTS)]
            yield Parties(driver=driver, plain=plain, db=db, places=places, months=months())
            await plain.dispose()
        await driver.close()


async def fill(driver: asyncpg.Connection, games: int) -> None:
    """Store the players and so many games, and what the planner must know of them."""
    await driver.execute(PLAYERS_OF.format(players=PLAYERS))
    await driver.execute(GAMES_OF.format(games=games, players=PLAYERS, begin=BEGIN, end=END))
    await driver.execute("VACUUM ANALYZE game_history, standings, users")


def place() -> Place:
    """Give the end of some page of the last two years."""
    return END - timedelta(days=RANDOM.uniform(0, 700)), uuid.UUID(int=RANDOM.getrandbits(128))


def months() -> list[datetime]:
    """Give the beginnings of all months, and the end of the last one."""
    first = BEGIN.year * 12 + BEGIN.month - 1
    return [datetime(n // 12, n % 12 + 1, 1, tzinfo=UTC) for n in range(first, first + 37)]


def one_by_one(ask: Ask, rows: int) -> Run:
    """Give a run of requests of which the middle one counts; more work is more rows."""

    async def run(work: int) -> Sample:
        times = []
        for number in range(REQUESTS):
            began = time.perf_counter()
            await ask(number, rows * work)
            times.append(time.perf_counter() - began)
        return Sample(seconds=statistics.median(times))

    return run


def by_driver(them: Parties, statement: Statement, rows: int) -> Run:
    """The same statements, written out, by the driver alone."""

    @cache
    def written(number: int, limit: int) -> str:
        compiled = statement(number, limit).compile(
            dialect=them.plain.dialect, compile_kwargs={"literal_binds": True}
        )
        return str(compiled)

    async def ask(number: int, limit: int) -> object:
        return await them.driver.fetch(written(number, limit))

    return one_by_one(ask, rows)


def by_orm(them: Parties, statement: Statement, rows: int) -> Run:
    """The plain stack, in a session of its own for each request."""

    async def ask(number: int, limit: int) -> object:
        async with AsyncSession(them.plain) as session:
            return (await session.execute(statement(number, limit))).all()

    return one_by_one(ask, rows)


def player(number: int) -> uuid.UUID:
    """Give one of the players."""
    return uuid.UUID(f"00000000-0000-7000-8000-{number * 37 % PLAYERS:012d}")


def newest(number: int, limit: int) -> Select[*tuple[Any, ...]]:
    """Write what the usual documentation would."""
    mine = GameHistory.player1_id == player(number), GameHistory.player2_id == player(number)
    order = GameHistory.played_at.desc()
    return select(GameHistory).where(or_(*mine)).order_by(order).offset(100).limit(limit)


@asynccontextmanager
async def page(quick: bool) -> AsyncIterator[Contenders]:  # noqa: FBT001
    """A page somewhere in the last two years of a player's games."""
    async with parties(quick=quick) as them:

        async def ours(number: int, limit: int) -> object:
            async with them.db.read() as session:
                after = write_place(*them.places[number])
                return await get_games_played(session, player(number), after=after, limit=limit)

        def same(number: int, limit: int) -> Select[*tuple[Any, ...]]:
            return select_games_played(player(number), limit + 1, them.places[number])

        yield Contenders(
            limit=("asyncpg", by_driver(them, same, PAGE)),
            peers=[("ORM with OR and OFFSET", by_orm(them, newest, PAGE))],
            ours=("get_games_played", one_by_one(ours, PAGE)),
        )


@asynccontextmanager
async def board(quick: bool) -> AsyncIterator[Contenders]:  # noqa: FBT001
    """The best of a month; beside it those of a week, whose games are counted then."""
    async with parties(quick=quick) as them:

        def month(number: int) -> Period:
            begin = number % (len(them.months) - 1)
            return them.months[begin], them.months[begin + 1]

        def week(number: int) -> Period:
            return END - timedelta(days=7 * number + 7), END - timedelta(days=7 * number)

        def ours(period: Callable[[int], Period]) -> Run:
            async def ask(number: int, limit: int) -> object:
                async with them.db.read() as session:
                    return await get_leaderboard(session, *period(number), limit=limit)

            return one_by_one(ask, BEST)

        def counting(number: int, limit: int) -> Select[*tuple[Any, ...]]:
            since, until = month(number)
            wins = func.count()
            played = GameHistory.played_at >= since, GameHistory.played_at < until
            winners = select(GameHistory.winner_id, wins).where(*played)
            return winners.group_by(GameHistory.winner_id).order_by(wins.desc()).limit(limit)

        def same(number: int, limit: int) -> Select[*tuple[Any, ...]]:
            return select_leaderboard(*month(number), limit)

        yield Contenders(
            limit=("asyncpg", by_driver(them, same, BEST)),
            peers=[("ORM, counting", by_orm(them, counting, BEST))],
            ours=("get_leaderboard", ours(month)),
            beside=[("of a week, counting", ours(week))],
        )


PAGES = Row(
    name="history.page",
    what=f"{PAGE} games of a player, from somewhere in the past, of a million in 36 partitions",
    goals=[SecondsGoal(at_most=0.01)],
    contenders=page,
)
BOARD = Row(
    name="history.board",
    what=f"the {BEST} best of a month, of a million games in 36 partitions",
    goals=[SecondsGoal(at_most=0.01)],
    contenders=board,
)
