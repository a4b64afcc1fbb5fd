"""The commands of `faceplate` together, with those that stand alone: migrate and context."""

import asyncio
from typing import Annotated

import typer

from faceplate.cli import configs, conversations, messages, users
from faceplate.cli.running import ask
from faceplate.db.start import migrate_database
from faceplate.errors import InvalidInputError
from faceplate.services.context import get_context
from holdfast.cli import run
from holdfast.cli.rows import AsJson, print_json

app = typer.Typer(
    name="faceplate",
    help="Faceplate: users, their conversations with a model, and the tools that it may call.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog="DATABASE_URL names the database. For example: "
    'faceplate users create --email ann@example.com --subject "oidc|ann"',
)
app.add_typer(users.app, name="users")
app.add_typer(conversations.app, name="conversations")
app.add_typer(messages.app, name="messages")
app.add_typer(configs.app, name="configs")


@app.command(epilog="For example: DATABASE_OWNER_URL=postgresql://… faceplate migrate")
def migrate(*, as_json: AsJson = False) -> None:
    """Bring the database to the newest revision, as DATABASE_OWNER_URL, else DATABASE_URL."""
    moved = asyncio.run(migrate_database())
    if as_json:
        print_json({"before": moved.before, "after": moved.after, "seconds": moved.seconds})
    else:
        typer.echo(moved)


@app.command(
    epilog="For example: faceplate context CONVERSATION --characters 8000 --json | jq '.[].content'"
)
def context(
    conversation: conversations.Id,
    *,
    most: Annotated[
        int | None, typer.Option("--messages", help="The last so many messages.")
    ] = None,
    characters: Annotated[
        int | None,
        typer.Option(help="The last messages of so many characters, tool calls included."),
    ] = None,
    newest_first: Annotated[
        bool, typer.Option("--newest-first", help="The newest message first.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print the end of a conversation that a model is given, within one limit or both."""
    found = ask(
        get_context,
        conversation,
        messages=most,
        characters=characters,
        newest_first=newest_first,
    )
    messages.print_messages(found, as_json=as_json)


def main() -> None:
    """Run the command line."""
    run(app, wrong=(InvalidInputError,), migrate="faceplate migrate")
