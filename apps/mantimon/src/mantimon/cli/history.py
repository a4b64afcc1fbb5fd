"""`mantimon history`, `leaderboard` and `partitions`: games that were played, and who won them."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.cli.rows import (
    After,
    AsJson,
    Limit,
    columns_of,
    print_json,
    print_page,
    print_rows,
)
from holdfast.paging import Page
from mantimon.campaign.clubs import find_npc
from mantimon.cli.running import ask, do
from mantimon.db.models import EndReason, GameHistory, User
from mantimon.db.partitions import MONTHS_AHEAD, make_partitions
from mantimon.errors import InvalidInputError
from mantimon.services.history import get_games_played, get_leaderboard
from mantimon.services.players import find_player

_WEEK = timedelta(days=7)
_NO_LONGER = "(deleted)"


def history(
    player: Annotated[str, typer.Argument(metavar="PLAYER", help="An id or an e-mail address.")],
    *,
    after: After = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """List the games that a player has played, the newest first."""
    who, page = ask(_played, player, after, limit)

    def shown(game: GameHistory) -> dict[str, object]:
        found = columns_of(game)
        del found["replay_data"]
        return found if as_json else found | _told(game, who)

    columns = ("played_at", "game_type", "against", "result", "end_reason", "turns", "id")
    print_page(page, columns, as_json=as_json, shown=shown)


def leaderboard(
    *,
    since: Annotated[
        str | None, typer.Option(help="From this day or time on, UTC; a week before its end.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Up to this day or time; now.")] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """List who has won the most games in a period."""
    end = datetime.now(UTC) if until is None else _moment("--until", until)
    begin = _a_week_before(end) if since is None else _moment("--since", since)
    found = ask(get_leaderboard, begin, end, limit=limit)
    best = [
        {"rank": rank, "wins": wins, "player": name, "id": id_}
        for rank, (id_, name, wins) in enumerate(found, 1)
    ]
    if as_json:
        print_json({"since": begin, "until": end, "players": best})
    else:
        print_rows(best, ("rank", "wins", "player", "id"))


def partitions(
    *,
    months: Annotated[int, typer.Option(help="So many after this one.")] = MONTHS_AHEAD,
    as_json: AsJson = False,
) -> None:
    """Make room for the games of the next months: for a cron job, and harmless to repeat."""
    made = do(make_partitions, months=months)
    if as_json:
        print_json({"made": made})
    else:
        typer.echo(f"made {', '.join(made)}" if made else "nothing is missing")


async def _played(
    session: AsyncSession, named: str, after: str | None, limit: int
) -> tuple[User, Page[GameHistory]]:
    player = await find_player(session, named)
    return player, await get_games_played(
        session, player.id, after=after, limit=limit, with_players=True
    )


def _told(game: GameHistory, who: User) -> dict[str, object]:
    other = game.player2 if game.player1_id == who.id else game.player1
    return {
        "against": other.display_name if other else _npc(game.npc_id),
        "result": _result(game, who),
        "turns": game.turn_count,
    }


def _npc(npc_id: str | None) -> str:
    if npc_id is None:
        return _NO_LONGER
    found = find_npc(npc_id)
    return found[1].name if found else npc_id


def _result(game: GameHistory, who: User) -> str:
    if game.end_reason == EndReason.DRAW:
        return "draw"
    return "won" if game.winner_id == who.id else "lost"


def _a_week_before(end: datetime) -> datetime:
    try:
        return end - _WEEK
    except OverflowError:
        raise InvalidInputError(f"no day is a week before {end}; say --since too") from None


def _moment(option: str, given: str) -> datetime:
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        raise InvalidInputError(
            f"{option} is {given!r}; it is a day or a time, as in 2026-11-01 or 2026-11-01T18:00"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
