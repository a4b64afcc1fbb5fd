"""Tests of a project's migrations, taken into a test module in one line.

    from holdfast.testing.migrations import *  # noqa: F403

Each runs on an empty database of its own, as the role that owns the tables, with the alembic.ini
of the project. They stand on pytest-alembic: its runner, its options and its fixture
`alembic_runner`, for tests of single migrations, and its comparison of models and tables. Done
here instead:

- up, down and up: pytest-alembic does not look at what a downgrade leaves (its experimental test
  does, on a stand-in for a connection that SQLAlchemy 2.1 refuses), and it blames a failed
  downgrade on the revision below;
- one head and a downgrade for each: pytest-alembic names no files, and takes an empty downgrade
  for a good one;
- CHECK constraints, defaults and all else that Alembic does not compare.

Where the way back ends on purpose, override `alembic_config` as pytest-alembic describes, with
`minimum_downgrade_revision`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.config import Config
from pytest_alembic import MigrationContext, runner
from pytest_alembic.config import Config as RunnerConfig
from pytest_alembic.plugin.error import AlembicTestFailure
from pytest_alembic.tests import test_model_definitions_match_ddl as compare_by_alembic
from sqlalchemy.ext.asyncio import AsyncEngine

from holdfast import migrate
from holdfast.database import Database
from holdfast.settings import find_project
from holdfast.testing.clone import Clone
from holdfast.testing.downgrades import find_problem
from holdfast.testing.models import compare_models
from holdfast.testing.moving import make_movable
from holdfast.testing.running import run
from holdfast.testing.stairs import climb, describe, up_down_up

__all__ = [
    "alembic_config",
    "alembic_engine",
    "test_each_migration_has_a_downgrade",
    "test_migrations_go_up_down_and_up",
    "test_migrations_have_one_head",
    "test_migrations_make_what_the_models_say",
]

_WRITE = "Write the migration that is missing: holdfast revision -m '…'; or change the models back."


@pytest.fixture
def alembic_config(request: pytest.FixtureRequest) -> RunnerConfig:
    """Give the configuration of the project that the test belongs to."""
    file = migrate.require_config(find_project(request.path.parent).alembic_path)
    return RunnerConfig(alembic_config=Config(file))


@pytest.fixture
def alembic_engine(empty_clone: Clone) -> Iterator[AsyncEngine]:
    """Give the engine of an empty database, as the role that owns the tables."""
    db = Database(empty_clone.owner)
    loop = make_movable(db.engine.sync_engine)

    async def close() -> None:
        loop.attach()
        await db.close()

    yield db.engine
    run(close())


def test_migrations_have_one_head(alembic_config: Any) -> None:
    """There is one newest migration."""
    with _files(alembic_config) as files:
        heads = [describe(files, head) for head in files.heads]
    if not heads:
        _fail([], "There is no migration yet. Write one: holdfast revision -m '…'.")
    if len(heads) > 1:
        _fail([f"There are {len(heads)} heads:", *heads], "Join them: alembic merge heads.")


def test_each_migration_has_a_downgrade(alembic_config: Any) -> None:
    """Each migration that does something can be taken back."""
    with _files(alembic_config) as files:
        kept = files.config.minimum_downgrade_revision
        window = files.history.revision_range(kept or "base", "heads")[1:-1]
        problems = [
            f"{describe(files, each)}: {problem}"
            for each in window
            if (problem := find_problem(_path(files, each)))
        ]
    if problems:
        _fail(problems, "Let downgrade() drop what upgrade() makes, and make what it drops.")


def test_migrations_go_up_down_and_up(alembic_runner: MigrationContext) -> None:
    """Each migration runs, is taken back without a trace, and runs again."""
    up_down_up(alembic_runner)


def test_migrations_make_what_the_models_say(alembic_runner: MigrationContext) -> None:
    """The migrated tables are those of the models."""
    climb(alembic_runner)
    if found := _compare_by_alembic(alembic_runner) or compare_models(alembic_runner):
        _fail(["The migrated tables are not those of the models:", found], _WRITE)


def _compare_by_alembic(runner: MigrationContext) -> str:
    try:
        compare_by_alembic(runner)
    except AlembicTestFailure as failure:
        [(_title, operations)] = failure.context or []
        return f"a new migration would have\n{operations}"
    return ""


def _files(alembic_config: Any) -> Any:
    return runner(RunnerConfig.from_raw_config(alembic_config))


def _path(files: MigrationContext, revision: str) -> Path:
    script = files.command_executor.script.get_revision(revision)
    assert script is not None
    return Path(script.path)


def _fail(facts: list[str], advice: str) -> None:
    pytest.fail("\n".join([*facts, advice]), pytrace=False)
