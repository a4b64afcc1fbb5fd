"""`holdfast up`, `down`, `env` and `status`."""

import asyncio
import os
import shlex
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast import redis
from holdfast.cli.belonging import mark, opened, variable
from holdfast.cli.configuration import client_of
from holdfast.cli.main import INTERRUPTED
from holdfast.cli.output import AsJson, beside_json, print_json, print_table
from holdfast.errors import ServiceError
from holdfast.services import (
    PostgresPolicy,
    PostgresServer,
    RedisPolicy,
    RedisServer,
    remove,
)
from holdfast.settings import Project, Service, find_project
from holdfast.urls import redact

if TYPE_CHECKING:
    from holdfast.migrate import Migrated

Server = PostgresServer | RedisServer
Servers = dict[Service, Server]

LOOPBACK = "127.0.0.1"
URL_VARIABLES: Mapping[Service, Sequence[str]] = {
    "postgres": ("DATABASE_URL", "DATABASE_OWNER_URL"),
    "redis": ("REDIS_URL",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What `up` and `status` tell of one service.

    Attributes:
        state: `started`, `joined`, `running`, `stopped`, or `given` by its URL.
        where: a URL, without a password.
        seconds: until it answered.
    """

    service: str
    state: str
    version: str = ""
    pid: int | None = None
    seconds: float | None = None
    where: str = ""


def add_commands(app: typer.Typer) -> None:
    """Add the commands about servers."""
    for command in (up, down, env, status):
        app.command()(command)


def up(
    *,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Leave the servers running and return.")
    ] = False,
    tcp: Annotated[
        bool, typer.Option("--tcp", help="Listen on 127.0.0.1 too, on free ports.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Start the servers that no URL is given for, migrate, and stay until Ctrl-C.

    With DATABASE_URL or REDIS_URL set, that server is used instead of one of our own. Servers
    that already run for this project are joined.
    """
    try:
        asyncio.run(_up(find_project(), tcp=tcp, detach=detach, as_json=as_json))
    except asyncio.CancelledError:
        raise SystemExit(INTERRUPTED) from None


def down(
    *,
    remove_data: Annotated[
        bool, typer.Option("--remove-data", help="Delete their data and that of tests, for good.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Stop the servers of this project."""
    project = find_project()
    stopped = asyncio.run(_down(project, remove_data=remove_data))
    if as_json:
        print_json({"stopped": stopped, "data_removed": remove_data})
    else:
        typer.echo(f"stopped: {', '.join(stopped) or 'nothing was running'}")
        if remove_data:
            typer.echo(f"their data and that of tests is gone from {project.data_path}")


def env(*, as_json: AsJson = False) -> None:
    """Print the URLs of the running servers for a shell: eval "$(holdfast env)".

    They hold passwords where a server listens on TCP.
    """
    project = find_project()
    variables = asyncio.run(_env(project))
    if not variables:
        what = "; ".join(_tell_given(project)) or "start the servers: holdfast up --detach"
        raise ServiceError(f"nothing is running here; {what}")
    if as_json:
        print_json(variables)
        return
    for name, value in variables.items():
        typer.echo(f"export {name}={shlex.quote(value)}")


def status(*, as_json: AsJson = False) -> None:
    """Say which servers of this project run; exit code 1 when one does not."""
    running = asyncio.run(_status(find_project()))
    _print_running(running, as_json=as_json)
    if any(each.state == "stopped" for each in running):
        raise SystemExit(1)


async def _up(project: Project, *, tcp: bool, detach: bool, as_json: bool) -> None:
    _cancel_at_signals()
    servers = _servers(project, tcp=tcp)
    if not as_json:
        _print_given(project)
    async with AsyncExitStack() as stack:
        await _start(servers, stack, detach=detach, imports=_imports(project))
        with beside_json(as_json=as_json):
            moved = await _migrate(project, _urls(servers).get("DATABASE_OWNER_URL"))
        running = [
            _describe(service, server, "joined" if server.attached else "started")
            for service, server in servers.items()
        ]
        data = project.data_path if servers else None
        _print_up(running, moved, _urls(servers), data, as_json=as_json)
        if servers and not detach:
            await _stay(servers, as_json=as_json)


def _cancel_at_signals() -> None:
    """End at SIGTERM and SIGHUP as at Ctrl-C, by cancelling: what was started is stopped."""
    task = asyncio.current_task()
    assert task, "called in one"
    for number in _ending_signals():
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)


def _ending_signals() -> Sequence[signal.Signals]:
    # Under nohup, SIGHUP is ignored, and has to stay so.
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [signal.SIGTERM] if ignored else [signal.SIGTERM, signal.SIGHUP]


async def _start(
    servers: Servers, stack: AsyncExitStack, *, detach: bool, imports: Sequence[str]
) -> None:
    """Start all at once, and import meanwhile what will be needed."""
    try:
        async with asyncio.TaskGroup() as group:
            for server in servers.values():
                group.create_task(_start_one(server, stack, detach=detach))
            group.create_task(asyncio.to_thread(lambda: [*map(import_module, imports)]))
    except ExceptionGroup as failed:
        raise failed.exceptions[0]  # noqa: B904  -- what failed first; that ended the others


async def _start_one(server: Server, stack: AsyncExitStack, *, detach: bool) -> None:
    stack.push_async_callback(server.stop)
    await server.start(detach=detach)
    if detach and not server.attached:
        stack.push_async_exit(partial(_take_back, server))


async def _take_back(server: Server, kind: type[BaseException] | None, *_error: object) -> None:
    """Stop a detached server after all, when `up` came to nothing."""
    if kind is not None:
        await server.down()


def _print_up(
    running: list[Running],
    moved: "Migrated | None",
    urls: dict[str, str],
    data: Path | None,
    *,
    as_json: bool,
) -> None:
    shown = {name: redact(url) for name, url in urls.items()}
    if as_json:
        print_json({"services": running, "migration": moved, "urls": shown, "data": data})
        return
    _print_running(running, as_json=False)
    if data:
        typer.echo(f"\ntheir data is in {data}")
    if moved:
        typer.echo(f"\n{moved}")
    if shown:
        typer.echo("\n" + "\n".join(f"{name}={url}" for name, url in shown.items()))
        typer.echo('\nin another shell: eval "$(holdfast env)"')


def _print_given(project: Project) -> None:
    for each in _tell_given(project):
        typer.echo(each)
    if "postgres" in _given(project) and _migrates(project) and (name := variable()):
        typer.echo(f"what is migrated is {_shown(os.environ[name])}, as {name} says")


def _print_stay(servers: Servers, *, as_json: bool) -> None:
    owned = [server.product for server in servers.values() if not server.attached]
    if not as_json:
        ends = f"Ctrl-C stops {' and '.join(owned)}" if owned else "Ctrl-C leaves them running"
        typer.echo(ends)


def _print_running(running: list[Running], *, as_json: bool) -> None:
    if as_json:
        print_json(running)
        return
    print_table([_row(each) for each in running])


def _row(running: Running) -> dict[str, object]:
    return {
        "service": running.service,
        "state": running.state,
        "version": running.version,
        "pid": running.pid or "",
        "seconds": "" if running.seconds is None else f"{running.seconds:.2f}",
    }


def _describe(service: Service, server: Server, state: str) -> Running:
    return Running(
        service=service,
        state=state,
        version=f"{server.product} {server.version} ({server.source})",
        pid=server.pid,
        seconds=round(server.seconds, 2),
        where=redact(server.url()),
    )


def _imports(project: Project) -> Sequence[str]:
    if not _migrates(project):
        return ()
    if project.data_path.exists():  # then there is likely nothing to migrate
        return ("holdfast.migrate", "asyncpg")
    return ("holdfast.migrate", "holdfast.database", "alembic.command")


def _migrates(project: Project) -> bool:
    return "postgres" in project.services and project.alembic_path.is_file()


async def _migrate(project: Project, own: str | None) -> "Migrated | None":
    if not _migrates(project):
        return None
    from holdfast import migrate

    if own and (unchanged := await migrate.unchanged(own, project.alembic_path)):
        return unchanged
    async with opened(project, own) as db:
        return await migrate.upgrade(db, project.alembic_path)


async def _stay(servers: Servers, *, as_json: bool) -> None:
    """Return at Ctrl-C, SIGTERM or SIGHUP, or when another process stopped a server."""
    interrupted = asyncio.Event()
    for number in (signal.SIGINT, *_ending_signals()):
        asyncio.get_running_loop().add_signal_handler(number, interrupted.set)
    _print_stay(servers, as_json=as_json)
    ends = [interrupted.wait(), *(server.wait() for server in servers.values())]
    waiting = [asyncio.ensure_future(each) for each in ends]
    try:
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for each in done:
            each.result()
    finally:
        for each in waiting:
            each.cancel()


async def _down(project: Project, *, remove_data: bool) -> list[Service]:
    # Without policies: whatever the project says of its servers, they can be stopped.
    servers: Servers = {
        "postgres": PostgresServer(project.data_path),
        "redis": RedisServer(project.data_path),
    }
    stopped = [service for service, server in servers.items() if await server.down()]
    if remove_data:
        await _remove(project)
    return stopped


async def _remove(project: Project) -> None:
    """Delete what tests keep, with their server, and the data of the project's own servers."""
    await PostgresServer(project.testing_path).down()
    await remove(project.testing_path)
    shutil.rmtree(project.testing_path, ignore_errors=True)  # the templates that are files
    await remove(project.data_path)


async def _env(project: Project) -> dict[str, str]:
    servers = _servers(project)
    return _urls({name: server for name, server in servers.items() if await server.attach()})


async def _status(project: Project) -> list[Running]:
    given = [
        Running(service=service, state="given", where=_where(service, os.environ[names[0]]))
        for service, names in _given(project).items()
    ]
    own = [
        _describe(service, server, "running")
        if await server.attach()
        else Running(service=service, state="stopped")
        for service, server in _servers(project).items()
    ]
    return [*given, *own]


def _given(project: Project) -> Mapping[Service, Sequence[str]]:
    """Name the variables, by service, that have the URL of somebody else's server.

    Those of the project's own are left in a shell that was used for it before.
    """
    own = _own_servers(project)
    found: dict[Service, Sequence[str]] = {}
    for service in project.services:
        names = [name for name in URL_VARIABLES[service] if os.environ.get(name)]
        others = [name for name in names if not own[service].gave(os.environ[name])]
        if others:
            # A URL that cannot be used is refused here, before anything is started or shown.
            _where(service, os.environ[others[0]])
            found[service] = others
    return found


def _where(service: Service, url: str) -> str:
    return redis.place(client_of(url)) if service == "redis" else _shown(url)


def _shown(url: str) -> str:
    from holdfast.database import Database

    return str(Database(url).url)


def _tell_given(project: Project) -> Iterator[str]:
    """Say of each server why none is started, since the shell may be that of another project."""
    for service, names in _given(project).items():
        where = _where(service, os.environ[names[0]])
        yield (
            f"{service} is {where}, as {names[0]} says; for one of the project's own: "
            f"unset {' '.join(names)}"
        )


def _servers(project: Project, *, tcp: bool = False) -> Servers:
    """Give the servers of the project that no URL is given for."""
    given = _given(project)
    return {
        service: server
        for service, server in _own_servers(project, tcp=tcp).items()
        if service in project.services and service not in given
    }


def _own_servers(project: Project, *, tcp: bool = False) -> Servers:
    listen = LOOPBACK if tcp else None
    settings = {"cluster_name": mark(project)}
    postgres = PostgresPolicy(database=project.name, listen=listen, settings=settings)
    return {
        "postgres": PostgresServer(project.data_path, policy=postgres),
        "redis": RedisServer(project.data_path, policy=RedisPolicy(listen=listen)),
    }


def _urls(servers: Servers) -> dict[str, str]:
    urls = {}
    for server in servers.values():
        if isinstance(server, PostgresServer):
            urls["DATABASE_URL"] = server.url("app")
            urls["DATABASE_OWNER_URL"] = server.url("owner")
            urls["DATABASE_READONLY_URL"] = server.url("readonly")
        else:
            urls["REDIS_URL"] = server.url()
    return urls
