"""Lint, format and security lint pass, of this application by itself."""

import subprocess
import sys
from pathlib import Path

import pytest

APP = Path(__file__).parent.parent
HARMFUL = 'import pickle\n\npickle.loads(b"")\n'


def ruff(*arguments: str, code: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ruff", *arguments]
    return subprocess.run(command, cwd=APP, input=code, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [("check", "."), ("format", "--check", ".")])
def test_it_is_clean(arguments):
    """By the rules of the project, and each file has its format."""
    done = ruff(*arguments)

    assert done.returncode == 0, done.stdout + done.stderr


def test_security_is_among_the_rules():
    """What would run somebody else's bytes is refused in each of its folders."""
    for folder in {file.parent for file in (APP / "src").rglob("*.py")}:
        done = ruff("check", "--stdin-filename", f"{folder}/new.py", "-", code=HARMFUL)
        assert "S301" in done.stdout, folder
