"""`holdfast state`: what a store's states are like, and what is to be done about them."""

import asyncio
import importlib
import inspect
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from holdfast.cli.configuration import client_of, find_configuration
from holdfast.cli.output import AsJson, beside_json, print_json
from holdfast.errors import ConfigurationError, UnknownKeyError
from holdfast.settings import Project, find_project

if TYPE_CHECKING:
    from holdfast.database import Database
    from holdfast.state import Key, KeyReport, Recovered, StateStore, Verified

Prefix = Annotated[
    str | None,
    typer.Option("--store", metavar="PREFIX", help="Which store, where there are several."),
]
Url = Annotated[
    str | None,
    typer.Option("--url", help="The database; else DATABASE_URL or the running servers."),
]
Watch = Callable[["Recovered | Verified"], object]

app = typer.Typer(
    help="States in Redis and PostgreSQL: look at them, write them, take them up, compare them.",
    no_args_is_help=True,
)


def add_commands(above: typer.Typer) -> None:
    """Add the commands."""
    above.add_typer(app, name="state")


@app.command()
def stats(*, store: Prefix = None, url: Url = None, as_json: AsJson = False) -> None:
    """Count states, those that wait to be written, and what is written."""

    async def work(of: "StateStore[Any]") -> Any:
        return await of.stats()

    found = _run(work, store, url, as_json=as_json)
    if as_json:
        print_json(found)
        return
    typer.echo(f"{found.keys:,} states in Redis")
    waited = f", the first for {found.oldest_dirty_age:.1f} s" if found.dirty else ""
    typer.echo(f"{found.dirty:,} wait to be written{waited}")
    typer.echo(f"{found.refused:,} are refused by the database")
    typer.echo(f"{found.flushed_per_second:,.1f} were written each second")


