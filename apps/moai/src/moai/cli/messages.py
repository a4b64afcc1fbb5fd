"""`moai messages`: add and list."""

from typing import Annotated

import typer

from holdfast.cli.rows import After, AsJson, Limit, columns_of, print_page, print_row
from moai.cli.discussions import Id
from moai.cli.reading import read_text
from moai.cli.running import ask, do
from moai.services.messages import add_message, list_messages

Number = Annotated[
    int | None, typer.Option("--round", help="The number of the round; else the newest.")
]

app = typer.Typer(no_args_is_help=True, help="What the models said.")


@app.command(epilog="For example: my-model < prompt | moai messages add DISCUSSION my-model -")
def add(
    discussion: Id,
    model: Annotated[str, typer.Argument(help="Who said it.")],
    content: Annotated[str, typer.Argument(help="What; `-` reads the standard input.")],
    *,
    number: Number = None,
    direct: Annotated[bool, typer.Option("--direct", help="Only this model was asked.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write down what a model said, and print it."""
    text = read_text(content)
    said = do(add_message, discussion, model, text, number=number, is_direct=direct)
    print_row(columns_of(said), as_json=as_json)


@app.command("list", epilog="For example: moai messages list DISCUSSION --round 1 --limit 20")
def list_(
    discussion: Id,
    *,
    number: Number = None,
    after: After = None,
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """List the messages of a round as they arrived."""
    page = ask(list_messages, discussion, number=number, after=after, limit=limit)
    print_page(page, ("created_at", "model", "is_direct", "content", "id"), as_json=as_json)
