"""The command `todo`, in this process."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from todo import cli

Command = Callable[..., tuple[object, str, str]]


@pytest.fixture
def todo(clean_environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Give a function that runs the command and returns its exit code, output and errors."""

    def run(*arguments: object) -> tuple[object, str, str]:
        clean_environment.setattr(sys, "argv", ["todo", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return ended.value.code or 0, printed.out, printed.err

    return run


@pytest.fixture
def made(todo: Command) -> Callable[..., object]:
    """Give a function that runs a command with --json and returns what it printed."""

    def run(*arguments: object) -> object:
        code, out, err = todo(*arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return run


@pytest.fixture
def file(clean_environment: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Give the file that tasks are kept in where nothing was set up."""
    return tmp_path / "share" / "todo" / "todo.db"
