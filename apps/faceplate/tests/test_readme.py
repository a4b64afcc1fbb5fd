"""The quick start of the README and the example of docs/messages.md, run as a reader would."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

APP = Path(__file__).parent.parent
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def script_of(page):
    """Give the shell script that does what a page shows."""
    blocks = BLOCK.findall((APP / page).read_text(encoding="utf-8"))
    return "\n".join(
        code if language == "sh" else f"python - <<'END'\n{code}END" for language, code in blocks
    )


def environment(folder):
    """Give an environment in which `faceplate` is this application's, installed or not."""
    environ = dict(os.environ)
    command = folder / "bin" / "faceplate"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m faceplate "$@"\n')
    command.chmod(0o755)
    return environ | {"PATH": f"{command.parent}:{Path(sys.executable).parent}:{environ['PATH']}"}


def run(script, folder, environ):
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder, env=environ, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


def test_quick_start(tmp_path, clean_environment):
    """Every command and line of code of the quick start works, in its order."""
    copy = tmp_path / "faceplate"
    shutil.copytree(APP, copy, ignore=shutil.ignore_patterns(".holdfast", "tests", "__pycache__"))
    environ = environment(tmp_path)
    try:
        ran = run(script_of("README.md"), copy, environ)
    finally:
        # Also after a failure: servers that were detached would outlive the test, and so would
        # their data, which root's servers keep outside of a folder that only root may enter.
        left = run("holdfast down --remove-data", copy, environ)

    assert ran.returncode == 0, ran.stderr
    assert left.returncode == 0, left.stderr
    assert "is at 001: nothing to migrate" in ran.stdout
    assert "oidc|ann" in ran.stdout
    for said in ("user: Scan the host.", "tool: [{'content': '3 ports are open'"):
        assert said in ran.stdout
    assert '"name": "scan"' in ran.stdout


def test_the_example_of_the_messages(on_clone, tmp_path):
    """The page's example works on an empty database."""
    ran = run(script_of("docs/messages.md"), tmp_path, environment(tmp_path))

    assert ran.returncode == 0, ran.stderr
    assert [line.split()[0] for line in ran.stdout.splitlines()] == ["user", "assistant", "tool"]
