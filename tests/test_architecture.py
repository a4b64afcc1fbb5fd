"""The layers of the design, read from the imports: nothing is imported to find out.

Each rule is a function from the project's folder to a list of problems. Each runs on the project
and, to show that it can fail, on small broken trees.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# The table of docs/design.md, lowest layer first. A part imports parts of lower layers only, so
# that each can be understood, tested and used without what stands above or beside it.
LAYERS = (
    ("errors", "events"),
    (
        "urls", "retry", "pool", "models", "paging", "fastlane", "tenancy", "redis", "services",
        "settings",
    ),
    ("database",),
    ("migrate", "state", "observe"),
    ("testing", "web", "console", "transfer"),
    ("cli",),
)  # fmt: skip
LAYER = {part: number for number, parts in enumerate(LAYERS) for part in parts}

# What `pip install holdfast` brings, by import name. A part that is not in EXTRAS needs no more,
# so that the first line of somebody's service never fails on a package they did not ask for.
BASE = frozenset({"asyncpg", "greenlet", "msgspec", "sqlalchemy", "uuid_utils"})
EXTRAS = {
    "redis": {"redis"},
    "settings": {"pydantic"},
    "migrate": {"alembic"},
    "state": {"redis"},
    "testing": {"alembic", "pytest", "pytest_alembic", "redis"},
    "transfer": {"alembic"},
    "web": {"starlette"},
    "console": {"jinja2", "starlette"},
    "cli": {"alembic", "jinja2", "pydantic", "redis", "rich", "starlette", "typer"},
}

# A module of the same name is imported only when the driver is asked for.
DRIVERS = frozenset({"psycopg"})

OUTSIDE = ("apps", "proofs", "benchmarks")  # public names of the library only
# Files that are imported by themselves: tests that are taken into a module with `import *`, what
# scripts use without the rest of the part or commands beside it, and what needs an extra that the
# rest does not.
PUBLIC_FILES = frozenset(
    {
        ("holdfast", "cli", "rows"),
        ("holdfast", "models", "sqlmodel"),
        ("holdfast", "testing", "faults"),
        ("holdfast", "testing", "migrations"),
    }
)
VAGUE_FILE = re.compile(r"^(utils?|helpers?|common|misc|base_.*)$")
VAGUE_CLASS = re.compile(r"^_*(Abstract\w+|\w+Impl|\w+Manager)$")

Rule = Callable[[Path], list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One `import` or one name of a `from … import`, with its full dotted path."""

    file: Path
    line: int
    target: tuple[str, ...]
    late: bool  # inside a function, or for type checkers only: it does not run at import

    def __str__(self) -> str:
        return f"{self.file.name}:{self.line} imports {'.'.join(self.target)}"

    @property
    def part(self) -> str | None:
        """The part of the library that is imported, if one is."""
        within = len(self.target) > 1 and self.target[0] == "holdfast"
        return self.target[1] if within and not is_dunder(self.target[1]) else None


# The rules


def parts_are_known(root: Path) -> list[str]:
    """Every part of the library stands in the table of layers."""
    return [
        f"holdfast.{part} is in no layer: add it to docs/design.md and to LAYERS"
        for part in sorted({part_of(file, root) for file in library(root)} - set(LAYER))
        if not is_dunder(part)
    ]


def imports_point_down(root: Path) -> list[str]:
    """A part imports parts of lower layers only: none above it, none beside it."""
    return [
        f"{part_of(found.file, root)}: {found}, which is not in a lower layer"
        for found in library_imports(root)
        if found.part not in {None, part_of(found.file, root)}
        and level(found.part) >= level(part_of(found.file, root))
    ]


def parts_meet_by_public_names(root: Path) -> list[str]:
    """What stands outside a part imports `holdfast.<part>` and public names, nothing deeper."""
    inside = [found for found in library_imports(root) if found.part != part_of(found.file, root)]
    outside = [found for folder in OUTSIDE for found in imports_below(root / folder)]
    return [
        f"{found}, which is not public"
        for found in inside + outside
        if found.part and not is_public(found.target, root)
    ]


