"""The quick start of the README, run as a reader would; its tables and links are true."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from typer.main import get_command

from todo.cli.commands import app

APP = Path(__file__).parent.parent
README = (APP / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s#]+)(?:#[^)]*)?\)")
PLACE = re.compile(r"^\| `((?:src|alembic|tests)[\w/.]*)`", re.MULTILINE)


def script() -> str:
    """Give the shell script that does what the page shows."""
    return "\n".join(
        code if language == "sh" else f"python - <<'END'\n{code}END"
        for language, code in BLOCK.findall(README)
    )


def environment(folder: Path) -> dict[str, str]:
    """Give an environment in which `todo` is this application's, installed or not."""
    command = folder / "bin" / "todo"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m todo "$@"\n')
    command.chmod(0o755)
    path = f"{command.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path}


def run(script: str, folder: Path, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder, env=environ, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_quick_start(tmp_path, clean_environment):
    """Every command and line of code of the quick start works, in its order."""
    copy = tmp_path / "todo"
    shutil.copytree(APP, copy, ignore=shutil.ignore_patterns(".holdfast", "tests", "__pycache__"))
    environ = environment(tmp_path)
    try:
        ran = run(script(), copy, environ)
    finally:
        # Also after a failure: servers that were detached would outlive the test.
        left = run("holdfast down --remove-data", copy, environ)

    assert ran.returncode == 0, ran.stderr
    assert left.returncode == 0, left.stderr
    assert re.search(r"^[0-9a-f]{8} +completed +Buy oat milk ", ran.stdout, re.MULTILINE)
    assert "is at 7d0c5be1f2a4: nothing to migrate\n" in ran.stdout
    assert "pending: Pay the rent\n" in ran.stdout
    assert (tmp_path / "share" / "todo" / "todo.db").exists()


def test_every_command_is_on_the_page():
    """And none that there is not."""
    listed = re.findall(r"^\| `todo ([a-z]+)", README, re.MULTILINE)

    assert sorted(listed) == sorted(get_command(app).commands)


def test_what_the_page_names_is_there():
    """Folders, files and links."""
    places = PLACE.findall(README)

    assert len(places) == 7
    for place in [*places, *LINK.findall(README)]:
        assert (APP / place).exists(), place
