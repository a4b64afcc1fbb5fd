from dataclasses import fields
from pathlib import Path

from typer.main import get_command

from holdfast.cli.commands import app
from holdfast.settings import Project

GUIDE = (Path(__file__).parents[2] / "docs" / "guide" / "cli.md").read_text(encoding="utf-8")


def test_every_command_and_option_is_documented():
    """The guide has a row for every command, with all of its options."""
    rows = {line.split("`")[1].split()[1]: line for line in _rows() if "`holdfast " in line}

    commands = get_command(app).commands
    assert sorted(rows) == sorted(commands)
    for name, command in commands.items():
        options = {option for each in command.params for option in each.opts if option[0] == "-"}
        own = options - {"--json", "--url", "--help"}
        assert {option for option in own if option not in rows[name]} == set()


def test_every_key_of_the_project_is_documented():
    """The guide shows every key of [tool.holdfast]."""
    keys = {field.name for field in fields(Project)} - {"root"}

    assert {key for key in keys if f"\n{key} = " not in GUIDE} == set()


def _rows() -> list[str]:
    return [line for line in GUIDE.splitlines() if line.startswith("| ")]
