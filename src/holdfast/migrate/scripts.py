"""Read the migrations of a project from their files; no database is needed."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.errors import ConfigurationError, MigrationError, MissingExtraError

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
    with_errors = load_config(config)
    return [_revision(each) for each in _scripts(with_errors).walk_revisions()]


def head(config: Path | str) -> str:
    """Give the id of the newest migration.

    Raises:
        ConfigurationError: as for `history`.
        MigrationError: there is none, or more than one: two branches were not merged.
    """
    heads = _scripts(load_config(config)).get_heads()
    if len(heads) == 1:
        return heads[0]
    if not heads:
        raise MigrationError(f"{config}: there is no migration yet; write one: holdfast revision")
    raise MigrationError(
        f"{config}: there are {len(heads)} heads: {', '.join(sorted(heads))}; "
        "join them: alembic merge heads"
    )


def load_config(config: Path | str) -> "Config":
    """Read an alembic.ini; what Alembic prints goes nowhere."""
    try:
        from alembic.config import Config  # noqa: PLC0415  -- 370 ms, when used
    except ImportError as error:
        raise MissingExtraError(
            "migrations need Alembic: pip install 'holdfast[migrate]'"
        ) from error
    loaded = Config(str(require_config(config)), stdout=io.StringIO())
    loaded.messaging_opts = {"quiet": True}
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
            "`alembic` in [tool.holdfast] of pyproject.toml"
        )
    return path


def _scripts(config: "Config") -> "ScriptDirectory":
    from alembic.script import ScriptDirectory  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    try:
        return ScriptDirectory.from_config(config)
    except CommandError as error:
        raise ConfigurationError(f"{config.config_file_name}: {error}") from error


def _revision(script: "Script") -> Revision:
    down = script.down_revision or ()
    return Revision(
        revision=script.revision,
        down=(down,) if isinstance(down, str) else tuple(down),
        message=script.doc,
        path=Path(script.path),
        is_head=script.is_head,
    )
