"""What is published: a wheel that holds the library and nothing else, and works by itself."""

import subprocess
import sys
import tomllib
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

import holdfast

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SUFFIXES = {".py", ".typed", ".sql", ".sh", ".lua", ".mako", ".html", ".css"}


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
        "sqlalchemy",
        "uuid-utils",
    }


def test_everything_that_can_be_chosen_is_in_the_extra_all():
    """`holdfast[all]` names every other extra."""
    extras = PROJECT["optional-dependencies"]
    [everything] = extras["all"]

    assert set(everything.removeprefix("holdfast[").rstrip("]").split(",")) == set(extras) - {"all"}


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
