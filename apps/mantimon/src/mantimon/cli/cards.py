"""`mantimon cards`: list, find, show, count and import the cards of the game."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import typer
from rich.console import Console
from rich.progress import track

from holdfast.cli.rows import AsJson, print_json, print_row, print_rows
from mantimon.cards.bundle import write_bundle
from mantimon.cards.definition import CardDefinition
from mantimon.cards.foreign import read_foreign_list
from mantimon.services.card_service import (
    DIRECTORY_VARIABLE,
    CardFilters,
    CardOrder,
    get_card_service,
)

T = TypeVar("T")

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
        print_json(msgspec.to_builtins(found))
        return
    _print_cards(found)
    _print_total(len(found))


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
        print_json(msgspec.to_builtins(page))
        return
    _print_cards(page.cards)
    if len(page.cards) == page.total:
        _print_total(page.total)
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
        print_json(msgspec.to_builtins(card))
        return
    printed = msgspec.structs.asdict(card).items()
    print_row({name: _in_words(value) for name, value in printed}, as_json=False)


@app.command("stats", epilog="For example: mantimon cards stats --json")
def show_stats(*, as_json: AsJson = False) -> None:
    """Count the cards of every set, type, element, stage and rarity."""
    counts = msgspec.to_builtins(get_card_service().stats())
    if as_json:
        print_json(counts)
        return
    rows = [
        {"by": kind.removeprefix("by_"), "kind": name, "cards": count}
        for kind, group in counts.items()
        if isinstance(group, Mapping)
        for name, count in group.items()
    ]
    print_rows(rows, ("by", "kind", "cards"))
    _print_total(counts["total"])


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
    found = read_foreign_list(file, watch=partial(_watched, what="cards"))
    write_bundle(to, found.encoded(), replace=replace)
    columns = ("field", "found", "became", "cards")
    changes = [
        dict(zip(columns, (*change, cards), strict=True)) for change, cards in found.changes.items()
    ]
    if as_json:
        print_json({"cards": len(found.cards), "sets": found.sets, "changes": changes})
        return
    print_rows(
        [{"set": code, "cards": cards} for code, cards in found.sets.items()], ("set", "cards")
    )
    typer.echo()
    print_rows(changes, columns)
    typer.echo()
    _print_total(len(found.cards))
    typer.echo(f"to serve them: export {DIRECTORY_VARIABLE}={shlex.quote(str(to.resolve()))}")


def _print_cards(cards: list[CardDefinition]) -> None:
    if cards:
        print_rows([msgspec.structs.asdict(card) for card in cards], COLUMNS)


def _print_total(total: int) -> None:
    typer.echo("1 card" if total == 1 else f"{total} cards")


def _watched(values: Sequence[T], what: str) -> Iterator[T]:
    """Give each value in turn, with a bar on the error stream where that is a terminal."""
    console = Console(stderr=True)
    disable = not console.is_terminal
    yield from track(values, what, console=console, transient=True, disable=disable)


def _in_words(value: object) -> str:
    if isinstance(value, msgspec.Struct):
        named = msgspec.structs.asdict(value).items()
        return ", ".join(
            f"{name} {_in_words(each)}" for name, each in named if each not in {"", ()}
        )
    if isinstance(value, tuple):
        return "; ".join(map(_in_words, value))
    return "" if value is None else str(value)
