"""Make the roles and databases of a PostgreSQL that answers."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from holdfast.errors import ConfigurationError
from holdfast.services.place import Info

if TYPE_CHECKING:
    import asyncpg

ROLES = ("owner", "app", "readonly")
SUPERUSER = "postgres"  # for what only a superuser may do; no application runs as it
RESERVED = frozenset({"postgres", "template0", "template1"})  # PostgreSQL's own databases

# One at a time makes roles and databases in a server, whatever process it is in.
SETTING_UP = "SELECT pg_advisory_lock(hashtext('holdfast.services'))"


@asynccontextmanager
async def superuser(
    info: Info, database: str = SUPERUSER
) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """Connect through the socket, which only the server's user and root can get to."""
    import asyncpg  # noqa: PLC0415  -- 80 ms, in which the server starts; stopping one needs none

    connection = await asyncpg.connect(
        host=info.socket,
        port=info.port,
        user=SUPERUSER,
        database=database,
        ssl=False,
        target_session_attrs="any",
    )
    try:
        yield connection
    finally:
        await connection.close()


async def set_up(info: Info, database: str) -> None:
    """Make the roles, their passwords if there are any, and a database; may be repeated."""
    async with superuser(info) as connection:
        await connection.execute(SETTING_UP)
        if not await _exists(connection, "pg_roles WHERE rolname", ROLES[-1]):
            await _make_roles(info)
        for role, password in info.passwords.items():
            await connection.execute(f"ALTER ROLE {role} PASSWORD '{_verifier(password)}'")
        await _create(connection, database)


async def make_database(info: Info, name: str) -> None:
    """Make a database of the owner's, unless it is there."""
    async with superuser(info) as connection:
        await connection.execute(SETTING_UP)
        await _create(connection, name)


def identifier(name: str) -> str:
    """Quote the name of a database.

    Raises:
        ConfigurationError: PostgreSQL cannot have one of that name.
    """
    if not 0 < len(name.encode()) < 64 or "\0" in name:
        raise ConfigurationError(f"{name!r} is no name for a database: 1 to 63 bytes, no zero")
    if name in RESERVED:
        raise ConfigurationError(
            f"{name!r} is a database of PostgreSQL's own: choose another name; a project's is "
            "`name` in [tool.holdfast] of pyproject.toml"
        )
    return '"' + name.replace('"', '""') + '"'


async def _make_roles(info: Info) -> None:
    statements = files(__package__).joinpath("roles.sql").read_text(encoding="utf-8")
    async with superuser(info, "template1") as connection, connection.transaction():
        await connection.execute(statements)


async def _create(connection: "asyncpg.Connection[Any]", name: str) -> None:
    quoted = identifier(name)
    if not await _exists(connection, "pg_database WHERE datname", name):
        await connection.execute(f"CREATE DATABASE {quoted} OWNER owner")


async def _exists(connection: "asyncpg.Connection[Any]", where: str, name: str) -> bool:
    return bool(await connection.fetchval(f"SELECT true FROM {where} = $1", name))  # noqa: S608  -- `where` is one of two constants of this file


def _verifier(password: str) -> str:
    """Hash a password as PostgreSQL stores it, so that no log can hold the password itself."""
    salt, rounds = secrets.token_bytes(16), 4096
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    client = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    parts = [base64.b64encode(part).decode() for part in (salt, client, server)]
    return f"SCRAM-SHA-256${rounds}:{parts[0]}${parts[1]}:{parts[2]}"
