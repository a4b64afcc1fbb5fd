"""`mantimon campaign`: clubs, a starter, progress, packs and what is in them."""

import random
import uuid
from typing import Annotated

import msgspec
import typer
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.cli.rows import AsJson, columns_of, print_json, print_row, print_rows
from holdfast.errors import ConfigurationError
from mantimon.campaign.clubs import CLUBS
from mantimon.cards.definition import CardDefinition
from mantimon.cli.players import Named, of_player
from mantimon.cli.running import ask, do
from mantimon.db.models import CampaignProgress
from mantimon.services.boosters import open_booster
from mantimon.services.campaign import get_campaign
from mantimon.services.card_service import get_card_service
from mantimon.services.purse import buy_packs, grant_mantibucks, grant_packs
from mantimon.services.starters import give_starter

SetCode = Annotated[str, typer.Option("--set", help="Of this set.")]

app = typer.Typer(no_args_is_help=True, help="Clubs, medals, mantibucks and booster packs.")


@app.command(epilog="For example: mantimon campaign clubs")
def clubs(*, as_json: AsJson = False) -> None:
    """List the clubs in their order, and who plays there."""
    if as_json:
        print_json(msgspec.to_builtins(CLUBS))
        return
    rows = [
        {
            "club": club.id,
            "name": club.name,
            "medal": club.medal,
            "members": [npc.id for npc in club.members],
            "leader": club.leader.id,
        }
        for club in CLUBS
    ]
    print_rows(rows, tuple(rows[0]))


@app.command(epilog="For example: mantimon campaign starter ann@example.com tide")
def starter(
    player: Named,
    element: Annotated[str, typer.Argument(metavar="ELEMENT", help="What it is made of: tide.")],
    *,
    set_code: SetCode = "M1",
    as_json: AsJson = False,
) -> None:
    """Begin a player's campaign: a deck, its cards, some packs; once."""
    given = do(of_player(give_starter), player, element, set_code, cards=get_card_service())
    if as_json:
        print_json({"given": given})
    else:
        typer.echo("given" if given else "nothing changed: the campaign has begun before")


@app.command(epilog="For example: mantimon campaign show ann@example.com --json")
def show(player: Named, *, as_json: AsJson = False) -> None:
    """Show how far a player is, and what there is to spend."""
    _print(ask(of_player(get_campaign), player), as_json=as_json)


@app.command(epilog="For example: mantimon campaign grant ann@example.com --packs 2")
def grant(
    player: Named,
    *,
    packs: Annotated[int | None, typer.Option(help="So many booster packs.")] = None,
    mantibucks: Annotated[int | None, typer.Option(help="So many mantibucks.")] = None,
    as_json: AsJson = False,
) -> None:
    """Give a player booster packs, mantibucks, or both."""
    if packs is None and mantibucks is None:
        raise ConfigurationError("say --packs, --mantibucks or both")
    _print(do(of_player(_grant), player, packs, mantibucks), as_json=as_json)


@app.command(epilog="For example: mantimon campaign buy ann@example.com 3")
def buy(
    player: Named,
    count: Annotated[int, typer.Argument(metavar="[COUNT]", help="So many packs.")] = 1,
    *,
    as_json: AsJson = False,
) -> None:
    """Let a player buy booster packs for mantibucks."""
    _print(do(of_player(buy_packs), player, count), as_json=as_json)


@app.command("open", epilog="For example: mantimon campaign open ann@example.com --set M1a")
def open_(
    player: Named,
    *,
    set_code: SetCode = "M1",
    seed: Annotated[
        int | None, typer.Option(help="Draw the same cards every time; else nobody can foretell.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Open one of a player's booster packs, and show the cards."""
    drawn = do(of_player(_open), player, set_code, seed)
    columns = ("id", "name", "rarity", "element", "type")
    rows = [{column: getattr(card, column) for column in columns} for card in drawn]
    if as_json:
        print_json(rows)
    else:
        print_rows(rows, columns)


async def _grant(
    session: AsyncSession, user_id: uuid.UUID, packs: int | None, mantibucks: int | None
) -> CampaignProgress:
    if packs is not None:
        await grant_packs(session, user_id, packs)
    if mantibucks is not None:
        await grant_mantibucks(session, user_id, mantibucks)
    return await get_campaign(session, user_id)


async def _open(
    session: AsyncSession, user_id: uuid.UUID, set_code: str, seed: int | None
) -> list[CardDefinition]:
    # Made here, so that work that is done again draws the same.
    rng = random.SystemRandom() if seed is None else random.Random(seed)  # noqa: S311  -- as asked
    return await open_booster(session, user_id, set_code, cards=get_card_service(), rng=rng)


def _print(progress: CampaignProgress, *, as_json: bool) -> None:
    print_row(columns_of(progress), as_json=as_json)
