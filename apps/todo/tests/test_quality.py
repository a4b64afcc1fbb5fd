"""Types, lint and secrets: what is held of every file."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

APP = Path(__file__).parent.parent
ROOT = APP.parents[1]
FOLDERS = ("apps", "benchmarks", "docs", "proofs", "scripts", "src", "tests")
TEXTS = {"", ".cfg", ".example", ".ini", ".lua", ".mako", ".md", ".py", ".sh", ".sql", ".toml",
         ".txt", ".yml"}  # fmt: skip
# What gives access by itself, wherever it stands: keys, and tokens by how their makers begin them.
TOKENS = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\n"),
    re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
    re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36}\b"),
    re.compile(r"\bnpg_[A-Za-z0-9]{10,}\b"),  # Neon's passwords
    re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}"),
    re.compile(r"\bsk-[A-Za-z0-9_-]{20,}"),
)
# A password in a URL, but for what a program fills in.
IN_URL = re.compile(r"://[^\s:/@\"'`]+:([^\s:/@\"'`{}]+)@")
MADE_UP = {"***", "hunter2", "pass", "password", "secret"}


def run(*words: str, code: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT, input=code, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_types():
    """`mypy --strict` has nothing to say."""
    done = run("mypy", "--strict", "--follow-imports=silent", "apps/todo/src/todo")

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [("check",), ("format", "--check")])
def test_lint(arguments):
    """By the rules of the project, and each file has its format."""
    done = run("ruff", *arguments, "apps/todo")

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_hold_in_its_folders():
    """What would run somebody else's bytes is refused in each of them."""
    for folder in {file.parent for file in (APP / "src").rglob("*.py")}:
        harmful = 'import pickle\n\npickle.loads(b"")\n'
        done = run("ruff", "check", "--stdin-filename", f"{folder}/new.py", "-", code=harmful)
        assert "S301" in done.stdout, folder


def texts(folder: Path) -> Iterator[Path]:
    """Give the files of a folder that people write; a `.env` is never committed."""
    for file in folder.rglob("*"):
        inside = file.relative_to(folder).parts
        hidden = any(part.startswith(".") or part == "__pycache__" for part in inside[:-1])
        if not hidden and file.name != ".env" and file.suffix in TEXTS and file.is_file():
            yield file


def secrets(file: Path, *, urls: bool) -> list[str]:
    """Give what looks like a secret in a file."""
    text = file.read_text(encoding="utf-8")
    found = [match[0] for token in TOKENS for match in token.finditer(text)]
    if urls:
        found += [password for password in IN_URL.findall(text) if password not in MADE_UP]
    return found


def test_no_credentials():
    """Neither in this application nor, as far as tokens tell, anywhere in the project."""
    files = [file for name in FOLDERS for file in texts(ROOT / name)]
    found = {file: secrets(file, urls=APP in file.parents) for file in files}

    assert len(files) > 300
    assert {str(file.relative_to(ROOT)): each for file, each in found.items() if each} == {}


@pytest.mark.parametrize(
    "secret",
    [
        "-----BEGIN RSA " + "PRIVATE KEY-----\n",
        "AKIA" + "ABCDEFGHIJKLMNOP",
        "ghp_" + "a" * 36,
        "npg_" + "aB3dE5gH7jK9",
        "xoxb-" + "1234567890-ab",
        "sk-" + "a1" * 12,
        "postgresql://ann:" + "Tr0ub4dor@db.example.com/todo",
    ],
)
def test_credentials_would_be_found(tmp_path, secret):
    """Each kind of them, in a file of any of these kinds."""
    file = tmp_path / "settings.py"
    file.write_text(f'A = "{secret}"\n')

    assert [*texts(tmp_path)] == [file]
    assert secrets(file, urls=True)
