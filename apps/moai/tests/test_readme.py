"""The README, run as a reader would, and complete; the rules of the project in this folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

from typer.main import get_command

from moai.cli.commands import app

APP = Path(__file__).parent.parent
ROOT = APP.parents[1]
README = (APP / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s#]+)\)")
# What is never committed, by what it is.
IGNORED = {
    "*.db", "*.sqlite", "*.sqlite3",
    "__pycache__/", "*.py[cod]", ".mypy_cache/", ".pytest_cache/", ".ruff_cache/",
    ".coverage", ".coverage.*", "htmlcov/",
    ".idea/", ".vscode/",
}  # fmt: skip
VIRTUAL_ENVIRONMENTS = {".venv", ".venv/"}


def test_the_readme_works_as_it_is_pasted(clean_environment, tmp_path):
    """Every command and line of code, in its order and in an empty folder."""
    command = tmp_path / "bin" / "moai"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m moai "$@"\n')
    command.chmod(0o755)
    folder = tmp_path / "empty"
    folder.mkdir()
    path = f"{command.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    script = "\n".join(
        code if language == "sh" else f"python - <<'END'\n{code}END"
        for language, code in BLOCK.findall(README)
    )

    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip

    assert ran.returncode == 0, ran.stderr
    assert {file.name for file in folder.iterdir()} >= {"moai.db", "talk.md", "more.jsonl"}
    written = (folder / "talk.md").read_text(encoding="utf-8")
    assert written.startswith("# Should answers be cached?\n")
    assert "> Only where it does not matter who asks.\n" in written
    assert "1. Whether an hour is short enough.\n" in written
    for name in ("claude", "gpt", "gemini", "mistral"):
        assert f"\n{name}: A short one, says {name}.\n" in ran.stdout
    assert re.search(r"\nconsensus +1\n", ran.stdout)


def test_every_command_is_in_the_table():
    """Each of them, and none that there is not."""
    groups = get_command(app).commands
    commands = {
        f"moai {name} {each}" if hasattr(group, "commands") else f"moai {name}"
        for name, group in groups.items()
        for each in getattr(group, "commands", [""])
    }

    assert set(re.findall(r"^\| `(moai [a-z]+(?: [a-z]+)?)", README, re.MULTILINE)) == commands


def test_every_place_is_there():
    """Links, and the files and folders of the table."""
    named = [
        *LINK.findall(README),
        *re.findall(r"^\| `((?:src|tests)[\w./]*)`", README, re.MULTILINE),
    ]

    assert len(named) > 8
    assert [each for each in named if not (APP / each).exists()] == []


def test_it_is_clean():
    """By the project's rules for code and its format."""
    for arguments in (("check", "."), ("format", "--check", ".")):
        ruff = [sys.executable, "-m", "ruff", *arguments]
        done = subprocess.run(ruff, cwd=APP, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_never_committed():
    """Databases, caches, coverage, environments and what editors leave."""
    ignored = set((ROOT / ".gitignore").read_text(encoding="utf-8").splitlines())

    assert IGNORED - ignored == set()
    assert VIRTUAL_ENVIRONMENTS & ignored
