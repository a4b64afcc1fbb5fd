"""Play on a SQLite file and on a real PostgreSQL, check everything, leave nothing."""

import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from holdfast import migrate
from holdfast.database import Database
from holdfast.errors import HoldfastError
from holdfast.services import PostgresPolicy, PostgresServer
from holdfast.urls import parse, redact
from todo.core.config import get_settings
from todo.core.database import make_database
from todo.core.start import ALEMBIC_INI
from todo.demo.play import Demo, Played
from todo.models import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A database to play on; `given` when it is somebody's own."""

    name: str
    owner: str
    app: str
    given: bool = False


async def run(console: Console) -> bool:
    """Run the demo and print its report; tell whether every check holds."""
    begun = time.perf_counter()
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="todo-demo-"))
        file = f"sqlite:///{Path(folder) / 'todo.db'}"
        sqlite = Place(name="SQLite", owner=file, app=file)
        # A server takes as long to start as all of the rest.
        postgresql, first = await asyncio.gather(_find_postgresql(stack), _play(sqlite))
        played = {sqlite.name: first, postgresql.name: await _play(postgresql)}
    same = len({_content(each.tasks) for each in played.values()}) == 1
    for name, each in played.items():
        _print(console, name, each)
    _print_check(console, "both engines have the same tasks in the end", holds=same)
    console.print(f"in {time.perf_counter() - begun:.1f} s")
    return same and all(holds for each in played.values() for holds in each.checks.values())


def main() -> None:
    """Run the demo; exit code 1 when something failed or a check does not hold."""
    try:
        held = asyncio.run(run(Console()))
    except HoldfastError as error:
        sys.exit(f"error: {redact(str(error))}")
    except KeyboardInterrupt:
        sys.exit("interrupted; nothing is left running")
    if not held:
        sys.exit("demo: a check does not hold")
    sys.stdout.write("demo: ok\n")


async def _find_postgresql(stack: AsyncExitStack) -> Place:
    """Start a server unless `DATABASE_URL` names one; the stack stops it again."""
    settings = get_settings()
    given = settings.database_url.get_secret_value()
    if parse(given).backend == "postgresql":
        name = "PostgreSQL, from DATABASE_URL"
        return Place(name=name, owner=settings.owner_url, app=given, given=True)
    server = await stack.enter_async_context(PostgresServer(policy=PostgresPolicy(database="todo")))
    name = f"{server.product} {server.version}, started from {server.source}"
    return Place(name=name, owner=server.url("owner"), app=server.url("app"))


async def _play(place: Place) -> Played:
    async with Database(place.owner) as owner:
        await migrate.upgrade(owner, ALEMBIC_INI)
    async with make_database(place.app) as db:
        demo = Demo(db)
        try:
            return await demo.play()
        finally:
            if place.given:
                await demo.clean_up()


def _content(tasks: Sequence[Task]) -> tuple[tuple[str, str | None, str], ...]:
    return tuple(sorted((task.title, task.description, task.status) for task in tasks))


def _print(console: Console, name: str, played: Played) -> None:
    table = Table(title=name, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in ("id", "status", "title", "description"):
        table.add_column(column)
    for task in played.tasks:
        table.add_row(task.id.hex[:8], task.status.value, task.title, task.description)
    console.print(table)
    for check, holds in played.checks.items():
        _print_check(console, check, holds=holds)
    console.print()


def _print_check(console: Console, check: str, *, holds: bool) -> None:
    console.print(f"{'ok' if holds else 'BROKEN'}: {check}")


if __name__ == "__main__":
    main()
