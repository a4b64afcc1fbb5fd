"""Tell that nothing is to be migrated without Alembic, whose import takes most of such a call."""

import ast
import hashlib
import os
import re
from collections.abc import Iterator
from configparser import ConfigParser, Error
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from holdfast.errors import ConfigurationError
from holdfast.migrate.scripts import find_folders, require_config

if TYPE_CHECKING:
    from holdfast.database import Database

_VERSIONS = "SELECT version_num FROM alembic_version"
# What a migration says of its place, each in an assignment of its own.
_NEEDED = frozenset({"revision", "down_revision"})
# What only Alembic understands; a folder that uses one of these is left to it.
_BEYOND = ("depends_on", "branch_labels")
# The version table is then in a schema that only the models know.
_SCHEMA = re.compile(r"\bschema\s*=")


async def find_current(db: "Database", config: Path | str) -> tuple[str, ...] | None:
    """Give the database's revisions when they are the newest of the files.

    None leaves the question to Alembic: something differs, or is out of the ordinary.
    """
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError

    heads = _read_heads(Path(config))
    if heads is None:
        return None
    try:
        async with db.read() as session:
            found = await session.scalars(text(_VERSIONS))
            return heads if tuple(found) == heads else None
    except DBAPIError:
        return None


async def find_current_by_driver(url: str, config: Path | str) -> tuple[str, ...] | None:
    """Ask the same with asyncpg alone."""
    import asyncpg

    heads = _read_heads(Path(config))
    if heads is None:
        return None
    try:
        connection = await asyncpg.connect(url)
    except (OSError, asyncpg.PostgresError):
        return None
    try:
        found = await connection.fetch(_VERSIONS)
    except asyncpg.PostgresError:
        return None
    finally:
        await connection.close()
    return heads if tuple(each[0] for each in found) == heads else None


def fingerprint(config: Path | str) -> str:
    """Give what changes when a migration does: a hash of every file that belongs to them.

    That is the alembic.ini, and what is below the folders of env.py and of the migrations.

    Raises:
        ConfigurationError: the alembic.ini or a file cannot be read.
        MigrationError: where Alembic has to find the folders: the migrations do not fit together.
    """
    config = require_config(config)
    try:
        versions = _find_versions(config)
        folders = {versions.parent} if versions else find_folders(config)
        files = {file for folder in folders for file in folder.rglob("*") if _is_source(file)}
        parts = [(os.path.relpath(file, config.parent), file) for file in (config, *files)]
        contents = [(name.encode(), file.read_bytes()) for name, file in sorted(parts)]
    except (OSError, KeyError, Error) as error:
        raise ConfigurationError(f"{config}: it cannot be read: {error}") from error
    found = hashlib.sha256()
    for part in (piece for pair in contents for piece in pair):
        found.update(len(part).to_bytes(8) + part)
    return found.hexdigest()


def read_place(url: str) -> str:
    """Say where a URL leads to, as `DatabaseUrl.place` does."""
    parts = urlsplit(url)
    host = parse_qs(parts.query).get("host", [parts.netloc.rpartition("@")[2]])[0]
    return f"{host}{parts.path}"


def _read_heads(config: Path) -> tuple[str, ...] | None:
    try:
        folder = _find_versions(config)
        files = [path for path in folder.glob("*.py") if path.stem != "__init__"] if folder else []
        scripts = [_read_script(path) for path in files]
    except (OSError, ValueError, KeyError, SyntaxError, Error):
        return None
    except SystemError:  # of Python 3.11, where two threads parse at once
        return None
    if any(script.get(name) for script in scripts for name in _BEYOND):
        return None
    followed = {down for script in scripts for down in _names(script.get("down_revision"))}
    revisions = {name for script in scripts for name in _names(script.get("revision"))}
    heads = tuple(revisions - followed)
    return heads if len(heads) == 1 else None


def _find_versions(config: Path) -> Path | None:
    # Escaped, as in scripts.py.
    here = str(config.absolute().parent).replace("%", "%%")
    parser = ConfigParser(defaults={"here": here})
    parser.read(config, encoding="utf-8")
    section = parser["alembic"]
    # A location with a colon is inside a package.
    location = section.get("script_location", "")
    if section.get("version_locations") or not location or ":" in location:
        return None
    return Path(location).absolute() / "versions"


def _read_script(path: Path) -> dict[str, object]:
    """Read the names that a migration assigns literals to, without running it."""
    source = path.read_text(encoding="utf-8")
    if _SCHEMA.search(source):
        raise ValueError(f"{path} names a schema")
    tree = ast.parse(source)
    script = {
        name: ast.literal_eval(value)
        for name, value in _assignments(tree)
        if name in {*_NEEDED, *_BEYOND}
    }
    if not script.keys() >= _NEEDED:
        raise ValueError(f"{path} gives its revisions in a way of its own")
    return script


def _assignments(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield name, value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, value


def _is_source(file: Path) -> bool:
    return file.is_file() and file.suffix != ".pyc"


def _names(value: object) -> tuple[str, ...]:
    if isinstance(value, (list, tuple)):
        return tuple(map(str, value))
    return () if value is None else (str(value),)
