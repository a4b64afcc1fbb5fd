"""The commands together, and how they end: 0 done, 1 failed, 2 used wrongly."""

import sys

import typer

from holdfast.cli import migrations, servers
from holdfast.cli.output import fail
from holdfast.errors import ConfigurationError, HoldfastError
from holdfast.urls import redact

app = typer.Typer(
    name="holdfast",
    help="Real PostgreSQL and Redis for development, and migrations.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
servers.add_commands(app)
migrations.add_commands(app)


def main() -> None:
    """Run the command line."""
    as_json = "--json" in sys.argv
    try:
        app()
    except ConfigurationError as error:
        fail(redact(str(error)), 2, as_json=as_json)
    except HoldfastError as error:
        fail(redact(str(error)), 1, as_json=as_json)
