"""The command line `mantimon`: parse, call, print; exit codes 0 done, 1 failed, 2 used wrongly."""

import sys
from collections.abc import Mapping
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from holdfast.cli import run
from mantimon.services.card_service import (
    CardBundleError,
    CardFilters,
    get_card_service,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

app = typer.Typer(
    name="mantimon",
    help="Mantimon TCG: look at the cards of the game.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
cards = typer.Typer(no_args_is_help=True, help="Look at the cards of the game.")
app.add_typer(cards, name="cards")


@app.callback()
def _app() -> None:
    """Mantimon TCG."""


@cards.command("list")
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
        _print_json(found)
        return
    columns = ("id", "name", "type", "element", "stage", "hp", "rarity")
    _print_table(columns, [[getattr(card, column) for column in columns] for card in found])
    _print_total(len(found))


@cards.command("show")
def show_card(
    card_id: Annotated[str, typer.Argument(metavar="ID", help="As `cards list` shows it.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Show everything that is printed on one card."""
    card = get_card_service().get_cards([card_id], strict=True)[card_id]
    if as_json:
        _print_json(card)
        return
    for name, value in msgspec.structs.asdict(card).items():
        if value not in {None, "", ()}:
            typer.echo(f"{name:<13}{_in_words(value)}")


@cards.command("stats")
def show_stats(*, as_json: AsJson = False) -> None:
    """Count the cards of every set, type, element, stage and rarity."""
    counts = msgspec.to_builtins(get_card_service().stats())
    if as_json:
        _print_json(counts)
        return
    rows = [
        [kind.removeprefix("by_"), name, count]
        for kind, group in counts.items()
        if isinstance(group, Mapping)
        for name, count in group.items()
    ]
    _print_table(("by", "kind", "cards"), rows)
    _print_total(counts["total"])


def main() -> None:
    """Run the command line."""
    run(app, failures=(CardBundleError,))


def _print_json(value: object) -> None:
    encoded = msgspec.json.encode(value)
    typer.echo(msgspec.json.format(encoded, indent=2))


def _print_table(columns: tuple[str, ...], rows: list[list[object]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    # A pipe has no width: a row is a line there.
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _print_total(total: int) -> None:
    typer.echo("1 card" if total == 1 else f"{total} cards")


def _in_words(value: object) -> str:
    if isinstance(value, msgspec.Struct):
        named = msgspec.structs.asdict(value).items()
        return ", ".join(
            f"{name} {_in_words(each)}" for name, each in named if each not in {"", ()}
        )
    if isinstance(value, tuple):
        return "; ".join(map(_in_words, value))
    return str(value)
