"""`moai rounds`: add and list."""

from typing import Annotated

import typer

from holdfast.cli.rows import After, AsJson, Limit, columns_of, print_page, print_row
from moai.cli.discussions import Id
from moai.cli.running import ask, do
from moai.core.models import RoundKind
from moai.services.rounds import add_round, list_rounds

app = typer.Typer(no_args_is_help=True, help="The times that models were asked.")


@app.command(epilog="For example: moai rounds add DISCUSSION --kind sequential")
def add(
    discussion: Id,
    *,
    kind: Annotated[str, typer.Option(help="parallel or sequential.")] = RoundKind.PARALLEL.value,
    as_json: AsJson = False,
) -> None:
    """Begin the next round of an active discussion, and print it."""
    print_row(columns_of(do(add_round, discussion, kind=kind)), as_json=as_json)


@app.command("list", epilog="For example: moai rounds list DISCUSSION")
def list_(
    discussion: Id, *, after: After = None, limit: Limit = 100, as_json: AsJson = False
) -> None:
    """List a discussion's rounds by number."""
    page = ask(list_rounds, discussion, after=after, limit=limit)
    print_page(page, ("number", "kind", "created_at", "id"), as_json=as_json)
