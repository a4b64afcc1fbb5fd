"""`holdfast copy`."""

import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.output import AsJson, beside_json, print_json
from holdfast.errors import ConfigurationError, UnavailableError
from holdfast.settings import Project, find_project

if TYPE_CHECKING:
    from holdfast.database import Database
    from holdfast.transfer import Copied, Progress

Watch = Callable[["Progress"], None]
Source = Annotated[str, typer.Argument(metavar="SOURCE", help="URL of what is copied.")]
Target = Annotated[
    str,
    typer.Argument(metavar="TARGET", help="URL of an empty one, as the role that owns the tables."),
]
Without = Annotated[
    list[str] | None,
    typer.Option(
        "--without", metavar="TABLE", help="Leave out a table, or TABLE.COLUMN, that no model has."
    ),
]


def add_commands(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog='Example: holdfast copy sqlite:///shop.db "$DATABASE_OWNER_URL"')(copy)


def copy(
    source: Source, target: Target, *, without: Without = None, as_json: AsJson = False
) -> None:
    """Copy a database into an empty one, on either engine, and compare the two; all or nothing.

    Both are at the newest revision, or the target was never migrated, and is now.
    """
    with beside_json(as_json=as_json), _watching(as_json=as_json) as watch:
        copied = asyncio.run(_copy(find_project(), source, target, without or (), watch))
    if as_json:
        print_json(copied)
    else:
        typer.echo(_describe(copied))


async def _copy(
    project: Project, source: str, target: str, without: Sequence[str], watch: Watch | None
) -> "Copied":
    from holdfast import migrate, transfer
    from holdfast.database import Database

    # Before the databases: opening SQLite's would make the file.
    migrate.require_config(project.alembic_path)
    old, new = Database(_for_copy(source)), Database(_for_copy(target))
    _require_file(old)
    _require_place(new)
    async with old, new:
        return await transfer.copy(old, new, project.alembic_path, without=without, progress=watch)


def _for_copy(url: str) -> str:
    """Give the same database through the driver that has COPY."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


def _require_file(db: "Database") -> None:
    name = db.url.engine.database or ""
    is_file = db.url.backend == "sqlite" and not name.startswith((":memory:", "file:"))
    if is_file and not Path(name).is_file():
        raise UnavailableError(f"SQLite at {db.url.place}: there is no such file to copy")


def _require_place(db: "Database") -> None:
    if db.url.place == ":memory:":
        raise ConfigurationError(
            "the target is in memory, and gone when the command ends; name a file: "
            "sqlite:///FILE.db"
        )


@contextmanager
def _watching(*, as_json: bool) -> "Iterator[Watch | None]":
    """Give what shows how far it is: a bar on a terminal, a line for each table elsewhere."""
    if as_json:
        yield None
    elif not sys.stdout.isatty():
        yield _print_table
    else:
        with _bar() as watch:
            yield watch


@contextmanager
def _bar() -> "Iterator[Watch]":
    from rich import progress as rich

    class Rate(rich.ProgressColumn):
        def render(self, task: rich.Task) -> str:
            return f"{task.speed or 0:,.0f} rows/s"

    columns = (
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.TaskProgressColumn(),
        Rate(),
        rich.TimeRemainingColumn(),
    )
    with rich.Progress(*columns, transient=True) as bar:
        task = bar.add_task("looking at both", total=None)

        def watch(at: "Progress") -> None:
            if at.is_done:
                bar.console.print(_line(at), highlight=False)
            said = f"{at.stage} {at.table}"
            bar.update(task, description=said, completed=at.done, total=at.total)

        yield watch


def _print_table(at: "Progress") -> None:
    if at.is_done:
        typer.echo(_line(at))


def _line(at: "Progress") -> str:
    return f"{at.table}: {_count(at.of, 'row')}"


def _describe(copied: "Copied") -> str:
    return (
        f"copied {copied.source} to {copied.target} at {copied.revision} in {copied.seconds:g} s: "
        f"{_count(copied.rows, 'row')} of {_count(len(copied.tables), 'table')}, read back and the "
        "same"
    )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
