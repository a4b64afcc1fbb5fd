"""Move a database to another revision, from a running loop and without blocking it."""

import asyncio
import io
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, Any

from holdfast.errors import HoldfastError, MigrationError
from holdfast.events import Event
from holdfast.migrate.environment import AFTER, AUTOGENERATE, BEFORE, CONNECTION, METADATA, POLICY
from holdfast.migrate.noop import find_current, find_current_by_driver, read_place
from holdfast.migrate.policy import MigrationPolicy
from holdfast.migrate.scripts import load_config

if TYPE_CHECKING:
    from types import ModuleType

    from alembic.config import Config
    from sqlalchemy import Connection, MetaData

    from holdfast.database import Database

# Alembic keeps the running migration in a module: one at a time in a process.
_ALEMBIC = threading.Lock()
_POLL = 0.01
_NO_RUN_ENV = (
    "the env.py of its folder did not run any migration; it has to call "
    "migrate.run_env(Base.metadata)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Migrated(Event):
    """A database was moved from one revision to another; equal ones mean nothing was to do.

    Revisions are ids, several when branches are not merged, none for an empty database. As text
    it is one line that says so.
    """

    place: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        before, after = (", ".join(each) or "nothing" for each in (self.before, self.after))
        if before == after:
            return f"{self.place} is at {after}: nothing to migrate"
        return f"{self.place} migrated from {before} to {after} in {self.seconds:g} s"


async def upgrade(
    db: "Database",
    config: Path | str,
    revision: str = "head",
    *,
    policy: MigrationPolicy | None = None,
) -> Migrated:
    """Migrate forward; any number of processes may do so at once, one of them does the work.

        async with Database(owner_url) as db:
            await migrate.upgrade(db, "alembic.ini")

    Args:
        db: connected as the role that owns the tables.
        config: the alembic.ini.
        revision: an id, `head`, or `+1`.
        policy: how long to wait.

    Raises:
        ConfigurationError: the alembic.ini cannot be used.
        MigrationError: a revision is missing or failed; the database is as it was before.
    """
    begun = time.perf_counter()
    newest = await find_current(db, config) if revision == "head" else None
    if newest is None:
        return await _move(db, config, "upgrade", revision, policy)
    return _report(db, newest, newest, begun)


async def unchanged(url: str, config: Path | str) -> Migrated | None:
    """Tell that a PostgreSQL is at the newest revision, without even importing SQLAlchemy.

    For a command line, where that import takes longer than everything else.

    Args:
        url: `postgresql://…`, as asyncpg takes it.
        config: the alembic.ini.

    Returns:
        None where it is not, or where only `upgrade` can tell.
    """
    begun = time.perf_counter()
    newest = await find_current_by_driver(url, config)
    if newest is None:
        return None
    seconds = round(time.perf_counter() - begun, 3)
    return Migrated(place=read_place(url), before=newest, after=newest, seconds=seconds)


async def downgrade(
    db: "Database",
    config: Path | str,
    revision: str,
    *,
    policy: MigrationPolicy | None = None,
) -> Migrated:
    """Migrate backward, to an id, `-1`, or `base` for nothing left.

    Raises:
        ConfigurationError: the alembic.ini cannot be used.
        MigrationError: a revision is missing or failed; the database is as it was before.
    """
    return await _move(db, config, "downgrade", revision, policy)


async def current(db: "Database", config: Path | str) -> tuple[str, ...]:
    """Give the revisions that the database is at; none for an empty one."""
    loaded = await _run(db, config, None, lambda command, config: command.current(config))
    return _heads(loaded, BEFORE)


async def metadata(config: Path | str) -> "MetaData":
    """Give the tables of the models, which env.py hands to `run_env`; no database is needed.

    Raises:
        ConfigurationError: the alembic.ini cannot be used.
        MigrationError: the env.py failed, or does not call `run_env`.
    """
    loaded = await asyncio.to_thread(load_config, config)
    await asyncio.to_thread(import_module, "alembic.command")
    async with _one_at_a_time():
        _run_without_database(loaded)
    if METADATA not in loaded.attributes:
        raise MigrationError(f"{loaded.config_file_name}: {_NO_RUN_ENV}")
    found: MetaData = loaded.attributes[METADATA]
    return found


async def revision(
    db: "Database", config: Path | str, message: str, *, autogenerate: bool = True
) -> Path | None:
    """Write a migration file with what the models have and the database has not.

    Returns:
        The new file, or None when there is no difference.

    Raises:
        ConfigurationError: the alembic.ini cannot be used.
        MigrationError: the database is not at the newest revision.
    """
    written: list[Any] = []
    quoted = _within_quotes(message)

    def write(command: "ModuleType", config: "Config") -> None:
        config.attributes[AUTOGENERATE] = autogenerate
        written.append(command.revision(config, quoted, autogenerate=autogenerate))

    await _run(db, config, None, write)
    # Alembic gives a list when nothing, or more than one file, was written.
    return None if isinstance(written[0], list) else Path(written[0].path)


def _within_quotes(message: str) -> str:
    """Write a message in one line so that the docstring it becomes says the same."""
    text = message.encode("utf-8", "replace").decode()  # bytes of an argument that are no UTF-8
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode()
        for each in " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"')
    )


