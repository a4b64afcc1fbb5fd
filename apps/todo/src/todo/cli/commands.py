"""The commands of `todo`."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.cli import Runner, run
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
from todo.cli.users import User, user_id
from todo.core.start import migrate_database, opened
from todo.errors import InvalidInputError
from todo.models import Task, TaskStatus
from todo.services.tasks import (
    add_task,
    complete_task,
    delete_task,
    edit_task,
    find_task,
    list_tasks,
    reopen_task,
)

Id = Annotated[str, typer.Argument(metavar="ID", help="The first digits of an id, or all of them.")]
Description = Annotated[str | None, typer.Option(help="More about it.", show_default=False)]

_COLUMNS = ("id", "status", "title", "added")
_DIGITS = 8  # of an id in a list: of a thousand tasks, two begin alike once in 10,000 lists

app = typer.Typer(
    name="todo",
    help="Your tasks, and those of others.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog="Tasks are kept in ~/.local/share/todo/todo.db, or in the database that DATABASE_URL "
    'names. For example: todo add "Buy milk"',
)
runner = Runner(opened)


@app.command(epilog='For example: todo add "Buy milk" --description "two bottles"')
def add(
    title: Annotated[str, typer.Argument(help="What is to be done; up to 200 characters.")],
    *,
    description: Description = None,
    user: User = None,
    as_json: AsJson = False,
) -> None:
    """Add a task."""
    task = runner.do(add_task, user_id(user), title, description=description)
    _print(task, as_json=as_json)


@app.command("list", epilog="For example: todo list --status pending --limit 10")
def list_(
    *,
    status: Annotated[
        TaskStatus | None, typer.Option(help="Only those that have it.", show_default=False)
    ] = None,
    after: After = None,
    limit: Limit = 50,
    user: User = None,
    as_json: AsJson = False,
) -> None:
    """List tasks, the newest one first."""
    page = runner.ask(list_tasks, user_id(user), status=status, after=after, limit=limit)
    if page.items or as_json:
        print_page(page, _COLUMNS, as_json=as_json, shown=columns_of if as_json else _line)
    else:
        typer.echo("no tasks")


@app.command(epilog="For example: todo show 3f2a --json")
def show(task: Id, *, user: User = None, as_json: AsJson = False) -> None:
    """Show one task."""
    found = runner.ask(find_task, user_id(user), task)
    print_row(columns_of(found) if as_json else _lines(found), as_json=as_json)


@app.command(epilog="For example: todo complete 3f2a")
def complete(task: Id, *, user: User = None, as_json: AsJson = False) -> None:
    """Say that a task is done."""
    _print(runner.do(_on, user_id(user), task, complete_task), as_json=as_json)


@app.command(epilog="For example: todo reopen 3f2a")
def reopen(task: Id, *, user: User = None, as_json: AsJson = False) -> None:
    """Say that a task is to be done after all."""
    _print(runner.do(_on, user_id(user), task, reopen_task), as_json=as_json)


@app.command(epilog='For example: todo edit 3f2a --title "Buy oat milk" --description ""')
def edit(
    task: Id,
    *,
    title: Annotated[str | None, typer.Option(help="What is to be done.", show_default=False)] = (
        None
    ),
    description: Annotated[
        str | None, typer.Option(help='More about it; "" removes it.', show_default=False)
    ] = None,
    user: User = None,
    as_json: AsJson = False,
) -> None:
    """Change what a task says."""
    changes = {"title": title, "description": description}
    _print(runner.do(_on, user_id(user), task, edit_task, **changes), as_json=as_json)


@app.command(epilog="For example: todo delete 3f2a")
def delete(task: Id, *, user: User = None, as_json: AsJson = False) -> None:
    """Delete a task."""
    deleted = runner.do(_delete, user_id(user), task)
    if as_json:
        print_json({"deleted": deleted.id})
    else:
        typer.echo("deleted:")
        _print(deleted, as_json=False)


@app.command(epilog="For example: DATABASE_OWNER_URL=postgresql://… todo migrate")
def migrate(*, as_json: AsJson = False) -> None:
    """Bring the database to the newest revision, as DATABASE_OWNER_URL, else DATABASE_URL."""
    moved = asyncio.run(migrate_database())
    if as_json:
        print_json({"before": moved.before, "after": moved.after, "seconds": moved.seconds})
    else:
        typer.echo(moved)


def main() -> None:
    """Run the command line."""
    run(app, wrong=(InvalidInputError,), migrate="todo migrate")


async def _on(
    session: AsyncSession,
    /,
    user: uuid.UUID,
    named: str,
    work: Callable[..., Awaitable[Task]],
    **options: str | None,
) -> Task:
    """Call what takes the id of a task, for one that is named by the beginning of it."""
    task = await find_task(session, user, named)
    return await work(session, user, task.id, **options)


async def _delete(session: AsyncSession, user: uuid.UUID, named: str) -> Task:
    task = await find_task(session, user, named)
    await delete_task(session, user, task.id)
    return task


def _print(task: Task, *, as_json: bool) -> None:
    if as_json:
        print_json(columns_of(task))
    else:
        print_rows([_line(task)], _COLUMNS)


def _line(task: Task) -> dict[str, object]:
    """Give what a list has of a task, its time as on a clock at hand."""
    return {
        "id": task.id.hex[:_DIGITS],
        "status": task.status,
        "title": task.title,
        "added": task.created_at.astimezone(),
    }


def _lines(task: Task) -> dict[str, object]:
    times = {
        "created_at": task.created_at.astimezone(),
        "updated_at": task.updated_at.astimezone(),
    }
    return columns_of(task) | times
