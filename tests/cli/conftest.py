"""A small project with one migration, and the command line as its users call it."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from holdfast.cli import main
from holdfast.services import PostgresServer, RedisServer, remove

FILES = {
    "pyproject.toml": '[project]\nname = "shop"\n[tool.holdfast]\n',
    "alembic.ini": (
        "[alembic]\nscript_location = %(here)s/migrations\npath_separator = os\n"
        "prepend_sys_path = %(here)s\n"
    ),
    "models.py": (
        "from holdfast.models import NAMING_CONVENTION, Timestamps, UUIDKey\n"
        "from sqlalchemy import MetaData\n"
        "from sqlalchemy.orm import DeclarativeBase, Mapped\n\n\n"
        "class Base(DeclarativeBase):\n"
        "    metadata = MetaData(naming_convention=NAMING_CONVENTION)\n\n\n"
        "class Item(UUIDKey, Timestamps, Base):\n"
        '    __tablename__ = "items"\n'
        "    name: Mapped[str]\n"
    ),
    "migrations/env.py": (
        "from holdfast import migrate\nfrom models import Base\nmigrate.run_env(Base.metadata)\n"
    ),
    "migrations/script.py.mako": (
        '"""${message}"""\n\nimport sqlalchemy as sa\nfrom alembic import op\n'
        "${imports if imports else ''}\n"
        "revision = ${repr(up_revision)}\ndown_revision = ${repr(down_revision)}\n"
        "branch_labels = ${repr(branch_labels)}\ndepends_on = ${repr(depends_on)}\n\n\n"
        "def upgrade() -> None:\n    ${upgrades if upgrades else 'pass'}\n\n\n"
        "def downgrade() -> None:\n    ${downgrades if downgrades else 'pass'}\n"
    ),
    "migrations/versions/001_items.py": (
        '"""Make items"""\n\nimport sqlalchemy as sa\nfrom alembic import op\n\n'
        'revision = "001"\ndown_revision = None\nbranch_labels = None\ndepends_on = None\n\n\n'
        "def upgrade() -> None:\n"
        '    op.create_table("items", sa.Column("id", sa.Uuid(), nullable=False),\n'
        '        sa.Column("name", sa.String(), nullable=False),\n'
        '        sa.Column("created_at", sa.DateTime(timezone=True),\n'
        '            server_default=sa.text("clock_timestamp()"), nullable=False),\n'
        '        sa.Column("updated_at", sa.DateTime(timezone=True),\n'
        '            server_default=sa.text("clock_timestamp()"), nullable=False),\n'
        '        sa.PrimaryKeyConstraint("id", name=op.f("pk_items")))\n\n\n'
        'def downgrade() -> None:\n    op.drop_table("items")\n'
    ),
}
COMMAND = [sys.executable, "-c", "from holdfast.cli import main; main()"]
GIVEN = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL")


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


class Shell:
    """Calls `holdfast` in a project's folder: in this process, or in one of its own to stay."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        kept = {name: value for name, value in os.environ.items() if name not in GIVEN}
        self._started: list[subprocess.Popen[str]] = []
        self.environ = kept | {"NO_COLOR": "1", "COLUMNS": "200"}

    def __call__(self, *arguments: str, **environ: str) -> Done:
        """Call a command with more variables, and tell how it ended."""
        self._capsys.readouterr()
        with self._monkeypatch.context() as patch:
            patch.chdir(self.folder)
            patch.setattr(os, "environ", self.environ | environ)
            patch.setattr(sys, "argv", ["holdfast", *arguments])
            code = self._run()
        out, err = self._capsys.readouterr()
        return Done(returncode=code, stdout=out, stderr=err)

    def _run(self) -> int:
        try:
            main()
        except SystemExit as ended:
            return int(ended.code or 0)
        finally:
            # Every project has a module of this name.
            sys.modules.pop("models", None)
        return 0

    def json(self, *arguments: str, **environ: str) -> Any:
        """Call with `--json` and give what was printed."""
        done = self(*arguments, "--json", **environ)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def program(self, command: list[str], *arguments: str, stdout: Any = subprocess.PIPE) -> Done:
        """Run a program that calls the command line, and tell how it ended."""
        done = subprocess.run(
            [*command, *arguments],
            cwd=self.folder,
            env=self.environ,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        return Done(returncode=done.returncode, stdout=done.stdout or "", stderr=done.stderr)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command that stays."""
        started = subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(started)
        return started

    def end(self) -> None:
        """End what a failed test left."""
        for each in self._started:
            with each:
                each.kill()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give the folder of a project."""
    for name, content in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return tmp_path


@pytest.fixture
def shell(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Shell]:
    """Give the command line in the project, and stop what it left running."""
    path = list(sys.path)
    calls = Shell(project, monkeypatch, capsys)
    yield calls
    calls.end()
    sys.path[:] = path
    for server in (PostgresServer(project / ".holdfast"), RedisServer(project / ".holdfast")):
        asyncio.run(server.down())
    # Where root's server cannot get into the project, its data is elsewhere.
    asyncio.run(remove(project / ".holdfast"))


@pytest.fixture
def running(project: Path) -> Callable[[], list[str]]:
    """Give a function that names the servers that run for the project."""

    def names() -> list[str]:
        folder = project / ".holdfast"
        servers = {"postgres": PostgresServer(folder), "redis": RedisServer(folder)}
        return [name for name, each in servers.items() if asyncio.run(each.attach())]

    return names
