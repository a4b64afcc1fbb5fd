"""MoAI on SQLite and on PostgreSQL: a database of each, and the command line on one of its own."""

import io
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from moai import cli
from moai.core import database
from moai.core.models import Discussion, Project
from moai.services.discussions import open_discussion
from moai.services.projects import create_project

SQLITE, POSTGRESQL = "sqlite", "postgresql"


@pytest.fixture
async def clean_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[pytest.MonkeyPatch]:
    """Leave no setting of the machine in the way, in an empty folder; close what was opened."""
    for name in os.environ:
        if name.startswith("MOAI_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(database, "DATABASE_URL", "sqlite+aiosqlite:///./moai.db")
    yield monkeypatch
    await database.close_db()


@pytest.fixture(params=[SQLITE, POSTGRESQL])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the URL of a database without tables, of each engine in turn."""
    if request.param == SQLITE:
        return f"sqlite+aiosqlite:///{tmp_path}/moai.db"
    url: str = request.getfixturevalue("empty_clone").owner
    return url


@pytest.fixture(params=[SQLITE, POSTGRESQL])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the URL of a database for several connections, of each engine in turn."""
    if request.param == SQLITE:
        return f"sqlite+aiosqlite:///{tmp_path}/moai.db"
    url: str = request.getfixturevalue("clone").app
    return url


@pytest.fixture
async def opened(url: str, clean_environment: pytest.MonkeyPatch) -> str:
    """Set MoAI up on that database, with its tables; give the URL."""
    database.init_db(url)
    await database.create_tables()
    return url


@pytest.fixture
async def project(opened: str) -> Project:
    """Give a project of two models that is stored."""
    async with database.get_session() as session:
        return await create_project(session, "Caching", ["claude", "gpt"])


@pytest.fixture
async def discussion(project: Project) -> Discussion:
    """Give an active discussion of the project that is stored."""
    async with database.get_session() as session:
        return await open_discussion(session, project.id, "Should answers be cached?")


@pytest.fixture
async def session(opened: str) -> AsyncIterator[AsyncSession]:
    """Give one of the application's own sessions."""
    async with database.get_session() as session:
        yield session


@pytest.fixture
def moai(
    clean_environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Give a function that runs the command and returns its exit code, output and errors."""

    def call(*arguments: object, stdin: str | bytes = "") -> tuple[int, str, str]:
        given = stdin.encode() if isinstance(stdin, str) else stdin
        clean_environment.setattr(sys, "argv", ["moai", *map(str, arguments)])
        clean_environment.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return call


@pytest.fixture
def made(moai: Callable[..., tuple[int, str, str]]) -> Callable[..., Any]:
    """Give a function that runs a command with --json and returns what it printed."""

    def call(*arguments: object, stdin: str | bytes = "") -> Any:
        code, out, err = moai(*arguments, "--json", stdin=stdin)
        assert (code, err) == (0, "")
        return json.loads(out)

    return call


@pytest.fixture
def refused(moai: Callable[..., tuple[int, str, str]]) -> Callable[..., tuple[int, str]]:
    """Give a function that runs a command that is refused, and returns its code and its line."""

    def call(*arguments: object, stdin: str | bytes = "") -> tuple[int, str]:
        code, out, err = moai(*arguments, stdin=stdin)
        assert out == ""
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        as_json, out, err_json = moai(*arguments, "--json", stdin=stdin)
        assert (as_json, out) == (code, "")
        assert err == f"error: {json.loads(err_json)['error']}\n"
        return code, err.removeprefix("error: ").rstrip("\n")

    return call
