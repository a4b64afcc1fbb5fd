"""Fill any policy dataclass from the environment, and read a project's `[tool.holdfast]`.

    policy = settings.load(DatabasePolicy, prefix="SHOP_DB_")   # SHOP_DB_STATEMENT_TIMEOUT=5

Every problem is named at once, by the variable that holds it. Needs `holdfast[settings]`.
"""

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from holdfast.errors import ConfigurationError, MissingExtraError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")

Where = Callable[[str], str]
Service = Literal["postgres", "redis"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """What `[tool.holdfast]` of a pyproject.toml says, paths relative to that file.

    Attributes:
        root: the folder of the pyproject.toml.
        name: the project's name; the embedded database is called so.
        alembic: the Alembic configuration, for the commands about migrations.
        data: where the embedded servers keep their data.
        services: the servers that `holdfast up` starts when no URL is given for them.
    """

    root: Path
    name: str = "app"
    alembic: Path = Path("alembic.ini")
    data: Path = Path(".holdfast")
    services: tuple[Service, ...] = ("postgres", "redis")

    @property
    def alembic_path(self) -> Path:
        """The Alembic configuration as an absolute path."""
        return (self.root / self.alembic).resolve()

    @property
    def data_path(self) -> Path:
        """The data folder as an absolute path."""
        return (self.root / self.data).resolve()


def load(policy: type[T], *, prefix: str, environ: Mapping[str, str] | None = None) -> T:
    """Make a policy from the variables that begin with `prefix`; the others keep their default.

    A field `statement_timeout` is read from `<prefix>STATEMENT_TIMEOUT`. A variable with the
    prefix that names no field is an error: it is a slip of the pen that would change nothing.

    Args:
        policy: a dataclass whose fields have defaults.
        prefix: upper-case letters ending in `_`.
        environ: the variables; `os.environ` when not given.

    Raises:
        ConfigurationError: it names each variable and what is wrong with it. The value of a
            field declared with `repr=False` is never shown.
        MissingExtraError: pydantic is not installed.
    """
    variables = os.environ if environ is None else environ
    values = {
        name.removeprefix(prefix).lower(): value
        for name, value in variables.items()
        if name.startswith(prefix)
    }
    return _build(policy, values, lambda field: prefix + field.upper())


def find_project(start: Path | None = None) -> Project:
    """Read the nearest pyproject.toml that has `[tool.holdfast]`, upward from `start`.

    Without one, the defaults hold for the folder `start` (the current one when not given).

    Raises:
        ConfigurationError: the file is not TOML, or a key is unknown or has a wrong value.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        file = folder / "pyproject.toml"
        section = _section(file) if file.is_file() else None
        if section is not None:
            return _build(Project, section, partial("{}: [tool.holdfast] {}".format, file))
    return Project(root=here)


def _section(file: Path) -> dict[str, Any] | None:
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigurationError(f"{file}: it cannot be read: {error}") from error
    tool = _table(document, "tool", file)
    if "holdfast" not in tool:
        return None
    section = _table(tool, "holdfast", file)
    if "root" in section:
        raise ConfigurationError(f"{file}: [tool.holdfast] root: it is the folder of this file")
    name = _table(document, "project", file).get("name", "app")
    return {"name": name, **section, "root": file.parent}


def _table(parent: Mapping[str, Any], name: str, file: Path) -> dict[str, Any]:
    found = parent.get(name, {})
    if not isinstance(found, dict):
        raise ConfigurationError(f"{file}: {name} is a table, not {found!r}")
    return found


def _build(policy: type[T], values: Mapping[str, Any], where: Where) -> T:
    known = {field.name: field for field in fields(policy)}
    problems = [_unknown(key, known, where) for key in values if key not in known]
    wanted = {key: value for key, value in values.items() if key in known}
    built, wrong = _validate(policy, wanted)
    for key, message in wrong:
        shown = key in known and known[key].repr and key in wanted
        got = f"; it is {wanted[key]!r}" if shown else ""
        problems.append(f"{where(key)}: {message}{got}")
    if problems or built is None:
        raise ConfigurationError("\n".join(problems))
    return built


def _unknown(key: str, known: Mapping[str, object], where: Where) -> str:
    near = get_close_matches(key, known, n=1)
    # Without the file in front, which the line already begins with.
    hint = (
        f"did you mean {where(near[0]).split()[-1]}?"
        if near
        else f"known: {', '.join(sorted(known))}"
    )
    return f"{where(key)}: there is no such setting; {hint}"


def _validate(policy: type[T], values: Mapping[str, Any]) -> tuple[T | None, list[tuple[str, str]]]:
    try:
        from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415  -- 100 ms, when used
    except ImportError as error:
        raise MissingExtraError(
            "settings need pydantic: pip install 'holdfast[settings]'"
        ) from error
    try:
        return TypeAdapter(policy).validate_python(dict(values)), []
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        return None, [(str(each["loc"][0]) if each["loc"] else "", each["msg"]) for each in found]
