"""`moai projects`: create, list, show, change and delete."""

from typing import Annotated

import typer

from holdfast.cli.rows import After, AsJson, Limit, columns_of, print_page, print_row
from moai.cli.running import ask, do
from moai.services.projects import (
    change_project,
    create_project,
    delete_project,
    find_project,
    list_projects,
)

Named = Annotated[str, typer.Argument(metavar="PROJECT", help="An id or a name.")]

app = typer.Typer(no_args_is_help=True, help="What discussions belong to, and who is asked.")


@app.command(epilog="For example: moai projects create Caching --model claude --model gpt")
def create(
    name: Annotated[str, typer.Argument(help="What it is called.")],
    *,
    model: Annotated[
        list[str] | None, typer.Option(help="Who is asked; say it once for each.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a project and print it."""
    print_row(columns_of(do(create_project, name, model or [])), as_json=as_json)


@app.command("list", epilog="For example: moai projects list --json | jq -r '.items[].name'")
def list_(*, after: After = None, limit: Limit = 100, as_json: AsJson = False) -> None:
    """List projects, the oldest first."""
    page = ask(list_projects, after=after, limit=limit)
    print_page(page, ("id", "name", "models", "created_at"), as_json=as_json)


@app.command(epilog="For example: moai projects show Caching")
def show(project: Named, *, as_json: AsJson = False) -> None:
    """Show one project."""
    print_row(columns_of(ask(find_project, project)), as_json=as_json)


@app.command(epilog="For example: moai projects change Caching --add gemini --remove gpt")
def change(
    project: Named,
    *,
    name: Annotated[str | None, typer.Option(help="What it is called from now on.")] = None,
    add: Annotated[
        list[str] | None, typer.Option(help="A model that is asked, too; say it once for each.")
    ] = None,
    remove: Annotated[list[str] | None, typer.Option(help="A model that is asked no more.")] = None,
    as_json: AsJson = False,
) -> None:
    """Rename a project, or change who is asked; what was said stays."""
    changed = do(change_project, project, name=name, add=add or [], remove=remove or [])
    print_row(columns_of(changed), as_json=as_json)


@app.command(epilog="For example: moai projects delete Caching")
def delete(project: Named, *, as_json: AsJson = False) -> None:
    """Delete a project with all of its discussions, for good."""
    print_row({"deleted": do(delete_project, project)}, as_json=as_json)