@app.command(epilog="Example: holdfast state show game:0190a5b2-… --json")
def show(
    key: Annotated[str, typer.Argument(help="With the prefix or without it.")],
    *,
    store: Prefix = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show what Redis and the row have under a key; nothing is changed."""

    async def work(of: "StateStore[Any]") -> "KeyReport":
        return await of.look(_read_key(of, key))

    found = _run(work, store, url, as_json=as_json)
    if found.state is None:
        raise UnknownKeyError(key)
    state = json.loads(found.state)
    if as_json:
        shown = ("key", "in_redis", "redis_version", "row_version", "waits")
        print_json({**{name: getattr(found, name) for name in shown}, "state": state})
        return
    waits = ", waits to be written" if found.waits else ""
    typer.echo(f"Redis: {_version(found.redis_version)}{found.in_redis}{waits}")
    typer.echo(f"row:   {_version(found.row_version) or 'there is none'}".rstrip(", "))
    typer.echo(json.dumps(state, indent=2, ensure_ascii=False))


@app.command()
def flush(*, store: Prefix = None, url: Url = None, as_json: AsJson = False) -> None:
    """Write what waits to be written, whoever saved it."""

    async def work(of: "StateStore[Any]") -> int:
        return await of.flush()

    written = _run(work, store, url, as_json=as_json)
    if as_json:
        print_json({"written": written})
    else:
        typer.echo(f"{written:,} states were written")


@app.command()
def recover(*, store: Prefix = None, url: Url = None, as_json: AsJson = False) -> None:
    """Have Redis hold the state of every row; no running worker is set back."""

    async def work(of: "StateStore[Any]") -> "Recovered":
        with _watching(as_json=as_json) as watch:
            return await of.recover(progress=watch)

    found = _run(work, store, url, as_json=as_json)
    if as_json:
        print_json(found)
        return
    typer.echo(
        f"{found.rows:,} rows: {found.filled:,} filled, of which Redis was ahead with "
        f"{found.ahead:,}; {found.left:,} left to their next load"
    )
    for each in found.unreadable:
        typer.echo(f"{each}: its row holds what is no state of the store; it was left alone")
    if found.unreadable:
        raise SystemExit(1)


@app.command()
def verify(*, store: Prefix = None, url: Url = None, as_json: AsJson = False) -> None:
    """Compare Redis with the rows, and name every difference; exit code 1 if there is any."""

    async def work(of: "StateStore[Any]") -> "Verified":
        with _watching(as_json=as_json) as watch:
            return await of.verify(progress=watch)

    found = _run(work, store, url, as_json=as_json)
    if as_json:
        print_json(found)
    else:
        typer.echo(
            f"{found.rows:,} rows: {found.same:,} as in Redis, {found.waiting:,} wait to be "
            f"written, {found.only_in_row:,} in the row only"
        )
        for each in found.differences:  # a line each, however long, for those who search in it
            typer.echo(f"{each.key}: {each.what}")
    if found.differences:
        raise SystemExit(1)


def _run(
    work: "Callable[[StateStore[Any]], Any]", prefix: str | None, url: str | None, *, as_json: bool
) -> Any:
    async def opened() -> Any:
        async with _opened(find_project(), prefix, url) as store:
            return await work(store)

    with beside_json(as_json=as_json):
        return asyncio.run(opened())


@asynccontextmanager
async def _opened(
    project: Project, prefix: str | None, url: str | None
) -> "AsyncIterator[StateStore[Any]]":
    from holdfast.database import Database

    makers = [_find(each, project) for each in project.state]
    if not makers:
        raise ConfigurationError(
            "no store: name what makes it in pyproject.toml, [tool.holdfast] "
            'state = ["shop.states:make_store"]; it is called with a Database and a client of Redis'
        )
    given = await find_configuration(project, url)
    if given.redis is None:
        raise ConfigurationError("no Redis: set REDIS_URL, or start servers with `holdfast up`")
    async with Database(given.database.url) as db, client_of(given.redis.url) as client:
        stores = [
            _make(name, maker, db, client)
            for name, maker in zip(project.state, makers, strict=True)
        ]
        yield _choose(stores, prefix)


def _make(name: str, maker: Any, db: "Database", client: Any) -> "StateStore[Any]":
    from holdfast.state import StateStore

    try:
        inspect.signature(maker).bind(db, client)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"[tool.holdfast] state: {name!r} cannot be called with a Database and a client of "
            f"Redis: {error}"
        ) from error
    store = maker(db, client)
    if not isinstance(store, StateStore):
        if inspect.iscoroutine(store):
            store.close()
        raise ConfigurationError(
            f"[tool.holdfast] state: {name!r} gives a {type(store).__name__}, no StateStore"
        )
    return store


def _find(name: str, project: Project) -> Any:
    module, _, function = name.partition(":")
    if str(project.root) not in sys.path:  # a project need not be installed
        sys.path.insert(0, str(project.root))
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"[tool.holdfast] state: {name!r} cannot be had: {error}; it is module:function, of "
            "the project's folder or of what is installed"
        ) from error


def _choose(stores: "list[StateStore[Any]]", prefix: str | None) -> "StateStore[Any]":
    found = [each for each in stores if prefix is None or each.table.prefix == prefix]
    if len(found) == 1:
        return found[0]
    known = ", ".join(each.table.prefix for each in stores)
    raise ConfigurationError(f"which store? Choose one by --store: {known}")


def _read_key(store: "StateStore[Any]", text: str) -> "Key":
    try:
        return store.table.read_key(text.removeprefix(store.table.prefix))
    except ValueError:
        raise ConfigurationError(
            f"{text!r} is no key of {store.table.table.name}: {store.table.key.name} is a "
            f"{store.table.key.type.python_type.__name__}"
        ) from None


@contextmanager
def _watching(*, as_json: bool) -> "Iterator[Watch | None]":
    """Give what shows how far it is, on a terminal."""
    if as_json or not sys.stdout.isatty():
        yield None
        return
    from rich import progress as rich

    columns = (
        rich.TextColumn("{task.completed:,.0f} of {task.total:,.0f} rows"),
        rich.BarColumn(),
        rich.TimeRemainingColumn(),
    )
    with rich.Progress(*columns, transient=True) as bar:
        task = bar.add_task("", total=0)
        yield lambda at: bar.update(task, completed=at.rows, total=at.total)


def _version(version: int | None) -> str:
    return "" if version is None else f"version {version}, "
