"""The tool servers that a user has set up: one for each name, which can be switched off."""

import uuid
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from faceplate.errors import FaceplateError, NotFoundError, TakenError
from faceplate.models import MCPConfig
from faceplate.services.inputs import require_name, show
from faceplate.services.refusals import refusing
from faceplate.values import checked_object

LONGEST_NAME = 100


async def create_config(
    session: AsyncSession,
    user_id: uuid.UUID,
    name: str,
    config: dict[str, Any],
    *,
    enabled: bool = True,
) -> MCPConfig:
    """Store how to reach a tool server.

    Args:
        session: the caller commits.
        user_id: whose it is.
        name: 1 to 100 printable characters, once for a user.
        config: a JSON object.
        enabled: whether it is used.

    Raises:
        InvalidInputError: the name or the configuration is none; everything that cannot be kept
            in it is named. Nothing is written.
        NotFoundError: there is no such user. The transaction has failed.
        TakenError: the user has one of that name. The transaction has failed.
    """
    require_name("name", name, LONGEST_NAME)
    stored = MCPConfig(user_id=user_id, name=name, config=config, enabled=enabled)
    session.add(stored)
    refused: dict[str, FaceplateError] = {
        "fk_mcp_configs_user_id_users": NotFoundError(f"there is no user {user_id}"),
        "uq_mcp_configs_user_id_name": TakenError(f"the user has a configuration {show(name)}"),
    }
    with refusing(refused):
        await session.flush()
    return stored


async def get_config(session: AsyncSession, config_id: uuid.UUID) -> MCPConfig:
    """Give a configuration.

    Raises:
        NotFoundError: there is no such configuration.
    """
    found = await session.get(MCPConfig, config_id)
    if found is None:
        raise NotFoundError(f"there is no configuration {config_id}")
    return found


async def list_configs(
    session: AsyncSession, user_id: uuid.UUID, *, enabled: bool | None = None
) -> list[MCPConfig]:
    """Give a user's configurations by name: all of them, or only those that are on or off."""
    statement = select(MCPConfig).where(MCPConfig.user_id == user_id).order_by(MCPConfig.name)
    if enabled is not None:
        statement = statement.where(MCPConfig.enabled.is_(enabled))
    return list(await session.scalars(statement))


async def change_config(
    session: AsyncSession,
    config_id: uuid.UUID,
    *,
    config: dict[str, Any] | None = None,
    enabled: bool | None = None,
) -> MCPConfig:
    """Replace the configuration, switch it on or off, or both; None leaves it as it is.

    Raises:
        InvalidInputError: the configuration is none. Nothing is written.
        NotFoundError: there is no such configuration.
    """
    if config is not None:
        checked_object("config", config)
    stored = await get_config(session, config_id)
    stored.config = stored.config if config is None else config
    stored.enabled = stored.enabled if enabled is None else enabled
    await session.flush()
    return stored


async def delete_config(session: AsyncSession, config_id: uuid.UUID) -> None:
    """Delete a configuration.

    Raises:
        NotFoundError: there is no such configuration.
    """
    statement = delete(MCPConfig).where(MCPConfig.id == config_id).returning(MCPConfig.id)
    if await session.scalar(statement) is None:
        raise NotFoundError(f"there is no configuration {config_id}")
