"""The commands of `mantimon` together."""

import typer

from holdfast.cli import run
from mantimon.cards.problems import CardBundleError
from mantimon.cli import cards
from mantimon.errors import InvalidInputError

app = typer.Typer(
    name="mantimon",
    help="Mantimon TCG: cards, players, games, and their history.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog="DATABASE_URL names the database. For example: mantimon cards list --element tide",
)
app.add_typer(cards.app, name="cards")


@app.callback()
def _app() -> None:
    """Mantimon TCG."""


def main() -> None:
    """Run the command line."""
    run(app, failures=(CardBundleError,), wrong=(InvalidInputError,))
