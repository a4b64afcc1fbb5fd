"""The commands of `mantimon` together."""

import typer

from holdfast.cli import run
from mantimon.cards.problems import CardBundleError
from mantimon.cli import campaign, cards, decks, history, players
from mantimon.cli.simulate import simulate
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
app.add_typer(players.app, name="players")
app.add_typer(decks.app, name="decks")
app.add_typer(campaign.app, name="campaign")
app.command(epilog="For example: mantimon history ann@example.com --limit 5")(history.history)
app.command(epilog="For example: mantimon leaderboard --since 2026-11-01 --until 2026-12-01")(
    history.leaderboard
)
app.command(epilog="For example: mantimon simulate --games 300 --players 30 --workers 2")(simulate)
app.command(epilog="For example: mantimon partitions --months 6")(history.partitions)


def main() -> None:
    """Run the command line."""
    run(app, failures=(CardBundleError,), wrong=(InvalidInputError,))
