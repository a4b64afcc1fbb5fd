"""`moai consensus`: write."""

from typing import Annotated

import typer

from holdfast.cli.rows import AsJson, columns_of, print_row
from moai.cli.discussions import Id
from moai.cli.reading import read_text
from moai.cli.running import do
from moai.services.consensus import write_consensus

app = typer.Typer(no_args_is_help=True, help="What a discussion came to.")


@app.callback()
def _group() -> None:
    """Keep `write` a command of its own."""


@app.command(
    epilog='For example: moai consensus write DISCUSSION --by claude --summary "Cache them." '
    '--agreement "Answers are alike." --disagreement "For how long."'
)
def write(
    discussion: Id,
    *,
    summary: Annotated[str, typer.Option(help="Any text; `-` reads the standard input.")],
    by: Annotated[str, typer.Option(help="Who wrote it: a model, or a person.")],
    agreement: Annotated[
        list[str] | None, typer.Option(help="What all agree on; say it once for each.")
    ] = None,
    disagreement: Annotated[
        list[str] | None, typer.Option(help="What they do not agree on.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write down the consensus of a discussion, once, and print it."""
    written = do(
        write_consensus,
        discussion,
        summary=read_text(summary),
        generated_by=by,
        agreements=agreement or [],
        disagreements=disagreement or [],
    )
    print_row(columns_of(written), as_json=as_json)
