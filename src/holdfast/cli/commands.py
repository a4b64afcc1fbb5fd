"""The commands of `holdfast` together."""

import typer

from holdfast.cli import copying, doctor, migrations, servers, states

app = typer.Typer(
    name="holdfast",
    help="Real PostgreSQL and Redis for development, migrations, a copy, states, and a doctor.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
servers.add_commands(app)
migrations.add_commands(app)
copying.add_commands(app)
doctor.add_commands(app)
states.add_commands(app)
