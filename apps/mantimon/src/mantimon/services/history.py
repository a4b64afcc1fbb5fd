"""Read the games that were played."""

import uuid
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Select, Uuid, func, select, tuple_, type_coerce, union_all
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased, selectinload

from holdfast.paging import Page, Place, make_page, read_place
from mantimon.db.models import GameHistory, User, standings
from mantimon.errors import InvalidInputError
from mantimon.services.inputs import require_limit, show

_LONGEST_MONTH = timedelta(days=31)


async def get_games_played(
    session: AsyncSession,
    player_id: uuid.UUID,
    *,
    after: str | None = None,
    limit: int = 20,
    with_players: bool = False,
) -> Page[GameHistory]:
    """Give a player's games, newest first; the cost does not grow with the table.

    Args:
        session: also one of `Database.read()`.
        player_id: in either seat.
        after: `next` of the page before.
        limit: 1 to 10,000 of them.
        with_players: load those of both seats too, in a query for each.

    Raises:
        InvalidInputError: the limit is not between 1 and 10,000.
        ConfigurationError: no page ended at `after`.
    """
    require_limit(limit)
    place = None if after is None else read_place(after)
    statement = select_games_played(player_id, limit + 1, place)
    if with_players:
        (both,) = statement.column_descriptions
        seats = both["entity"].player1, both["entity"].player2
        statement = statement.options(*map(selectinload, seats))
    rows = (await session.scalars(statement)).all()
    return make_page(rows, limit, lambda game: (game.played_at, game.id))


async def get_leaderboard(
    session: AsyncSession, since: datetime, until: datetime, *, limit: int = 100
) -> list[tuple[uuid.UUID, str, int]]:
    """Give who won most games from `since` up to, not at, `until`: player ids, names and wins.

    Who has won as often as another comes in the order of the ids. Whole months, in UTC, are read
    from what the database has counted; of another period the games are counted now, which takes a
    third of a millisecond for each thousand of them, however many there are besides.

    Raises:
        InvalidInputError: the limit is not between 1 and 10,000; or a time has no zone or no year
            in UTC, or the period ends before it begins.
    """
    require_limit(limit)
    _require_period(since, until)
    rows = await session.execute(select_leaderboard(since, until, limit))
    return [(row[0], row[1], row[2]) for row in rows]


def select_games_played(
    player_id: uuid.UUID, limit: int, place: Place | None = None
) -> Select[GameHistory]:
    """Build the query of `get_games_played`.

    One ordered read for each seat: with OR, all games of the player would be fetched and sorted.
    The partitions are read from the newest on, and no more of them than it takes.
    """
    seat1 = _newest(GameHistory.player1_id == player_id, limit, place)
    seat2 = _newest(
        GameHistory.player2_id == player_id,
        limit,
        place,
        GameHistory.player1_id.is_distinct_from(player_id),
    )
    both = aliased(GameHistory, union_all(seat1, seat2).subquery())
    return select(both).order_by(both.played_at.desc(), both.id.desc()).limit(limit)


def select_leaderboard(
    since: datetime, until: datetime, limit: int
) -> "Select[uuid.UUID, str, int]":
    """Build the query of `get_leaderboard`: names are looked up for those alone who are on it."""
    whole = _is_month(since) and _is_month(until)
    winner, wins, counted = _kept(since, until) if whole else _counted(since, until)
    best = counted.order_by(wins.desc(), winner).limit(limit).subquery()
    return (
        select(best.c.winner, User.display_name, best.c.wins)
        .join(User, User.id == best.c.winner)
        .order_by(best.c.wins.desc(), best.c.winner)
    )


Counted = tuple[ColumnElement[uuid.UUID], ColumnElement[int], "Select[uuid.UUID, int]"]


def _kept(since: datetime, until: datetime) -> Counted:
    """Read whole months; of a single one there is nothing to add up, only the best to be read."""
    winner, wins = standings.c.user_id.label("winner"), standings.c.wins.label("wins")
    first, end = since.astimezone(UTC).date(), until.astimezone(UTC).date()
    if first < end <= first + _LONGEST_MONTH:
        return winner, wins, select(winner, wins).where(standings.c.month == first)
    total = func.sum(standings.c.wins).label("wins")
    period = standings.c.month >= first, standings.c.month < end
    return winner, total, select(winner, total).where(*period).group_by(winner)


def _counted(since: datetime, until: datetime) -> Counted:
    wins = func.count().label("wins")
    # The column is nullable, its rows here are not.
    winner: ColumnElement[uuid.UUID] = type_coerce(GameHistory.winner_id, Uuid()).label("winner")
    period = GameHistory.played_at >= since, GameHistory.played_at < until
    won = GameHistory.winner_id.is_not(None)
    return winner, wins, select(winner, wins).where(*period, won).group_by(winner)


def _is_month(moment: datetime) -> bool:
    """Tell whether a month begins, in UTC."""
    utc = moment.astimezone(UTC)
    return utc == utc.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _is_in_calendar(moment: datetime) -> bool:
    try:
        moment.astimezone(UTC)
    except OverflowError:
        return False
    return True


def _newest(
    seat: ColumnElement[bool], limit: int, place: Place | None, *more: ColumnElement[bool]
) -> Select[GameHistory]:
    newest = (GameHistory.played_at.desc(), GameHistory.id.desc())
    statement = select(GameHistory).where(seat, *more).order_by(*newest).limit(limit)
    if place is None:
        return statement
    # The first condition says the same to PostgreSQL, which takes no partitions from the second.
    before = tuple_(GameHistory.played_at, GameHistory.id) < place
    return statement.where(GameHistory.played_at <= place[0], before)


def _require_period(since: datetime, until: datetime) -> None:
    for name, moment in (("since", since), ("until", until)):
        if not isinstance(moment, datetime) or moment.tzinfo is None:
            raise InvalidInputError(f"{name} is {show(moment)}; it is a time with its zone")
        if not _is_in_calendar(moment):
            raise InvalidInputError(f"{name} is {moment}, which in UTC is in no year that there is")
    if until < since:
        raise InvalidInputError(f"the period ends at {until}, before it begins, at {since}")
