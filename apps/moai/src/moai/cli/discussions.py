"""`moai discussions`: open, list, complete, abandon, reopen and delete."""

from typing import Annotated

import typer

from holdfast.cli.rows import After, AsJson, Limit, columns_of, print_page, print_row
from moai.cli.projects import Named
from moai.cli.reading import read_text
from moai.cli.running import ask, do
from moai.core.models import Discussion, DiscussionKind
from moai.services.discussions import (
    abandon_discussion,
    complete_discussion,
    delete_discussion,
    list_discussions,
    open_discussion,
    reopen_discussion,
)

Id = Annotated[str, typer.Argument(metavar="DISCUSSION", help="An id.")]

app = typer.Typer(no_args_is_help=True, help="Questions that are put to a project's models.")


@app.command(
    "open",
    epilog='For example: moai discussions open Caching "Cache answers?" --kind consensus',
)
def open_(
    project: Named,
    question: Annotated[str, typer.Argument(help="Any text; `-` reads the standard input.")],
    *,
    kind: Annotated[str, typer.Option(help="open or consensus.")] = DiscussionKind.OPEN.value,
    as_json: AsJson = False,
) -> None:
    """Put a question to a project's models, and print the discussion."""
    _print(do(open_discussion, project, read_text(question), kind=kind), as_json=as_json)


@app.command("list", epilog="For example: moai discussions list Caching --status active")
def list_(
    project: Named,
    *,
    status: Annotated[
        str | None, typer.Option(help="Only active, completed or abandoned ones.")
    ] = None,
    after: After = None,
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """List a project's discussions, the oldest first."""
    page = ask(list_discussions, project, status=status, after=after, limit=limit)
    print_page(page, ("id", "kind", "status", "question", "created_at"), as_json=as_json)


@app.command(epilog="For example: moai discussions complete DISCUSSION")
def complete(discussion: Id, *, as_json: AsJson = False) -> None:
    """End an active discussion; nothing but a consensus is added from then on."""
    _print(do(complete_discussion, discussion), as_json=as_json)


@app.command(epilog="For example: moai discussions abandon DISCUSSION")
def abandon(discussion: Id, *, as_json: AsJson = False) -> None:
    """End an active discussion that came to nothing."""
    _print(do(abandon_discussion, discussion), as_json=as_json)


@app.command(epilog="For example: moai discussions reopen DISCUSSION")
def reopen(discussion: Id, *, as_json: AsJson = False) -> None:
    """Go on with a discussion that was completed or abandoned."""
    _print(do(reopen_discussion, discussion), as_json=as_json)


@app.command(epilog="For example: moai discussions delete DISCUSSION")
def delete(discussion: Id, *, as_json: AsJson = False) -> None:
    """Delete a discussion with all that was said, for good."""
    print_row({"deleted": do(delete_discussion, discussion)}, as_json=as_json)


def _print(discussion: Discussion, *, as_json: bool) -> None:
    print_row(columns_of(discussion), as_json=as_json)
