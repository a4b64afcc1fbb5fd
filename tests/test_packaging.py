"""What is published: a wheel that holds the library and nothing else, and works by itself."""

import asyncio
import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from email.parser import HeaderParser
from importlib.metadata import distribution
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder
from packaging.requirements import Requirement

import holdfast
from holdfast.services import remove

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SUFFIXES = {".py", ".typed", ".sql", ".sh", ".lua", ".mako", ".html", ".css"}

# What somebody has who begins: a model, its migration and a test; no conftest.py, no settings.
SHOP = {
    "pyproject.toml": '[project]\nname = "shop"\n',
    "alembic.ini": "[alembic]\nscript_location = %(here)s/migrations\nprepend_sys_path = .\n"
    "path_separator = os\n",
    "models.py": """
from sqlalchemy.orm import Mapped, mapped_column
from holdfast.models import Base

class Item(Base):
    __tablename__ = "items"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
""",
    "migrations/env.py": """
from holdfast import migrate
from models import Base
migrate.run_env(Base.metadata)
""",
    "migrations/versions/001_items.py": """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "001", None

def upgrade():
    op.create_table(
        "items", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String)
    )
""",
    "test_shop.py": """
import pytest
from models import Item

@pytest.mark.asyncio
@pytest.mark.parametrize("round", [1, 2])
async def test_an_item_is_stored(db, session, redis, round):
    async with db.begin() as writing:
        writing.add(Item(id=1, name="first"))
    assert (await session.get(Item, 1)).name == "first"
    assert await redis.set("seen", 1, ex=60, nx=True)
""",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Build the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    return Path(next(WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])))


@pytest.fixture(scope="module")
def names(wheel) -> list[str]:
    """Return the names of the files in the wheel."""
    return zipfile.ZipFile(wheel).namelist()


def test_the_wheel_holds_only_the_library(names):
    """No application, test, proof or benchmark is published."""
    assert {name.split("/")[0] for name in names} == {
        "holdfast",
        f"holdfast-{holdfast.__version__}.dist-info",
    }


def test_the_wheel_holds_every_file_of_the_library(names):
    """Queries, scripts and templates are there, and nothing that is no part of it."""
    source = ROOT / "src"
    files = {
        str(file.relative_to(source))
        for file in source.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }

    assert {name for name in names if name.startswith("holdfast/")} == files
    assert {Path(name).suffix for name in files} <= SUFFIXES
    assert "holdfast/py.typed" in files


def test_the_version_is_the_same_everywhere(wheel):
    """In the metadata, the file name, the module and pyproject.toml."""
    metadata = zipfile.ZipFile(wheel).read(f"holdfast-{holdfast.__version__}.dist-info/METADATA")
    version = HeaderParser().parsestr(metadata.decode())["Version"]

    assert version == holdfast.__version__ == PROJECT["version"]
    assert wheel.name.startswith(f"holdfast-{version}-py3-none-any")


def test_the_wheel_says_its_license_and_what_it_needs(wheel):
    """The base install is SQLAlchemy, asyncpg and what the core needs; the rest are extras."""
    metadata = zipfile.ZipFile(wheel).read(f"holdfast-{holdfast.__version__}.dist-info/METADATA")
    fields = HeaderParser().parsestr(metadata.decode())
    needed = [line for line in fields.get_all("Requires-Dist", []) if "extra ==" not in line]

    assert fields["License-Expression"] == "MIT"
    assert fields["Requires-Python"] == ">=3.11"
    assert {line.split(">")[0].split("[")[0] for line in needed} == {
        "asyncpg",
        "msgspec",
        "sqlalchemy",
        "uuid-utils",
    }


def test_everything_that_production_can_use_is_in_the_extra_all():
    """`holdfast[all]` names every other extra, but for pytest's."""
    extras = PROJECT["optional-dependencies"]
    [everything] = extras["all"]

    named = set(everything.removeprefix("holdfast[").rstrip("]").split(","))
    assert named == set(extras) - {"all", "testing"}


def test_the_wheel_works_where_only_it_is_installed(wheel, tmp_path):
    """Unpacked, it is what is imported, and opens no door to the working tree."""
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = "import holdfast.database, holdfast.services; print(holdfast.__file__)"

    result = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.stdout.strip() == str(tmp_path / "holdfast" / "__init__.py"), result.stderr


def test_a_new_project_has_its_first_tests_without_a_setting(wheel, tmp_path):
    """The wheel and what its extra `testing` names are enough for ten lines on real servers."""
    python = install(wheel, tmp_path / "venv", "holdfast[testing]", "pytest-asyncio")
    for name, content in SHOP.items():
        file = tmp_path / "shop" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    others = ("PYTEST", "PYTHON", "COVERAGE", "TEST_", "HOLDFAST", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}

    ran = subprocess.run(
        [python, "-m", "pytest", "--trace-config"],
        cwd=tmp_path / "shop",
        env=kept,
        capture_output=True,
        text=True,
        check=False,
    )

    asyncio.run(remove(tmp_path / "shop/.holdfast/testing"))
    *lines, last = ran.stdout.splitlines()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.fullmatch("=+ 2 passed in .*", last)  # and no warnings
    assert any("mode=Mode.STRICT" in line for line in lines)
    [plugin] = {line.split(" at ")[1] for line in lines if "  holdfast-" in line}
    assert Path(plugin).is_relative_to(tmp_path / "venv")


def install(wheel, folder, *wanted) -> Path:
    """Make an environment of the wheel and of what it needs, which is linked to; give its Python.

    Only that: neither the working tree nor anything else that is installed here can be imported.
    """
    venv.create(folder, symlinks=True)
    [packages] = folder.glob("lib/python*/site-packages")
    zipfile.ZipFile(wheel).extractall(packages)
    for name in needed(*map(Requirement, wanted)) - {"holdfast"}:
        found = distribution(name)
        for top in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            (packages / top).symlink_to(found.locate_file(top))
    return folder / "bin" / "python"


def needed(*wanted) -> set[str]:
    """Give the names of distributions and of all that they ask for, with the extras asked for."""
    seen, waiting = set(), list(wanted)
    while waiting:
        asked = waiting.pop()
        if (key := (asked.name.lower(), *sorted(asked.extras))) in seen:
            continue
        seen.add(key)
        for each in map(Requirement, distribution(asked.name).requires or ()):
            extras = asked.extras | {""}
            if each.marker is None or any(each.marker.evaluate({"extra": one}) for one in extras):
                waiting.append(each)
    return {name for name, *_ in seen}
