"""`mantimon decks`: list, show, build, change, check and delete."""

import sys
import uuid
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.cli.rows import (
    After,
    AsJson,
    Limit,
    columns_of,
    print_json,
    print_page,
    print_row,
    print_rows,
)
from holdfast.errors import ConfigurationError
from mantimon.cards.shapes import NOT_JSON
from mantimon.cli.players import Named, of_player
from mantimon.cli.running import ask, do
from mantimon.db.models import Deck
from mantimon.services.card_service import get_card_service
from mantimon.services.collections import get_owned
from mantimon.services.deck_rules import DeckList
from mantimon.services.decks import (
    build_deck,
    change_deck,
    delete_deck,
    get_deck,
    list_decks,
    rename_deck,
    revalidate,
    suggest_deck,
)

Id = Annotated[uuid.UUID, typer.Argument(metavar="DECK", help="An id.")]
File = Annotated[
    str | None,
    typer.Option(
        "--from", metavar="FILE", help="JSON: {cards: {id: count}, energy_cards: {element: count}}."
    ),
]

app = typer.Typer(no_args_is_help=True, help="Decks of the cards that players own.")


class _File(msgspec.Struct, forbid_unknown_fields=True):
    """A deck as it is written in a file; the service looks at ids and counts."""

    cards: dict[str, Any]
    energy_cards: dict[str, Any] = {}


@app.command("list", epilog="For example: mantimon decks list ann@example.com")
def list_(
    player: Named, *, after: After = None, limit: Limit = 100, as_json: AsJson = False
) -> None:
    """List a player's decks, the oldest first."""
    page = ask(of_player(list_decks), player, after=after, limit=limit)
    columns = ("id", "name", "size", "is_valid", "starter_type", "updated_at")
    print_page(page, columns, as_json=as_json, shown=_with_size)


@app.command(
    epilog="For example: mantimon decks show ann@example.com DECK --json "
    "| jq '{cards, energy_cards}' > deck.json"
)
def show(player: Named, deck: Id, *, as_json: AsJson = False) -> None:
    """Show one deck, card by card, and what is wrong with it."""
    found = ask(of_player(get_deck), player, deck)
    if as_json:
        print_json(columns_of(found))
        return
    known = get_card_service().get_cards(list(found.cards))
    cards = {card: known[card].name if card in known else None for card in sorted(found.cards)}
    rows = [
        {"count": found.cards[card], "card": card, "name": name} for card, name in cards.items()
    ]
    energy = [
        {"count": count, "card": f"{element} energy", "name": None}
        for element, count in sorted(found.energy_cards.items())
    ]
    print_rows([*rows, *energy], ("count", "card", "name"))
    _print_verdicts([found])


@app.command(epilog='For example: mantimon decks build ann@example.com "Best of mine" --suggest')
def build(
    player: Named,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is called.")],
    *,
    file: File = None,
    suggest: Annotated[
        bool, typer.Option("--suggest", help="The best of what the player owns.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Store a deck, also one that breaks rules, and say what is wrong with it."""
    if (file is None) is not suggest:
        raise ConfigurationError("say one of --from and --suggest")
    listed = None if file is None else _read(file)
    _print_deck(do(of_player(_build), player, name, listed), as_json=as_json)


@app.command(epilog="For example: mantimon decks change ann@example.com DECK --from deck.json")
def change(
    player: Named,
    deck: Id,
    *,
    file: File = None,
    name: Annotated[str | None, typer.Option(help="What it is called from now on.")] = None,
    as_json: AsJson = False,
) -> None:
    """Give a deck another list, another name, or both."""
    if file is None and name is None:
        raise ConfigurationError("say --from, --name or both")
    listed = None if file is None else _read(file)
    _print_deck(do(of_player(_change), player, deck, listed, name), as_json=as_json)


@app.command(epilog="For example: mantimon decks check ann@example.com")
def check(
    player: Named,
    deck: Annotated[
        uuid.UUID | None, typer.Argument(metavar="[DECK]", help="An id; without one, all.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Check decks against what is owned now and the rules of now; 1 when one breaks a rule."""
    checked = do(of_player(revalidate), player, deck, cards=get_card_service())
    if as_json:
        print_json([columns_of(each) for each in checked])
    else:
        _print_verdicts(checked)
    if not all(each.is_valid for each in checked):
        raise typer.Exit(1)


@app.command(epilog="For example: mantimon decks delete ann@example.com DECK")
def delete(player: Named, deck: Id, *, as_json: AsJson = False) -> None:
    """Delete a deck; its cards stay with the player."""
    do(of_player(delete_deck), player, deck)
    print_row({"deleted": deck}, as_json=as_json)


async def _build(
    session: AsyncSession, user_id: uuid.UUID, name: str, listed: DeckList | None
) -> Deck:
    cards = get_card_service()
    if listed is None:
        listed = suggest_deck(await get_owned(session, user_id), cards=cards)
    return await build_deck(session, user_id, name, listed, cards=cards)


async def _change(
    session: AsyncSession,
    user_id: uuid.UUID,
    deck_id: uuid.UUID,
    listed: DeckList | None,
    name: str | None,
) -> Deck:
    if listed is not None:
        await change_deck(session, user_id, deck_id, listed, cards=get_card_service())
    if name is not None:
        await rename_deck(session, user_id, deck_id, name)
    return await get_deck(session, user_id, deck_id)


def _read(file: str) -> DeckList:
    if file == "-" and sys.stdin is None:
        raise ConfigurationError("the standard input is closed, and - reads it")
    written = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    try:
        deck = msgspec.json.decode(written, type=_File)
    except NOT_JSON as error:
        named = "the standard input" if file == "-" else file
        raise ConfigurationError(f"{named} is no deck: {error}") from None
    return DeckList(cards=deck.cards, energy_cards=deck.energy_cards)


def _with_size(deck: Deck) -> dict[str, object]:
    size = DeckList(cards=deck.cards, energy_cards=deck.energy_cards).size
    return {**columns_of(deck), "size": size}


def _print_deck(deck: Deck, *, as_json: bool) -> None:
    if as_json:
        print_json(columns_of(deck))
        return
    print_row({"id": deck.id, "name": deck.name, "size": _with_size(deck)["size"]}, as_json=False)
    _print_verdicts([deck])


def _print_verdicts(decks: list[Deck]) -> None:
    for deck in decks:
        typer.echo(f"{deck.name}: {'valid' if deck.is_valid else 'not valid'}")
        for problem in deck.validation_errors or ():
            typer.echo(f"  {problem}")
