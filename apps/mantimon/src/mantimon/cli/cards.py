"""`mantimon cards`: list, show and count the cards of the game."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
import typer

from mantimon.cli.output import AsJson, print_json, print_table, print_total
from mantimon.services.card_service import CardFilters, get_card_service

app = typer.Typer(no_args_is_help=True, help="Look at the cards of the game.")


@app.command("list")
def list_cards(
    *,
    set_code: Annotated[str | None, typer.Option("--set", help="Of this set: M1.")] = None,
    element: Annotated[str | None, typer.Option(help="Of this element: tide.")] = None,
    type_: Annotated[
        str | None, typer.Option("--type", help="creature, item or supporter.")
    ] = None,
    stage: Annotated[str | None, typer.Option(help="basic, stage_1 or stage_2.")] = None,
    rarity: Annotated[str | None, typer.Option(help="Of this rarity: common.")] = None,
    name: Annotated[str | None, typer.Option(help="A part of the name.")] = None,
    as_json: AsJson = False,
) -> None:
    """List cards, all of them or those that match every option."""
    filters = CardFilters(
        set=set_code, element=element, type=type_, stage=stage, rarity=rarity, name=name
    )
    found = get_card_service().search_cards(filters)
    if as_json:
        print_json(found)
        return
    columns = ("id", "name", "type", "element", "stage", "hp", "rarity")
    print_table(columns, [[getattr(card, column) for column in columns] for card in found])
    print_total(len(found))


@app.command("show")
def show_card(
    card_id: Annotated[str, typer.Argument(metavar="ID", help="As `cards list` shows it.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Show everything that is printed on one card."""
    card = get_card_service().get_cards([card_id], strict=True)[card_id]
    if as_json:
        print_json(card)
        return
    for name, value in msgspec.structs.asdict(card).items():
        if value not in {None, "", ()}:
            typer.echo(f"{name:<13}{_in_words(value)}")


@app.command("stats")
def show_stats(*, as_json: AsJson = False) -> None:
    """Count the cards of every set, type, element, stage and rarity."""
    counts = msgspec.to_builtins(get_card_service().stats())
    if as_json:
        print_json(counts)
        return
    rows = [
        [kind.removeprefix("by_"), name, count]
        for kind, group in counts.items()
        if isinstance(group, Mapping)
        for name, count in group.items()
    ]
    print_table(("by", "kind", "cards"), rows)
    print_total(counts["total"])


def _in_words(value: object) -> str:
    if isinstance(value, msgspec.Struct):
        named = msgspec.structs.asdict(value).items()
        return ", ".join(
            f"{name} {_in_words(each)}" for name, each in named if each not in {"", ()}
        )
    if isinstance(value, tuple):
        return "; ".join(map(_in_words, value))
    return str(value)
