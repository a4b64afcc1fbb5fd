"""`[tool.holdfast]`: found upward, checked whole."""

from pathlib import Path

import pytest

from holdfast.errors import ConfigurationError
from holdfast.settings import Project, find_project


def write(folder: Path, text: str) -> Path:
    file = folder / "pyproject.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_without_a_file_the_defaults_hold(tmp_path):
    """A folder without a project is one with the defaults."""
    assert find_project(tmp_path) == Project(root=tmp_path)


def test_keys_are_relative_to_the_file(tmp_path):
    """Paths belong to the folder of the pyproject.toml, not to where the command runs."""
    write(tmp_path, '[project]\nname = "shop"\n[tool.holdfast]\nalembic = "db/alembic.ini"\n')
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)

    project = find_project(deep)

    assert project.name == "shop"
    assert project.alembic_path == tmp_path / "db" / "alembic.ini"
    assert project.data_path == tmp_path / ".holdfast"


def test_the_nearest_section_counts(tmp_path):
    """A pyproject.toml without the section is passed over, and the nearest with it is taken."""
    write(tmp_path, "[tool.holdfast]\n")
    near = tmp_path / "near"
    near.mkdir()
    write(near, '[project]\nname = "near"\n')

    assert find_project(near).root == tmp_path
    write(near, '[project]\nname = "near"\n[tool.holdfast]\nname = "mine"\n')
    assert find_project(near) == Project(root=near, name="mine")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[tool.holdfast\n", "it cannot be read"),
        ("[tool]\nholdfast = 3\n", "holdfast is a table, not 3"),
        ("tool = 3\n", "tool is a table, not 3"),
        ("[tool.holdfast]\nroot = '/'\n", "root: it is the folder of this file"),
        ("[tool.holdfast]\nservises = []\n", "servises: there is no such setting"),
        ("[tool.holdfast]\nservices = ['mysql']\n", "services: "),
        ("[tool.holdfast]\nservices = 'postgres'\n", "services: "),
        ("[tool.holdfast]\nalembic = 3\n", "alembic: "),
        ("[tool.holdfast]\nname = []\n", "name: "),
        ("[tool.holdfast]\ndata = ''\n", "data is the project's own folder"),
        ("[tool.holdfast]\ndata = '.'\n", "data is the project's own folder"),
        ('[tool.holdfast]\ndata = "a\\u0000b"\n', "data has a zero byte"),
        ('[tool.holdfast]\nalembic = "a\\u0000b"\n', "alembic has a zero byte"),
        ("project = 3\n[tool.holdfast]\n", "project is a table, not 3"),
        ("[tool.holdfast]\n[project]\nname = 3\n", "name: "),
    ],
)
def test_a_broken_section_is_one_error(tmp_path, text, words):
    """What is wrong is said with file and key."""
    file = write(tmp_path, text)

    with pytest.raises(ConfigurationError) as caught:
        find_project(tmp_path)

    assert str(caught.value).startswith(f"{file}: ")
    assert words in str(caught.value)


def test_a_file_that_is_no_text(tmp_path):
    """A file that is not UTF-8 is named."""
    (tmp_path / "pyproject.toml").write_bytes(b"\xff\xfe")

    with pytest.raises(ConfigurationError, match="it cannot be read"):
        find_project(tmp_path)


def test_a_folder_of_that_name_is_passed_over(tmp_path):
    """A folder called pyproject.toml is no file."""
    (tmp_path / "pyproject.toml").mkdir()

    assert find_project(tmp_path).root == tmp_path
