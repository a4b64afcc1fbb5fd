"""`holdfast migrate`, `revision`, `downgrade` and `history`."""

import asyncio
from typing import Annotated

import typer

from holdfast import migrate
from holdfast.cli.output import AsJson, describe_move, print_json, print_table
from holdfast.database import Database
from holdfast.migrate import Migrated
from holdfast.settings import Project, find_project

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        help="The database; else DATABASE_OWNER_URL, DATABASE_URL or the running servers.",
    ),
]


def add_commands(app: typer.Typer) -> None:
    """Add the commands about migrations."""
    app.command("migrate")(upgrade)
    app.command()(downgrade)
    app.command()(revision)
    app.command()(history)


def upgrade(
    to: Annotated[str, typer.Argument(metavar="REVISION")] = "head",
    *,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Migrate the database forward, to the newest revision or the one given."""
    project = find_project()
    moved = asyncio.run(_upgrade(project, url, to))
    _print_move(moved, as_json=as_json)


def downgrade(
    to: Annotated[str, typer.Argument(metavar="REVISION")],
    *,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Migrate the database backward: to a revision, `-1`, or `base` for nothing left.

    An argument that begins with `-` needs `--` in front: holdfast downgrade -- -1
    """
    project = find_project()
    moved = asyncio.run(_downgrade(project, url, to))
    _print_move(moved, as_json=as_json)


def revision(
    message: Annotated[str, typer.Option("--message", "-m", help="What the migration does.")],
    *,
    empty: Annotated[bool, typer.Option("--empty", help="Do not compare with models.")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Write a migration with what the models have and the database has not."""
    project = find_project()
    path = asyncio.run(_revision(project, url, message, autogenerate=not empty))
    if as_json:
        print_json({"path": path})
    elif path is None:
        typer.echo("nothing to migrate: the database is as the models say; no file was written")
    else:
        typer.echo(f"wrote {path}")


def history(*, as_json: AsJson = False) -> None:
    """List the migrations, newest first."""
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


async def _upgrade(project: Project, url: str | None, to: str) -> Migrated:
    async with await _database(project, url) as db:
        return await migrate.upgrade(db, project.alembic_path, to)


async def _downgrade(project: Project, url: str | None, to: str) -> Migrated:
    async with await _database(project, url) as db:
        return await migrate.downgrade(db, project.alembic_path, to)


async def _revision(
    project: Project, url: str | None, message: str, *, autogenerate: bool
) -> object:
    async with await _database(project, url) as db:
        return await migrate.revision(db, project.alembic_path, message, autogenerate=autogenerate)


async def _database(project: Project, url: str | None) -> Database:
    # Before the database: opening SQLite's would make the file.
    migrate.require_config(project.alembic_path)
    return Database(await migrate.find_url(url, project))


def _print_move(moved: Migrated, *, as_json: bool) -> None:
    if as_json:
        print_json(moved)
    else:
        typer.echo(describe_move(moved))