def library_stands_alone(root: Path) -> list[str]:
    """The library imports no application, proof, benchmark or test."""
    applications = {folder.name for folder in (root / "apps").glob("*")}
    own = applications | {"apps", "proofs", "benchmarks", "tests", "scripts", "conftest"}
    return [f"{found}" for found in library_imports(root) if found.target[0] in own]


def base_install_suffices(root: Path) -> list[str]:
    """At import a part needs the base install, or the packages of the extra that it is behind."""
    needed = packages_at_import(root)
    return [
        f"holdfast.{part} needs {package} at import, which neither the base install nor its "
        "extra has: import it where it is used"
        for part in sorted(needed)
        for package in sorted(needed[part] - BASE - EXTRAS.get(part, set()))
    ]


def layout_is_flat(root: Path) -> list[str]:
    """Files are `holdfast/part.py` or `holdfast/part/file.py`, and their names say what is in."""
    source = root / "src" / "holdfast"
    deep = [
        f"{file.relative_to(source)} is deeper than part/file.py"
        for file in library(root)
        if len(file.relative_to(source).parts) > 2
    ]
    vague = [
        f"{file.relative_to(source)}: the name does not say what is in it"
        for file in library(root)
        if VAGUE_FILE.match(file.stem)
    ]
    return deep + vague


def classes_are_named_for_what_they_are(root: Path) -> list[str]:
    """The library has no `Abstract…`, `…Impl` or `…Manager`."""
    return [
        f"{file.name}:{node.lineno} class {node.name}: name it for what it is"
        for file in library(root)
        for node in ast.walk(parse(file))
        if isinstance(node, ast.ClassDef) and VAGUE_CLASS.match(node.name)
    ]


def packages_only_export(root: Path) -> list[str]:
    """The `__init__.py` of a part holds imports and `__all__`, so that nothing hides in it."""
    files = [file for file in library(root) if file.parent.parent == root / "src" / "holdfast"]
    return [
        f"{file.parent.name}/__init__.py:{node.lineno} holds more than imports and __all__"
        for file in files
        if file.name == "__init__.py"
        for node in parse(file).body[ast.get_docstring(parse(file)) is not None :]
        if not isinstance(node, ast.Import | ast.ImportFrom) and not assigns_all(node)
    ]


RULES: tuple[Rule, ...] = (
    parts_are_known,
    imports_point_down,
    parts_meet_by_public_names,
    library_stands_alone,
    base_install_suffices,
    layout_is_flat,
    classes_are_named_for_what_they_are,
    packages_only_export,
)


# Reading the tree


def library(root: Path) -> list[Path]:
    """Return the Python files of the library."""
    return sorted((root / "src" / "holdfast").rglob("*.py"))


def library_imports(root: Path) -> list[Import]:
    """Return every import in the library."""
    return imports_below(root / "src" / "holdfast")


def imports_below(folder: Path) -> list[Import]:
    """Return every import in the Python files below a folder."""
    return [found for file in sorted(folder.rglob("*.py")) for found in imports_of(file)]


def imports_of(file: Path) -> Iterator[Import]:
    """Yield a file's imports; a relative one becomes absolute by the folders above the file."""
    late = set(late_nodes(parse(file)))
    for node in ast.walk(parse(file)):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = [*package_of(file, node.level), *filter(None, [node.module])]
            targets = [".".join([*start, alias.name]) for alias in node.names]
        else:
            continue
        for target in targets:
            path = tuple(target.split("."))
            yield Import(file=file, line=node.lineno, target=path, late=node in late)


