"""`mantimon history`, `leaderboard` and `partitions`: games that were played, and who won them."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.paging import Page
from mantimon.cli.output import AsJson, print_json, print_table
from mantimon.cli.running import ask, do
from mantimon.db.models import GameHistory
from mantimon.db.partitions import MONTHS_AHEAD, make_partitions
from mantimon.errors import InvalidInputError
from mantimon.services.history import get_games_played, get_leaderboard
from mantimon.services.players import find_player

_DAY = timedelta(days=1)


def history(
    player: Annotated[str, typer.Argument(metavar="PLAYER", help="An id or an e-mail address.")],
    *,
    after: Annotated[str | None, typer.Option(help="Go on after a page: its `next`.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the games that a player has played, the newest first."""
    page, rows = ask(_played, player, after, limit)
    if as_json:
        print_json({"items": rows, "next": page.next})
        return
    print_table(tuple(rows[0]) if rows else _COLUMNS, [list(row.values()) for row in rows])
    if page.next:
        typer.echo(f"more: --after {page.next}")


def leaderboard(
    *,
    since: Annotated[
        str | None, typer.Option(help="From this day or time on, UTC. By default a week ago.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Up to this day or time. Now.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List who has won the most games in a period."""
    end = datetime.now(UTC) if until is None else _moment("--until", until)
    begin = end - 7 * _DAY if since is None else _moment("--since", since)
    best = ask(get_leaderboard, begin, end, limit=limit)
    rows = [
        {"rank": rank, "player": name, "wins": wins, "id": str(id_)}
        for rank, (id_, name, wins) in enumerate(best, 1)
    ]
    if as_json:
        print_json({"since": begin, "until": end, "players": rows})
        return
    print_table(("rank", "player", "wins", "id"), [list(row.values()) for row in rows])


def partitions(
    *,
    months: Annotated[int, typer.Option(help="So many after this one.")] = MONTHS_AHEAD,
    as_json: AsJson = False,
) -> None:
    """Make room for the games of the next months; a cron job's work, harmless to repeat."""
    made = do(make_partitions, months=months)
    if as_json:
        print_json({"made": made})
    else:
        typer.echo(f"made: {', '.join(made)}" if made else "nothing was missing")


_COLUMNS = ("played", "type", "against", "result", "reason", "turns", "minutes", "id")


async def _played(
    session: AsyncSession, named: str, after: str | None, limit: int
) -> tuple[Page[GameHistory], list[dict[str, object]]]:
    player = await find_player(session, named)
    page = await get_games_played(session, player.id, after=after, limit=limit)
    return page, []


def _moment(option: str, given: str) -> datetime:
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        raise InvalidInputError(
            f"{option} is {given!r}; it is a day or a time: 2026-11-01, 2026-11-01T18:00"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
