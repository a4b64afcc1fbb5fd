"""Fill any policy dataclass from the environment, and read a project's `[tool.holdfast]`.

    policy = settings.load(DatabasePolicy, prefix="SHOP_DB_")
    # SHOP_DB_STATEMENT_TIMEOUT=5, and for the policy inside it SHOP_DB_POOL_MAX_SIZE=10

Every problem is named at once, by the variable that holds it. Needs `holdfast[settings]`.
"""

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from difflib import get_close_matches
from functools import partial, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast, get_type_hints

from holdfast.errors import ConfigurationError, MissingExtraError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")

Where = Callable[[str], str]
Trail = tuple[str, ...]
Service = Literal["postgres", "redis"]

_PREFIX = re.compile(r"[A-Z][A-Z0-9_]*_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """What `[tool.holdfast]` of a pyproject.toml says, paths relative to that file.

    Attributes:
        root: the folder of the pyproject.toml.
        name: the project's name; the embedded database is called so.
        alembic: the Alembic configuration, for the commands about migrations.
        data: where the embedded servers keep their data.
        services: the servers that `holdfast up` starts when no URL is given for them.
        state: the functions that make the stores of the application, as `module:function`, for the
            commands about states. Each is called with a Database and a client of Redis.
        redis_keys: patterns of the keys in Redis that are meant to stay; tests that leave others
            without a time to live fail.
    """

    root: Path
    name: str = "app"
    alembic: Path = Path("alembic.ini")
    data: Path = Path(".holdfast")
    services: tuple[Service, ...] = ("postgres", "redis")
    redis_keys: tuple[str, ...] = ()
    state: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("alembic", "data"):
            if "\0" in str(getattr(self, name)):
                raise ConfigurationError(f"{name} has a zero byte, which no path can have")
        if self.data == Path():
            raise ConfigurationError("data is the project's own folder; give the servers their own")

    @property
    def alembic_path(self) -> Path:
        """The Alembic configuration as an absolute path."""
        return _real(self.root / self.alembic)

    @property
    def data_path(self) -> Path:
        """The data folder as an absolute path."""
        return _real(self.root / self.data)

    @property
    def testing_path(self) -> Path:
        """Where tests keep what the next run of them needs, as an absolute path."""
        return self.data_path / "testing"


def load(policy: type[T], *, prefix: str, environ: Mapping[str, str] | None = None) -> T:
    """Make a policy from the variables that begin with `prefix`; the others keep their default.

    A field `statement_timeout` is read from `<prefix>STATEMENT_TIMEOUT`, and where a field is a
    dataclass itself, its fields are read with both names: `<prefix>POOL_MAX_SIZE`. A variable with
    the prefix that names no field is an error: it is a slip of the pen that would change nothing.

    Args:
        policy: a dataclass whose fields have defaults.
        prefix: upper-case letters ending in `_`.
        environ: the variables; `os.environ` when not given.

    Raises:
        ConfigurationError: it names each variable and what is wrong with it. The value of a
            field declared with `repr=False` is never shown.
        MissingExtraError: pydantic is not installed.
    """
    if not _PREFIX.fullmatch(prefix):
        raise ConfigurationError(f"prefix is {prefix!r}; it is upper-case letters ending in _")
    variables = os.environ if environ is None else environ
    given = {
        name.removeprefix(prefix): value
        for name, value in variables.items()
        if name.startswith(prefix)
    }
    leaves = {name.upper(): leaf for name, leaf in _leaves(policy).items()}
    return _Form(policy=policy, leaves=leaves, where=prefix.__add__).fill(given)


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
            where = partial("{}: [tool.holdfast] {}".format, file)
            return _Form(policy=Project, leaves=_leaves(Project), where=where).fill(section)
    return Project(root=here)


def _real(path: Path) -> Path:
    # Path.resolve() raises RuntimeError for a link to itself; what opens the path will say it.
    return Path(os.path.realpath(path))


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Leaf:
    """One value that can be given: its way through nested policies, and whether to show it."""

    trail: Trail
    shown: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form(Generic[T]):
    """Fills a policy with named values, and says about each name what is wrong with it."""

    policy: type[T]
    leaves: Mapping[str, _Leaf]
    where: Where

    def fill(self, given: Mapping[str, Any]) -> T:
        problems = [self._unknown(name) for name in given if name not in self.leaves]
        known = {name: value for name, value in given.items() if name in self.leaves}
        while True:
            built, found = _validate(self.policy, self._nested(known))
            wrong = [(self._whole(trail), message) for trail, message in found]
            problems += [self._problem(trail, message, known) for trail, message in wrong]
            blamed = {name for each in wrong for name in self._blamed(*each, known)}
            if not blamed:
                break
            # Again without these: a policy's own check comes only after all types are right.
            known = {name: value for name, value in known.items() if name not in blamed}
        if problems or built is None:
            raise ConfigurationError("\n".join(problems))
        return built

    def _nested(self, known: Mapping[str, Any]) -> dict[str, Any]:
        nested: dict[str, Any] = {}
        for name, value in known.items():
            *above, last = self.leaves[name].trail
            place = nested
            for each in above:
                place = place.setdefault(each, {})
            place[last] = value
        return nested

    def _whole(self, trail: Trail) -> Trail:
        """Leave out which item of a list it is about: the list is what was given."""
        trails = [leaf.trail for leaf in self.leaves.values()]
        return next((each for each in trails if trail[: len(each)] == each), trail)

    def _blamed(self, trail: Trail, message: str, known: Mapping[str, Any]) -> list[str]:
        """Name what a problem is about; a policy's own check says it only in its message."""
        below = [name for name in known if self.leaves[name].trail[: len(trail)] == trail]
        exact = [name for name in below if self.leaves[name].trail == trail]
        # `timeout` is no part of a message about `statement_timeout`.
        said = set(re.findall(r"\w+", message))
        return exact or [name for name in below if self.leaves[name].trail[-1] in said]

    def _problem(self, trail: Trail, message: str, known: Mapping[str, Any]) -> str:
        blamed = self._blamed(trail, message, known)
        missing = [name for name, leaf in self.leaves.items() if leaf.trail == trail]
        names = ", ".join(map(self.where, blamed or missing or ["_".join(trail)]))
        shown = [name for name in blamed if self.leaves[name] == _Leaf(trail=trail, shown=True)]
        value = f"; it is {known[shown[0]]!r}" if shown else ""
        return self._without_secrets(f"{names}: {message}", known) + value

    def _without_secrets(self, said: str, known: Mapping[str, Any]) -> str:
        secrets = [str(value) for name, value in known.items() if not self.leaves[name].shown]
        return reduce(lambda text, secret: text.replace(secret, "***"), filter(None, secrets), said)

    def _unknown(self, name: str) -> str:
        spelled = name.upper() if name.upper() in self.leaves else name
        near = get_close_matches(spelled, self.leaves, n=1)
        # Without the file in front, which the line already begins with.
        known = [self.where(each).split()[-1] for each in near or sorted(self.leaves)]
        hint = f"did you mean {known[0]}?" if near else f"known: {', '.join(known)}"
        return f"{self.where(name)}: there is no such setting; {hint}"


def _leaves(policy: type["DataclassInstance"]) -> dict[str, _Leaf]:
    """Give the fields of a policy and of those inside it, each by its whole name."""
    hints = get_type_hints(policy)
    found: dict[str, _Leaf] = {}
    for each in fields(policy):
        kind = hints[each.name]
        if not is_dataclass(kind):
            found[each.name] = _Leaf(trail=(each.name,), shown=each.repr)
            continue
        for name, leaf in _leaves(cast("type[DataclassInstance]", kind)).items():
            inner = _Leaf(trail=(each.name, *leaf.trail), shown=each.repr and leaf.shown)
            found[f"{each.name}_{name}"] = inner
    return found


def _validate(
    policy: type[T], values: Mapping[str, Any]
) -> tuple[T | None, list[tuple[Trail, str]]]:
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
        return None, [
            (tuple(map(str, each["loc"])), each["msg"].removeprefix("Value error, "))
            for each in found
        ]