def late_nodes(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield what does not run when the module is imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from ast.walk(node)
        elif isinstance(node, ast.If | ast.Try) and body_may_not_run(node):
            yield from (inner for child in node.body for inner in ast.walk(child))


def body_may_not_run(node: ast.If | ast.Try) -> bool:
    """Tell whether a block is for type checkers or programs, or may find its package missing."""
    if isinstance(node, ast.If):
        return any(name in ast.unparse(node.test) for name in ("TYPE_CHECKING", "__name__"))
    return any(map(catches_import_error, node.handlers))


def catches_import_error(handler: ast.ExceptHandler) -> bool:
    """Tell whether the module goes on when the package is missing."""
    caught = ast.unparse(handler.type) if handler.type else ""
    return "ImportError" in caught or "ModuleNotFoundError" in caught


def packages_at_import(root: Path) -> dict[str, set[str]]:
    """Return the third-party packages that importing each part needs, through other parts too."""
    direct: dict[str, set[str]] = {}
    parts: dict[str, set[str]] = {}
    for found in library_imports(root):
        part = part_of(found.file, root)
        direct.setdefault(part, set())
        if found.late or found.file.stem == found.target[0] in DRIVERS:
            continue
        if found.part:
            parts.setdefault(part, set()).add(found.part)
        elif found.target[0] not in {*sys.stdlib_module_names, "holdfast"}:
            direct[part].add(found.target[0])
    return {
        part: set().union(*(direct.get(p, set()) for p in reach(part, parts))) for part in direct
    }


def reach(start: str, edges: dict[str, set[str]]) -> set[str]:
    """Return what can be reached from a part over its imports, the part itself included."""
    reached, waiting = set(), [start]
    while waiting:
        part = waiting.pop()
        if part not in reached:
            reached.add(part)
            waiting.extend(edges.get(part, ()))
    return reached


def part_of(file: Path, root: Path) -> str:
    """Return the part that a file of the library belongs to."""
    return file.relative_to(root / "src" / "holdfast").with_suffix("").parts[0]


def level(part: str | None) -> int:
    """Return a part's layer; what runs the package stands above all."""
    return LAYER.get(part or "", len(LAYERS))


def is_public(target: tuple[str, ...], root: Path) -> bool:
    """Tell whether a path is a part or a public name of one, not a file inside the part."""
    if target[:3] in PUBLIC_FILES:
        return True
    folder = root / "src" / "holdfast" / target[1]
    names = [name for name in target if not is_dunder(name)]
    return (
        len(target) <= 3
        and not any(name.startswith("_") for name in names)
        and not (len(target) == 3 and is_file_of(folder, target[2]))
    )


def is_file_of(folder: Path, name: str) -> bool:
    """Tell whether a package's attribute is one of its files and not a name that it exports."""
    exported = folder / "__init__.py"
    return (folder / f"{name}.py").exists() and name not in exports(exported)


def exports(file: Path) -> set[str]:
    """Return the names that a package's `__init__.py` imports from its files."""
    if not file.exists():
        return set()
    found = [node for node in parse(file).body if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name for node in found for alias in node.names}


def package_of(file: Path, levels: int) -> list[str]:
    """Return the package that a relative import of so many dots starts from."""
    if not levels:
        return []
    package: list[str] = []
    folder = file.parent
    while (folder / "__init__.py").exists():
        package.insert(0, folder.name)
        folder = folder.parent
    return package[: len(package) - levels + 1]


def assigns_all(node: ast.stmt) -> bool:
    """Tell whether a statement is `__all__ = …`."""
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"


def is_dunder(name: str) -> bool:
    """Tell whether a name is `__like_this__`."""
    return name.startswith("__") and name.endswith("__")


@cache
def parse(file: Path) -> ast.Module:
    """Return a file's syntax tree."""
    return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))


# The tests


@pytest.mark.parametrize("rule", RULES)
def test_the_project_keeps_the_rule(rule: Rule) -> None:
    """No file of the project breaks it."""
    assert rule(ROOT) == []