async def _move(
    db: "Database", config: Path | str, direction: str, to: str, policy: MigrationPolicy | None
) -> Migrated:
    begun = time.perf_counter()

    def move(command: "ModuleType", loaded: "Config") -> None:
        _require_run_env(loaded)
        getattr(command, direction)(loaded, to)

    loaded = await _run(db, config, policy, move)
    return _report(db, _heads(loaded, BEFORE), _heads(loaded, AFTER), begun)


def _require_run_env(config: "Config") -> None:
    """Run env.py once without a migration: another one would migrate a database of its own."""
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    script = ScriptDirectory.from_config(config)
    with EnvironmentContext(config, script, fn=lambda _heads, _context: [], dont_mutate=True):
        script.run_env()
    _heads(config, BEFORE)
    del config.attributes[BEFORE]


def _run_without_database(config: "Config") -> None:
    """Run env.py as for `--sql`, with no migration."""
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    config.output_buffer = io.StringIO()
    try:
        script = ScriptDirectory.from_config(config)
        with EnvironmentContext(config, script, fn=lambda _heads, _context: [], as_sql=True):
            script.run_env()
    except (HoldfastError, KeyboardInterrupt):
        raise
    except BaseException as error:  # env.py imports the project's code
        said = _in_one_line(f"{type(error).__name__}: {error}")
        raise MigrationError(
            f"{config.config_file_name}: the models cannot be read: {said}{_where(error, config)}"
        ) from error


def _report(
    db: "Database", before: tuple[str, ...], after: tuple[str, ...], begun: float
) -> Migrated:
    seconds = round(time.perf_counter() - begun, 3)
    moved = Migrated(place=db.url.place, before=before, after=after, seconds=seconds)
    db.events.emit(moved)
    return moved


async def _run(
    db: "Database",
    config: Path | str,
    policy: MigrationPolicy | None,
    work: "Callable[[ModuleType, Config], object]",
) -> "Config":
    """Call one of Alembic's commands with a connection of the database."""
    # In a thread: Alembic's import takes 370 ms, in which other tasks would stand still.
    loaded = await asyncio.to_thread(load_config, config)
    command = await asyncio.to_thread(import_module, "alembic.command")
    loaded.attributes[POLICY] = policy

    def call(connection: "Connection") -> None:
        loaded.attributes[CONNECTION] = connection
        with _failures(db, loaded):
            work(command, loaded)

    async with _one_at_a_time(), db.direct() as direct, direct.engine.connect() as connection:
        await connection.run_sync(call)
    return loaded


@asynccontextmanager
async def _one_at_a_time() -> AsyncIterator[None]:
    # Polled: a cancelled wait for the lock in a thread would take it and never give it back.
    while not _ALEMBIC.acquire(blocking=False):  # noqa: ASYNC110  -- loops of several threads
        await asyncio.sleep(_POLL)
    try:
        yield
    finally:
        _ALEMBIC.release()


@contextmanager
def _failures(db: "Database", config: "Config") -> Iterator[None]:
    """Turn what goes wrong in Alembic, env.py or a migration into one error that says where."""
    from alembic.util import CommandError
    from sqlalchemy.exc import DBAPIError

    from holdfast.migrate.missing import explain

    try:
        yield
    except (HoldfastError, asyncio.CancelledError, KeyboardInterrupt):
        raise
    except CommandError as error:
        said = explain(error, config.config_file_name or "", config.attributes.get(BEFORE, ()))
        raise MigrationError(f"{db.url.place}: {said}") from error
    except BaseException as error:
        cause = error.orig if isinstance(error, DBAPIError) else f"{type(error).__name__}: {error}"
        sent = error.statement if isinstance(error, DBAPIError) else None
        ran = f"; the statement was: {_in_one_line(sent)}" if sent else ""
        raise MigrationError(
            f"{db.url.place}: {_what_failed(config)}: "
            f"{_in_one_line(cause)}{_where(error, config)}{ran}"
        ) from error


def _what_failed(config: "Config") -> str:
    if AUTOGENERATE in config.attributes:
        return "the migration could not be written"
    if BEFORE in config.attributes:
        return "a migration failed and everything it did was rolled back"
    return "no migration ran, since what leads to them failed"


def _in_one_line(said: object) -> str:
    return " ".join(str(said).split())


def _where(error: BaseException, config: "Config") -> str:
    """Name the innermost line of the project's own files that led to the error."""
    root = str(Path(config.config_file_name or "").absolute().parent)
    frames = [f for f in extract_tb(error.__traceback__) if f.filename.startswith(root)]
    return f", at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def _heads(config: "Config", when: str) -> tuple[str, ...]:
    if when not in config.attributes:
        raise MigrationError(f"{config.config_file_name}: {_NO_RUN_ENV}")
    return tuple(config.attributes[when])
