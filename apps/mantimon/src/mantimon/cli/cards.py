"""`mantimon cards`: list, find, show, count and import the cards of the game."""

import shlex
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from mantimon.cards.bundle import write_bundle
from mantimon.cards.definition import CardDefinition
from mantimon.cards.foreign import read_foreign_list
from mantimon.cards.names import printable
from mantimon.cli.output import AsJson, print_json, print_table, print_total, watched
from mantimon.services.card_service import (
    DIRECTORY_VARIABLE,
    CardFilters,
    CardOrder,
    get_card_service,
)

PAGE = 20
COLUMNS = ("id", "name", "type", "element", "stage", "hp", "rarity")

OfSet = Annotated[str | None, typer.Option("--set", help="Of this set: M1.")]
OfElement = Annotated[str | None, typer.Option("--element", help="Of this element: tide.")]
OfType = Annotated[str | None, typer.Option("--type", help="creature, item or supporter.")]
OfStage = Annotated[str | None, typer.Option("--stage", help="basic, stage_1 or stage_2.")]
OfRarity = Annotated[str | None, typer.Option("--rarity", help="Of this rarity: common.")]

app = typer.Typer(no_args_is_help=True, help="Look at the cards of the game, or import others.")


@app.command("list", epilog="For example: mantimon cards list --element tide --rarity crown")
def list_cards(
    *,
    set_code: OfSet = None,
    element: OfElement = None,
    type_: OfType = None,
    stage: OfStage = None,
    rarity: OfRarity = None,
    name: Annotated[str | None, typer.Option(help="A part of the name.")] = None,
    as_json: AsJson = False,
) -> None:
    """List cards by set and number, all of them or all that match every option."""
    filters = CardFilters(
        set=set_code, element=element, type=type_, stage=stage, rarity=rarity, name=name
    )
    found = get_card_service().search_cards(filters)
    if as_json:
        print_json(found)
        return
    _print_cards(found)
    print_total(len(found))


@app.command("search", epilog="For example: mantimon cards search kit --order hp --descending")
def search_cards(
    text: Annotated[str | None, typer.Argument(help="A part of the name.")] = None,
    *,
    set_code: OfSet = None,
    element: OfElement = None,
    type_: OfType = None,
    stage: OfStage = None,
    rarity: OfRarity = None,
    hp_min: Annotated[int | None, typer.Option(help="At least so many HP.")] = None,
    hp_max: Annotated[int | None, typer.Option(help="At most so many.")] = None,
    retreat_min: Annotated[int | None, typer.Option(help="At least this retreat cost.")] = None,
    retreat_max: Annotated[int | None, typer.Option(help="At most this.")] = None,
    order: Annotated[str, typer.Option(help="By set, number, name, hp or rarity.")] = CardOrder.SET,
    descending: Annotated[bool, typer.Option("--descending", help="The other way round.")] = False,
    limit: Annotated[int, typer.Option(help="So many at once.")] = PAGE,
    offset: Annotated[int, typer.Option(help="Leave out so many before.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Find cards by name, kind, HP and retreat cost, in any order, a page at a time."""
    filters = CardFilters(
        name=text,
        set=set_code,
        element=element,
        type=type_,
        stage=stage,
        rarity=rarity,
        hp_min=hp_min,
        hp_max=hp_max,
        retreat_min=retreat_min,
        retreat_max=retreat_max,
        order=order,
        descending=descending,
        limit=limit,
        offset=offset,
    )
    page = get_card_service().search_page(filters)
    if as_json:
        print_json(page)
        return
    _print_cards(page.cards)
    if len(page.cards) == page.total:
        print_total(page.total)
    elif not page.cards:
        typer.echo(f"none of {page.total} cards")
    else:
        more = "" if page.next_offset is None else f"; the next: --offset {page.next_offset}"
        typer.echo(f"{offset + 1} to {offset + len(page.cards)} of {page.total} cards{more}")


@app.command("show", epilog="For example: mantimon cards show m1-001-kindlekit")
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
            typer.echo(f"{name:<13}{printable(_in_words(value))}")


@app.command("stats", epilog="For example: mantimon cards stats --json")
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


@app.command("import", epilog="For example: mantimon cards import others.json --to cards")
def import_cards(
    file: Annotated[Path, typer.Argument(help="A list of cards of another game, as JSON.")],
    *,
    to: Annotated[Path, typer.Option(help="The directory to write.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the bundle that is there.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a directory of cards from a foreign list, and say what was changed on the way."""
    found = read_foreign_list(file, watch=partial(watched, what="cards"))
    write_bundle(to, found.encoded(), replace=replace)
    changes = [[*change, cards] for change, cards in found.changes.items()]
    columns = ("field", "found", "became", "cards")
    if as_json:
        named = [dict(zip(columns, row, strict=True)) for row in changes]
        print_json({"cards": len(found.cards), "sets": found.sets, "changes": named})
        return
    print_table(("set", "cards"), [[*each] for each in found.sets.items()])
    typer.echo()
    print_table(columns, changes)
    typer.echo()
    print_total(len(found.cards))
    typer.echo(f"to serve them: export {DIRECTORY_VARIABLE}={shlex.quote(str(to.resolve()))}")


def _print_cards(cards: list[CardDefinition]) -> None:
    if not cards:
        return
    print_table(COLUMNS, [[getattr(card, column) for column in COLUMNS] for card in cards])


def _in_words(value: object) -> str:
    if isinstance(value, msgspec.Struct):
        named = msgspec.structs.asdict(value).items()
        return ", ".join(
            f"{name} {_in_words(each)}" for name, each in named if each not in {"", ()}
        )
    if isinstance(value, tuple):
        return "; ".join(map(_in_words, value))
    return str(value)