BROKEN = [
    (parts_are_known, {"src/holdfast/shiny.py": ""}, "holdfast.shiny is in no layer"),
    (
        imports_point_down,
        {"src/holdfast/urls.py": "def f():\n    from holdfast.database import Database\n"},
        "urls.py:2 imports holdfast.database.Database",
    ),
    (
        imports_point_down,
        {"src/holdfast/urls.py": "from . import pool\n", "src/holdfast/__init__.py": ""},
        "urls.py:1 imports holdfast.pool",
    ),
    (
        imports_point_down,
        {
            "src/holdfast/__init__.py": "",
            "src/holdfast/pool/__init__.py": "",
            "src/holdfast/pool/queue.py": "from ..models import Base\n",
        },
        "queue.py:1 imports holdfast.models.Base",
    ),
    (
        parts_meet_by_public_names,
        {"src/holdfast/database.py": "from holdfast.urls import _parse\n"},
        "holdfast.urls._parse, which is not public",
    ),
    (
        parts_meet_by_public_names,
        {"apps/shop/src/shop/db.py": "import holdfast._version\n"},
        "holdfast._version, which is not public",
    ),
    (
        parts_meet_by_public_names,
        {"proofs/lost.py": "from holdfast.pool.queue import Queue\n"},
        "holdfast.pool.queue.Queue, which is not public",
    ),
    (
        parts_meet_by_public_names,
        {
            "src/holdfast/pool/__init__.py": "",
            "src/holdfast/pool/queue.py": "",
            "benchmarks/rows.py": "from holdfast.pool import queue\n",
        },
        "holdfast.pool.queue, which is not public",
    ),
    (
        library_stands_alone,
        {"src/holdfast/cli.py": "import shop.db\n", "apps/shop/src/shop/db.py": ""},
        "cli.py:1 imports shop.db",
    ),
    (
        base_install_suffices,
        {"src/holdfast/models.py": "import pydantic\n"},
        "holdfast.models needs pydantic",
    ),
    (
        base_install_suffices,
        {
            "src/holdfast/redis.py": "import redis.asyncio\n",
            "src/holdfast/database.py": "from holdfast.redis import Client\n",
        },
        "holdfast.database needs redis",
    ),
    (layout_is_flat, {"src/holdfast/pool/queue/fifo.py": ""}, "deeper than part/file.py"),
    (layout_is_flat, {"src/holdfast/pool/utils.py": ""}, "pool/utils.py: the name"),
    (
        classes_are_named_for_what_they_are,
        {"src/holdfast/pool.py": "class PoolManager: ...\n"},
        "class PoolManager",
    ),
    (
        packages_only_export,
        {"src/holdfast/pool/__init__.py": '"""Doc."""\n__all__ = []\nopen = connect()\n'},
        "pool/__init__.py:3",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "files", "problem"), BROKEN)
def test_the_rule_finds_what_breaks_it(
    rule: Rule, files: dict[str, str], problem: str, tmp_path: Path
) -> None:
    """A tree with one fault gives one problem that names it."""
    for name, text in files.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    [found] = rule(tmp_path)

    assert problem in found


def test_imports_that_do_not_run_at_import_may_need_more(tmp_path: Path) -> None:
    """A late import, one for type checkers, one that may fail and a driver's own need no extra."""
    driver = tmp_path / "src/holdfast/database/psycopg.py"
    driver.parent.mkdir(parents=True)
    driver.write_text("import psycopg\n")
    file = tmp_path / "src/holdfast/models.py"
    file.write_text(
        "if TYPE_CHECKING:\n    import pydantic\n"
        "def f():\n    import alembic\n"
        "try:\n    import uuid7\nexcept ImportError:\n    import uuid_utils\n"
    )

    assert base_install_suffices(tmp_path) == []


BLOCK_EXTRAS = """
import importlib, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {extras!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
for part in {parts!r}:
    importlib.import_module("holdfast." + part)
"""


def test_parts_outside_the_extras_import_with_the_base_install() -> None:
    """Where no extra is installed, every part that is behind none imports."""
    extras = set().union(*EXTRAS.values()) | {"aiosqlite", "psycopg", "pydantic_settings"}
    built = {part_of(file, ROOT) for file in library(ROOT)} & set(LAYER)
    parts = sorted(built - set(EXTRAS))
    code = BLOCK_EXTRAS.format(extras=extras, parts=parts)

    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )

    assert result.stderr == ""
    assert result.returncode == 0
