"""`faceplate configs`: create, list, show, enable, disable and delete."""

import uuid
from typing import Annotated, Any

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from faceplate.cli.hiding import hide_secrets
from faceplate.cli.reading import read_json
from faceplate.cli.running import ask, do, require_user
from faceplate.cli.users import Named
from faceplate.models import MCPConfig
from faceplate.services.mcp_configs import (
    change_config,
    create_config,
    delete_config,
    get_config,
    list_configs,
)
from holdfast.cli.rows import AsJson, columns_of, print_json, print_row, print_rows

Id = Annotated[uuid.UUID, typer.Argument(metavar="CONFIG", help="An id.")]
WithSecrets = Annotated[
    bool, typer.Option("--show-secrets", help="Print tokens and passwords as they are.")
]

app = typer.Typer(no_args_is_help=True, help="The tool servers (MCP) of users.")


@app.command(
    epilog="For example: faceplate configs create ann@example.com scanner "
    '--config \'{"command": "scanner", "args": ["--stdio"]}\''
)
def create(
    user: Named,
    name: Annotated[str, typer.Argument(help="What it is called, once for a user.")],
    *,
    config: Annotated[str, typer.Option(help="A JSON object; `-` reads the standard input.")],
    disabled: Annotated[bool, typer.Option("--disabled", help="Not to be used yet.")] = False,
    as_json: AsJson = False,
) -> None:
    """Store how to reach a tool server and print it, without what may be secret."""
    given = read_json("--config", config)
    _print(do(_create, user, name, given, enabled=not disabled), as_json=as_json)


@app.command("list", epilog="For example: faceplate configs list ann@example.com --json")
def list_(user: Named, *, as_json: AsJson = False) -> None:
    """List a user's tool servers by name, without what may be secret."""
    rows = [_shown(each) for each in ask(_list, user)]
    if as_json:
        print_json(rows)
    else:
        print_rows(rows, ("id", "name", "enabled", "config", "updated_at"))


@app.command(epilog="For example: faceplate configs show CONFIG")
def show(config: Id, *, show_secrets: WithSecrets = False, as_json: AsJson = False) -> None:
    """Show one tool server, without what may be secret unless it is asked for."""
    _print(ask(get_config, config), show_secrets=show_secrets, as_json=as_json)


@app.command(epilog="For example: faceplate configs enable CONFIG")
def enable(config: Id, *, as_json: AsJson = False) -> None:
    """Let a tool server be used."""
    _print(do(change_config, config, enabled=True), as_json=as_json)


@app.command(epilog="For example: faceplate configs disable CONFIG")
def disable(config: Id, *, as_json: AsJson = False) -> None:
    """Let a tool server be used no more, and keep it."""
    _print(do(change_config, config, enabled=False), as_json=as_json)


@app.command(epilog="For example: faceplate configs delete CONFIG")
def delete(config: Id, *, as_json: AsJson = False) -> None:
    """Delete a tool server."""
    do(delete_config, config)
    print_row({"deleted": config}, as_json=as_json)


async def _create(
    session: AsyncSession, named: str, name: str, config: dict[str, Any], *, enabled: bool
) -> MCPConfig:
    user = await require_user(session, named)
    return await create_config(session, user.id, name, config, enabled=enabled)


async def _list(session: AsyncSession, named: str) -> list[MCPConfig]:
    return await list_configs(session, (await require_user(session, named)).id)


def _print(config: MCPConfig, *, as_json: bool, show_secrets: bool = False) -> None:
    print_row(columns_of(config) if show_secrets else _shown(config), as_json=as_json)


def _shown(config: MCPConfig) -> dict[str, object]:
    return columns_of(config) | {"config": hide_secrets(config.config)}
