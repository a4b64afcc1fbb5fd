"""The commands together, and how they end: 0 done, 1 failed, 2 used wrongly."""

import os
import sys
from pathlib import Path

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


def run() -> None:
    """Run the command that the arguments name, and end the program with its exit code."""
    as_json = "--json" in sys.argv
    # Closed by the caller; the next file that is opened would be standard output.
    sys.stdout = sys.stdout or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    try:
        # Typer's own errors are for people: for JSON they come here.
        raise SystemExit(app(standalone_mode=not as_json))
    except typer.TyperException as error:
        fail(error.format_message(), error.exit_code, as_json=as_json)
    except ConfigurationError as error:
        fail(redact(str(error)), 2, as_json=as_json)
    except HoldfastError as error:
        fail(redact(str(error)), 1, as_json=as_json)
    except OSError as error:
        fail(f"{type(error).__name__}: {error}", 1, as_json=as_json)
