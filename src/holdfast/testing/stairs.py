"""Go through a history of migrations one by one, and tell what a downgrade did not take back."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from traceback import extract_tb
from typing import TypeVar

import pytest
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from pytest_alembic import MigrationContext as Runner
from sqlalchemy.exc import DBAPIError

from holdfast.testing.catalogue import read_catalogue

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Landing:
    """Where a database stands, and what it has there."""

    heads: frozenset[str]
    catalogue: frozenset[str]


def climb(runner: Runner) -> None:
    """Migrate to the newest revision, one by one.

    Raises:
        Failed: a migration failed.
    """
    require_own_database(runner)
    for below, revision in _steps(runner):
        _up(runner, below, revision)


def up_down_up(runner: Runner) -> None:
    """Migrate up, down and up again, one by one, and look at the schema after each step.

    Raises:
        Failed: a migration failed, or a downgrade led to another schema than was there before.
    """
    require_own_database(runner)
    landings = {landing.heads: landing for landing in _climbed(runner)}
    undone: list[tuple[str, str]] = []
    for below, revision in reversed(_steps(runner)):
        if revision == runner.config.minimum_downgrade_revision:
            break
        with _told(runner, revision, "downgrade"):
            runner.migrate_down_to(below, current=revision, return_current=False)
        now = _look(runner)
        # Of branches, the way down may have other landings than the way up.
        _require_equal(runner, revision, landings.get(now.heads, now), now)
        undone.insert(0, (below, revision))
    for below, revision in undone:
        _up(runner, below, revision)


def inspect(runner: Runner, look: Callable[[MigrationContext], T]) -> T:
    """Give what a function finds through the connection that env.py makes; nothing is migrated."""
    found: list[T] = []

    def note(_heads: object, context: MigrationContext) -> list[object]:
        found.append(look(context))
        return []

    command = runner.command_executor
    with EnvironmentContext(command.alembic_config, command.script, fn=note, dont_mutate=True):
        command.script.run_env()
    return found[0]


def require_own_database(runner: Runner) -> None:
    """Refuse to go on where env.py does not use the database of the test.

    Raises:
        Failed: it has made a connection of its own.
    """
    engine = runner.connection_executor.connection
    url = inspect(runner, lambda context: context.connection and context.connection.engine.url)
    if url != getattr(engine, "url", None):
        pytest.fail(
            f"{runner.command_executor.script.env_py_location}: it does not use the test's "
            "database, so nothing was migrated; it has to call migrate.run_env(Base.metadata), or "
            "to use the engine in context.config.attributes['connection']",
            pytrace=False,
        )


def describe(runner: Runner, revision: str) -> str:
    """Give a revision's id and file."""
    script = runner.command_executor.script.get_revision(revision)
    return f"{revision} ({script.path})" if script else revision


def _steps(runner: Runner) -> list[tuple[str, str]]:
    # The last one is `heads`, which is no revision.
    return runner.history.revision_window("base", runner.history.revisions[-2])


def _climbed(runner: Runner) -> Iterator[Landing]:
    yield _look(runner)
    for below, revision in _steps(runner):
        _up(runner, below, revision)
        yield _look(runner)


def _up(runner: Runner, below: str, revision: str) -> None:
    with _told(runner, revision, "upgrade"):
        runner.migrate_up_to(revision, current=below, return_current=False)


def _look(runner: Runner) -> Landing:
    def look(context: MigrationContext) -> Landing:
        assert context.connection is not None
        return Landing(
            heads=frozenset(context.get_current_heads()),
            catalogue=read_catalogue(context.connection, context.version_table),
        )

    return inspect(runner, look)


def _require_equal(runner: Runner, revision: str, before: Landing, now: Landing) -> None:
    if before == now:
        return
    pytest.fail(
        f"{describe(runner, revision)}: its downgrade does not lead back to the schema that was "
        f"there before its upgrade:\n{compare(before.catalogue, now.catalogue)}\n"
        "Let downgrade() drop what upgrade() makes, and make what it drops.",
        pytrace=False,
    )


def compare(
    wanted: frozenset[str], found: frozenset[str], *, signs: tuple[str, str] = ("missing", "left")
) -> str:
    """Write down how two catalogues differ."""
    missing, left = signs
    lines = [(line, missing) for line in wanted - found] + [(line, left) for line in found - wanted]
    return "\n".join(f"  {sign}: {line}" for line, sign in sorted(lines))


@contextmanager
def _told(runner: Runner, revision: str, direction: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001  -- a migration may raise anything
        raise pytest.fail.Exception(
            f"{describe(runner, revision)}: its {direction} failed: {_cause(error)}"
            f"{_where(runner, revision, error)}",
            pytrace=False,
        ) from None


def _cause(error: Exception) -> str:
    if not isinstance(error, DBAPIError):
        return f"{type(error).__name__}: {error}"
    return f"{error.orig}; the statement was: {' '.join(str(error.statement).split())}"


def _where(runner: Runner, revision: str, error: Exception) -> str:
    script = runner.command_executor.script.get_revision(revision)
    lines = [
        each.lineno
        for each in extract_tb(error.__traceback__)
        if script and Path(each.filename) == Path(script.path)
    ]
    return f"\nat line {lines[-1]} of the file" if lines else ""
