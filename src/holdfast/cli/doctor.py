"""`holdfast doctor`: what the configuration means, whether it works, and what to change."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.configuration import find_configuration, find_processes
from holdfast.cli.output import AsJson, beside_json, print_checks, print_json
from holdfast.settings import Project, find_project

if TYPE_CHECKING:
    from holdfast.events import Check

Url = Annotated[
    str | None,
    typer.Option("--url", help="The database; else DATABASE_URL or the running servers."),
]
Processes = Annotated[
    int | None,
    typer.Option("--processes", min=1, help="How many have a pool; else WEB_CONCURRENCY, or 1."),
]
Prefix = Annotated[
    str | None,
    typer.Option(
        "--prefix",
        help="Read DatabasePolicy from the variables that begin so, as the application does.",
    ),
]


def add_commands(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: holdfast doctor --processes 4 --prefix SHOP_DB_")(doctor)


def doctor(
    *,
    url: Url = None,
    processes: Processes = None,
    prefix: Prefix = None,
    as_json: AsJson = False,
) -> None:
    """Explain the configuration, connect, and say what to change; exit code 1 if anything.

    It reads DATABASE_URL, DATABASE_OWNER_URL, DIRECT_DATABASE_URL, REDIS_URL and [tool.holdfast],
    changes nothing and shows no password.
    """
    looking = _look(find_project(), url, prefix, processes or find_processes())
    with beside_json(as_json=as_json):
        checks = asyncio.run(looking)
    ok = all(each.ok for each in checks)
    if as_json:
        print_json({"ok": ok, "checks": checks})
    else:
        print_checks(checks)
    if not ok:
        raise SystemExit(1)


async def _look(
    project: Project, url: str | None, prefix: str | None, processes: int
) -> "list[Check]":
    from holdfast.cli.looking import Looking
    from holdfast.urls import parse

    if url is not None:
        parse(url)  # an option that cannot be read is one that was used wrongly
    given = await find_configuration(project, url)
    return await Looking(project, given, prefix, processes).look()
