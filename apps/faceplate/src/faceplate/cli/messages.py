"""`faceplate messages`: create, list, show and delete."""

import uuid
from collections.abc import Sequence
from typing import Annotated

import typer

from faceplate.cli.conversations import Id
from faceplate.cli.reading import read_json, read_text
from faceplate.cli.running import ask, do
from faceplate.models import Message
from faceplate.services.messages import add_message, delete_message, get_message, list_messages
from holdfast.cli.rows import (
    After,
    AsJson,
    Limit,
    columns_of,
    print_json,
    print_page,
    print_row,
    print_rows,
)
from holdfast.errors import ConfigurationError

Own = Annotated[uuid.UUID, typer.Argument(metavar="MESSAGE", help="An id.")]

_COLUMNS = ("id", "created_at", "role", "content", "tool_calls", "tool_results")

app = typer.Typer(no_args_is_help=True, help="What was said, in its order.")


@app.command(epilog="For example: echo 'Scan the host.' | faceplate messages create CONVERSATION -")
def create(
    conversation: Id,
    content: Annotated[
        str | None, typer.Argument(help="The text; `-` reads the standard input.")
    ] = None,
    *,
    role: Annotated[str, typer.Option(help="user, assistant, system or tool.")] = "user",
    tool_calls: Annotated[
        str | None, typer.Option(help="JSON: [{id, function: {name, arguments}}]; `-` reads it.")
    ] = None,
    tool_results: Annotated[
        str | None, typer.Option(help="JSON: [{tool_call_id, content}]; `-` reads it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a message at the end of a conversation and print it."""
    said = {
        "content": read_text(content),
        "tool_calls": read_json("--tool-calls", tool_calls),
        "tool_results": read_json("--tool-results", tool_results),
    }
    if all(each is None for each in said.values()):
        raise ConfigurationError("nothing is said: give a text, --tool-calls or --tool-results")
    print_row(columns_of(do(add_message, conversation, role, **said)), as_json=as_json)


@app.command("list", epilog="For example: faceplate messages list CONVERSATION --limit 20")
def list_(
    conversation: Id, *, after: After = None, limit: Limit = 100, as_json: AsJson = False
) -> None:
    """List a conversation's messages, the first one first."""
    page = ask(list_messages, conversation, after=after, limit=limit)
    print_page(page, _COLUMNS, as_json=as_json)


@app.command(epilog="For example: faceplate messages show MESSAGE --json")
def show(message: Own, *, as_json: AsJson = False) -> None:
    """Show one message."""
    print_row(columns_of(ask(get_message, message)), as_json=as_json)


@app.command(epilog="For example: faceplate messages delete MESSAGE")
def delete(message: Own, *, as_json: AsJson = False) -> None:
    """Delete one message."""
    do(delete_message, message)
    print_row({"deleted": message}, as_json=as_json)


def print_messages(found: Sequence[Message], *, as_json: bool) -> None:
    """Print messages without pages, as a JSON list or a table."""
    rows = [columns_of(message) for message in found]
    if as_json:
        print_json(rows)
    else:
        print_rows(rows, _COLUMNS)
