"""`mantimon players`: log in, list, show, cards, premium and delete."""

import functools
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Concatenate, ParamSpec, TypeVar

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.cli.rows import After, AsJson, Limit, columns_of, print_page, print_row
from holdfast.errors import ConfigurationError
from mantimon.cli.running import ask, do
from mantimon.db.models import Collection, OAuthProvider, User
from mantimon.services.card_service import get_card_service
from mantimon.services.collections import list_owned
from mantimon.services.players import Identity, delete_player, find_player, list_players, log_in
from mantimon.services.premium import LONGEST_PERIOD, end_premium, grant_premium, has_premium

P = ParamSpec("P")
R = TypeVar("R")

Named = Annotated[str, typer.Argument(metavar="PLAYER", help="An id or an e-mail address.")]

app = typer.Typer(no_args_is_help=True, help="Who plays, what they own, and until when premium.")


def of_player(
    work: Callable[Concatenate[AsyncSession, uuid.UUID, P], Awaitable[R]],
) -> Callable[Concatenate[AsyncSession, str, P], Awaitable[R]]:
    """Let a service of a player's id take what names the player instead."""

    @functools.wraps(work)
    async def run(session: AsyncSession, named: str, /, *args: P.args, **kwargs: P.kwargs) -> R:
        player = await find_player(session, named)
        return await work(session, player.id, *args, **kwargs)

    return run


@app.command(
    epilog="For example: mantimon players login --provider google --id 1 "
    "--email ann@example.com --name Ann"
)
def login(
    *,
    provider: Annotated[OAuthProvider, typer.Option(help="Who vouches for the identity.")],
    oauth_id: Annotated[str, typer.Option("--id", help="Who it is to the provider.")],
    email: Annotated[str, typer.Option(help="The address.")],
    name: Annotated[str, typer.Option(help="How others see the player.")],
    avatar: Annotated[str | None, typer.Option(help="The URL of a picture.")] = None,
    as_json: AsJson = False,
) -> None:
    """Let a player in, made at the first time, and print the account."""
    identity = Identity(
        provider=provider, oauth_id=oauth_id, email=email, display_name=name, avatar_url=avatar
    )
    _print(do(log_in, identity), as_json=as_json)


@app.command("list", epilog="For example: mantimon players list --json | jq -r '.items[].email'")
def list_(*, after: After = None, limit: Limit = 100, as_json: AsJson = False) -> None:
    """List players, the oldest account first."""
    page = ask(list_players, after=after, limit=limit)
    columns = ("id", "email", "display_name", "premium", "created_at", "last_login")
    print_page(page, columns, as_json=as_json, shown=_account)


@app.command(epilog="For example: mantimon players show ann@example.com")
def show(player: Named, *, as_json: AsJson = False) -> None:
    """Show one player's account."""
    _print(ask(find_player, player), as_json=as_json)


@app.command(epilog="For example: mantimon players cards ann@example.com --limit 20")
def cards(
    player: Named, *, after: After = None, limit: Limit = 100, as_json: AsJson = False
) -> None:
    """List the cards that a player owns, as they first came."""
    page = ask(of_player(list_owned), player, after=after, limit=limit)
    columns = ("card", "name", "rarity", "quantity", "source", "obtained_at")
    print_page(page, columns, as_json=as_json, shown=_owned)


@app.command(epilog="For example: mantimon players premium ann@example.com --days 30")
def premium(
    player: Named,
    *,
    days: Annotated[
        int | None,
        typer.Option(min=1, max=LONGEST_PERIOD.days, help="So many more than are left."),
    ] = None,
    forever: Annotated[bool, typer.Option("--forever", help="Without an end.")] = False,
    end: Annotated[bool, typer.Option("--end", help="Not any more.")] = False,
    as_json: AsJson = False,
) -> None:
    """Grant a player premium, or end it, and print the account."""
    if [days is not None, forever, end].count(True) != 1:
        raise ConfigurationError("say one of --days, --forever and --end")
    if end:
        changed = do(of_player(end_premium), player)
    else:
        period = None if days is None else timedelta(days=days)
        changed = do(of_player(grant_premium), player, period, at=datetime.now(UTC))
    _print(changed, as_json=as_json)


@app.command(epilog="For example: mantimon players delete ann@example.com")
def delete(player: Named, *, as_json: AsJson = False) -> None:
    """Delete a player; games that were played stay, without the name."""
    print_row({"deleted": do(of_player(_delete), player)}, as_json=as_json)


async def _delete(session: AsyncSession, user_id: uuid.UUID) -> uuid.UUID:
    await delete_player(session, user_id)
    return user_id


def _print(user: User, *, as_json: bool) -> None:
    print_row(_account(user), as_json=as_json)


def _account(user: User) -> dict[str, object]:
    return {**columns_of(user), "premium": has_premium(user, at=datetime.now(UTC))}


def _owned(row: Collection) -> dict[str, object]:
    card = get_card_service().get_card(row.card_definition_id)
    return {
        "card": row.card_definition_id,
        "name": card and card.name,
        "rarity": card and card.rarity,
        "quantity": row.quantity,
        "source": row.source,
        "obtained_at": row.obtained_at,
    }
