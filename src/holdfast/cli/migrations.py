"""`holdfast migrate`, `revision`, `downgrade` and `history`."""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from holdfast.cli.belonging import opened
from holdfast.cli.output import AsJson, beside_json, print_json, print_table
from holdfast.settings import Project, find_project

if TYPE_CHECKING:
    from holdfast.migrate import Migrated

T = TypeVar("T")


def _refuse_blank(text: str) -> str:
    if not text.strip():
        raise typer.BadParameter("it is empty")
    return text


Revision = Annotated[str, typer.Argument(metavar="REVISION", callback=_refuse_blank)]
Message = Annotated[
    str,
    typer.Option("--message", "-m", help="What the migration does.", callback=_refuse_blank),
]
Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        help="The database; else DIRECT_DATABASE_URL, DATABASE_OWNER_URL, DATABASE_URL or the "
        "running servers.",
    ),
]


def add_commands(app: typer.Typer) -> None:
    """Add the commands about migrations."""
    app.command("migrate")(upgrade)
    app.command()(downgrade)
    app.command()(revision)
    app.command()(history)


def upgrade(
    to: Revision = "head",
    *,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Migrate the database forward, to the newest revision or the one given."""
    moved = _run(_upgrade(find_project(), url, to), as_json=as_json)
    _print_move(moved, as_json=as_json)


def downgrade(
    to: Revision,
    *,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Migrate the database backward: to a revision, `-1`, or `base` for nothing left.

    A step back, which `--` tells from an option: holdfast downgrade -- -1
    """
    moved = _run(_downgrade(find_project(), url, to), as_json=as_json)
    _print_move(moved, as_json=as_json)


def revision(
    message: Message,
    *,
    empty: Annotated[bool, typer.Option("--empty", help="Do not compare with models.")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Write a migration with what the models have and the database has not."""
    path = _run(_revision(find_project(), url, message, autogenerate=not empty), as_json=as_json)
    if as_json:
        print_json({"path": path})
    elif path is None:
        typer.echo("nothing to migrate: the database is as the models say; no file was written")
    else:
        typer.echo(f"wrote {path}")


def history(*, as_json: AsJson = False) -> None:
    """List the migrations, newest first."""
    from holdfast import migrate

    with beside_json(as_json=as_json):
        revisions = migrate.history(find_project().alembic_path)
    if as_json:
        print_json(revisions)
    elif not revisions:
        typer.echo("there is no migration yet; write one: holdfast revision -m 'what it does'")
    else:
        print_table(
            [
                {
                    "revision": each.revision,
                    "after": ", ".join(each.down) or "-",
                    "": "head" if each.is_head else "",
                    "what": each.message,
                }
                for each in revisions
            ]
        )


def _run(work: Coroutine[Any, Any, T], *, as_json: bool) -> T:
    with beside_json(as_json=as_json):
        return asyncio.run(work)


async def _upgrade(project: Project, url: str | None, to: str) -> "Migrated":
    from holdfast import migrate

    async with opened(project, url) as db:
        return await migrate.upgrade(db, project.alembic_path, to)


async def _downgrade(project: Project, url: str | None, to: str) -> "Migrated":
    from holdfast import migrate

    async with opened(project, url) as db:
        return await migrate.downgrade(db, project.alembic_path, to)


async def _revision(
    project: Project, url: str | None, message: str, *, autogenerate: bool
) -> object:
    from holdfast import migrate

    async with opened(project, url) as db:
        return await migrate.revision(db, project.alembic_path, message, autogenerate=autogenerate)


def _print_move(moved: "Migrated", *, as_json: bool) -> None:
    if as_json:
        print_json(moved)
    else:
        typer.echo(moved)
