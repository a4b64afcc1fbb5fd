"""Read the migrations of a project from their files; no database is needed."""

import io
from collections.abc import Iterator
from configparser import Error as ParserError
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.errors import (
    ConfigurationError,
    HoldfastError,
    MigrationError,
    MissingExtraError,
)

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import Script, ScriptDirectory


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One migration file.

    Attributes:
        revision: its id.
        down: the ids it follows; empty for the first.
        message: the first line of its docstring.
        path: the file.
        is_head: nothing follows it.
    """

    revision: str
    down: tuple[str, ...]
    message: str
    path: Path
    is_head: bool


def history(config: Path | str) -> list[Revision]:
    """List the migrations, newest first.

    Args:
        config: the alembic.ini.

    Raises:
        ConfigurationError: there is no such file, or it names no folder of migrations.
        MigrationError: the files do not fit together.
    """
    with _reading(config) as scripts:
        return [_revision(each) for each in scripts.walk_revisions()]


def head(config: Path | str) -> str:
    """Give the id of the newest migration.

    Raises:
        ConfigurationError: as for `history`.
        MigrationError: there is none, or more than one: two branches were not merged.
    """
    with _reading(config) as scripts:
        heads = scripts.get_heads()
    if len(heads) == 1:
        return heads[0]
    if not heads:
        raise MigrationError(f"{config}: there is no migration yet; write one: holdfast revision")
    raise MigrationError(
        f"{config}: there are {len(heads)} heads: {', '.join(sorted(heads))}; "
        "join them: alembic merge heads"
    )


def pending(config: Path | str, current: tuple[str, ...]) -> int:
    """Count the migrations that a database at these revisions has not had.

    Raises:
        ConfigurationError: as for `history`.
        MigrationError: the files do not fit together, or do not have one of the revisions.
    """
    with _reading(config) as scripts:
        had = {script.revision for script in scripts.get_all_current(current)} if current else set()
        return sum(script.revision not in had for script in scripts.walk_revisions())


def find_folders(config: Path | str) -> set[Path]:
    """Give the folders of env.py and of the migrations, wherever Alembic finds them.

    Raises:
        ConfigurationError: as for `history`.
        MigrationError: the files do not fit together.
    """
    with _reading(config) as scripts:
        files = {Path(script.path) for script in scripts.walk_revisions()}
        return {Path(scripts.dir), *(file.parent for file in files)}


def load_config(config: Path | str) -> "Config":
    """Read an alembic.ini; what Alembic prints goes nowhere.

    Raises:
        ConfigurationError: there is no such file, or it cannot be read.
        MissingExtraError: Alembic is not installed.
    """
    try:
        from alembic.config import Config
    except ImportError as error:
        raise MissingExtraError(
            "migrations need Alembic: pip install 'holdfast[migrate]'"
        ) from error
    path = require_config(config)
    loaded = Config(str(path), stdout=io.StringIO())
    loaded.messaging_opts = {"quiet": True}
    # Escaped, or a % in the path would begin a reference.
    here = path.absolute().parent.as_posix().replace("%", "%%")
    try:
        loaded.file_config.read_dict({"DEFAULT": {"here": here}})
    except (ParserError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{config}: it cannot be read: {type(error).__name__}"
        ) from None  # the parser's message repeats lines, and a line may be a URL with a password
    return loaded


def require_config(config: Path | str) -> Path:
    """Give the path of an alembic.ini that exists.

    Raises:
        ConfigurationError: there is no such file.
    """
    path = Path(config)
    if not path.is_file():
        raise ConfigurationError(
            f"{path}: there is no such file; it is Alembic's configuration, named by "
            "`alembic` in [tool.holdfast] of pyproject.toml; to begin, make one: alembic init "
            "migrations"
        )
    return path


@contextmanager
def _reading(config: Path | str) -> "Iterator[ScriptDirectory]":
    """Give the migrations of an alembic.ini, and turn what is wrong with them into our errors."""
    loaded = load_config(config)
    from alembic.script import ScriptDirectory

    try:
        scripts = ScriptDirectory.from_config(loaded)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # script_location may import the project's code
        raise ConfigurationError(f"{config}: {_one_line(error)}") from error
    try:
        yield scripts
    except (HoldfastError, KeyboardInterrupt):
        raise
    except BaseException as error:
        said = _one_line(error)
        raise MigrationError(f"{config}: the migrations cannot be read: {said}") from error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _revision(script: "Script") -> Revision:
    down = script.down_revision or ()
    return Revision(
        revision=script.revision,
        down=(down,) if isinstance(down, str) else tuple(down),
        message=script.doc,
        path=Path(script.path),
        is_head=script.is_head,
    )
