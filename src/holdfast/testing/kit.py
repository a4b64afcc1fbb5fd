"""What one process of a run of tests has: servers, databases, sandboxes."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.database import Database
from holdfast.errors import ConfigurationError, HoldfastError, MigrationError, SandboxError
from holdfast.settings import Project, find_project
from holdfast.testing.clone import Clone
from holdfast.testing.databases import Databases
from holdfast.testing.faults import Faults, describe_unused
from holdfast.testing.files import Files
from holdfast.testing.leaks import (
    Checkouts,
    describe_connections,
    describe_keys,
    describe_tasks,
    pending,
)
from holdfast.testing.marks import Role, read_mark
from holdfast.testing.moving import AnyLoop, make_movable
from holdfast.testing.running import run
from holdfast.testing.sandbox import Sandbox
from holdfast.testing.servers import Party, given
from holdfast.urls import parse

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from holdfast.testing.keyspace import Keyspace

T = TypeVar("T")
Make = Callable[[str], Database]
Key = tuple[Path, Role]

URL = "TEST_DATABASE_URL"
REDIS_URL = "TEST_REDIS_URL"
_NOTHING = "holdfast: there is nothing to run this test on; the end of the run's output says why"


class Kit:
    """Makes what the fixtures give, and takes it back.

    Args:
        config: pytest's.
        party: this process in its run.

    Attributes:
        problems: why tests got no database, each one once.
    """

    def __init__(self, config: pytest.Config, party: Party) -> None:
        self.problems: dict[str, None] = {}
        self._config = config
        self._party = party
        self._loop = asyncio.new_event_loop()
        self._loops: list[AnyLoop] = []
        self._sandboxes: dict[Key, _Kept] = {}
        self._projects: dict[Path, Project] = {}
        self._refused: dict[Path | None, HoldfastError] = {}
        self._tainted = False  # a task of the last test may still use its databases

    def close(self) -> None:
        """Close and remove everything that was made here."""
        with ExitStack() as stack:
            stack.callback(self._loop.close)
            if "_databases" in self.__dict__:
                stack.callback(self._databases.close)
                stack.callback(self._databases.drop_own)
            if "_keyspace" in self.__dict__:
                stack.callback(lambda: self._do(self._keyspace.close()))
            for kept in self._sandboxes.values():
                stack.callback(lambda sandbox: self._do(sandbox.close()), kept.sandbox)

    def sweep(self) -> None:
        """Remove what processes of this run that crashed have left."""
        if isinstance(self._databases, Databases):
            self._databases.drop_all()
        else:
            shutil.rmtree(self._copies.parent, ignore_errors=True)

    @contextmanager
    def sandboxed(self, item: pytest.Item, make: Make) -> Iterator[Database]:
        """Give a database in whose one transaction everything of the test happens."""
        kept = self._find_sandbox(item, make)
        try:
            yield kept.sandbox.db
        finally:
            left = kept.sandbox.checkouts.callers
            self._roll_back(kept)
            if self._tainted and self._sandboxes.get(kept.key) is kept:
                self._end(kept)
            _refuse(item, describe_connections(left) if left else "")

    @contextmanager
    def cloned(
        self, node: pytest.Item | pytest.Collector, *, empty: bool = False
    ) -> Iterator[Clone]:
        """Give a database for these tests alone, migrated as their project says or empty."""
        clone = self._clone(None if empty else self._project(node))
        try:
            yield clone
        finally:
            self._databases.give_back(clone, spoiled=self._tainted)

    @contextmanager
    def disturbed(self, item: pytest.Item, clone: Clone) -> Iterator[Faults]:
        """Give what stands in front of a clone; a fault that nobody met fails the test."""
        faults = Faults(_url(item, clone))
        faults.open()
        try:
            yield faults
        finally:
            unused = faults.unused
            faults.close()
            if unused:
                pytest.fail(describe_unused(unused), pytrace=False)

    @contextmanager
    def opened(
        self, item: pytest.Item, clone: Clone, make: Make, faults: Faults | None = None
    ) -> Iterator[Database]:
        """Give the application's database on a clone, behind faults where there are some."""
        db = self._make(make, faults.url if faults else _url(item, clone))
        loop = make_movable(db.engine.sync_engine)
        checkouts = Checkouts(db.engine.sync_engine)
        self._loops.append(loop)
        try:
            if faults:
                self._do(db.ping(), loop)  # the first connection asks for things of its own
                faults.clear()
            yield db
        finally:
            left = checkouts.callers
            self._loops.remove(loop)
            if faults:
                faults.heal()  # or closing would wait for a server that was left paused
            self._do(checkouts.close(), loop)
            self._do(db.close(), loop)
            _refuse(item, describe_connections(left) if left else "")

    @contextmanager
    def session(self, db: Database) -> Iterator[AsyncSession]:
        """Give a session, and close it from whichever loop is left."""
        session = db.session()
        try:
            yield session
        finally:
            self._do(session.close(), *self._loops)

    @contextmanager
    def keyspace(self, item: pytest.Item) -> Iterator[str]:
        """Give the URL of an empty logical database of Redis, which no other process uses."""
        with self._explained():
            keyspace = self._keyspace
        with ExitStack() as stack:
            if keyspace.shared:
                stack.enter_context(self._party.turn())
            self._empty(keyspace)
            yield keyspace.url
            left = self._do(keyspace.find_left(self._project(item).redis_keys))
            self._do(keyspace.empty())
        _refuse(item, describe_keys(left) if left else "")

    @contextmanager
    def redis(self, url: str) -> Iterator["Redis"]:
        """Give a client, and close it from whichever loop is left."""
        from holdfast.testing.keyspace import movable_client  # noqa: PLC0415

        client, loop = movable_client(url)
        self._loops.append(loop)
        try:
            yield client
        finally:
            self._loops.remove(loop)
            self._do(client.aclose(), loop)

    @contextmanager
    def watched(self, item: pytest.Item) -> Generator[None]:
        """Fail a test that leaves tasks behind, in the loop that was last seen here."""
        self._tainted = False
        before = self._tasks()
        yield
        if left := self._tasks() - before:
            self._tainted = True
            _refuse(item, describe_tasks(left))

    def _tasks(self) -> "set[asyncio.Task[Any]]":
        seen = {loop.last for loop in self._loops if loop.last is not self._loop}
        return {task for loop in seen for task in pending(loop)}

    def _find_sandbox(self, item: pytest.Item, make: Make) -> "_Kept":
        project, role = self._project(item), read_mark(item).role
        key = (project.root, role)
        kept = self._sandboxes.get(key)
        if kept is not None and kept.make != make:
            self._end(kept)
        elif kept is not None and not kept.sandbox.is_untouched():
            self._restore(kept)
        if key not in self._sandboxes:
            clone = self._clone(project)
            try:
                sandbox = Sandbox(self._make(make, _url(item, clone)))
            except BaseException:
                self._databases.give_back(clone)
                raise
            self._loops.append(sandbox.loop)
            self._sandboxes[key] = _Kept(key=key, make=make, clone=clone, sandbox=sandbox)
        return self._sandboxes[key]

    def _restore(self, kept: "_Kept") -> None:
        try:
            self._roll_back(kept)  # somebody used it after its test
        except SandboxError:
            return
        if not self._do(kept.sandbox.is_connected()):
            with self._explained():
                self._databases.require()

    def _roll_back(self, kept: "_Kept") -> None:
        try:
            self._do(kept.sandbox.roll_back())
        except SandboxError:
            # Its database is not as it was: the next test gets another.
            self._end(kept)
            raise

    def _end(self, kept: "_Kept") -> None:
        del self._sandboxes[kept.key]
        self._loops.remove(kept.sandbox.loop)
        self._do(kept.sandbox.close())
        self._databases.give_back(kept.clone, spoiled=self._tainted)

    def _make(self, make: Make, url: str) -> Database:
        """Make the application's database, which must be the one that it was told to make."""
        made: object = make(url)
        with self._explained():
            if not isinstance(made, Database):
                if asyncio.iscoroutine(made):
                    made.close()
                raise ConfigurationError(
                    f"make_database: what it gives made {type(made).__name__}; it has to give a "
                    "function that makes a holdfast.database.Database from a URL"
                )
            wanted = parse(url)
            if made.url.engine.database != wanted.engine.database:
                raise ConfigurationError(
                    f"make_database: it was given the URL of {wanted.place} and made a Database "
                    f"of {made.url.place}, which is not for this test; it has to use the URL, and "
                    "to make another Database each time"
                )
        return made

    def _do(self, work: Coroutine[Any, Any, T], *loops: AnyLoop) -> T:
        """Run a coroutine here, with the connections of those loops."""

        async def attached() -> T:
            for each in loops:
                each.attach()
            return await work

        return run(attached(), self._loop)

    def _empty(self, keyspace: "Keyspace") -> None:
        from redis.exceptions import ConnectionError as LostError  # noqa: PLC0415  -- an extra

        try:
            self._do(keyspace.empty())
        except LostError:
            with self._explained():
                self._redis_url()  # starts it again, where it is the run's
            self._do(keyspace.reconnect())
            self._do(keyspace.empty())

    def _redis_url(self) -> str:
        return os.environ.get(REDIS_URL) or self._party.urls("redis")["redis"]

    def _clone(self, project: Project | None) -> Clone:
        key = project.alembic_path if project else None
        with self._explained():
            if key in self._refused:
                raise self._refused[key]
            try:
                return self._databases.clone(project)
            except (ConfigurationError, MigrationError) as error:
                self._refused[key] = error  # it would be the same for every test
                raise

    @contextmanager
    def _explained(self) -> Generator[None]:
        """Say once, at the end of the run, why there is nothing to test on."""
        try:
            yield
        except HoldfastError as error:
            self.problems[str(error)] = None
            raise pytest.fail.Exception(_NOTHING, pytrace=False) from None

    def _project(self, node: pytest.Item | pytest.Collector) -> Project:
        folder = node.path if node.path.is_dir() else node.path.parent
        if folder not in self._projects:
            with self._explained():
                # 3 ms, most of what a test would cost
                self._projects[folder] = find_project(folder)
        return self._projects[folder]

    @property
    def _unsafe(self) -> bool:
        return bool(self._config.getoption("--holdfast-any-database"))

    @property
    def _folder(self) -> Path:
        return find_project(self._config.rootpath).testing_path

    @property
    def _copies(self) -> Path:
        return Path(tempfile.gettempdir(), f"holdfast-tests-{self._party.run}", str(os.getpid()))

    @cached_property
    def _keyspace(self) -> "Keyspace":
        from holdfast.testing.keyspace import open_keyspace  # noqa: PLC0415  -- an extra

        url = self._redis_url()
        worker: dict[str, Any] = getattr(self._config, "workerinput", {})
        count = int(worker.get("workercount", 1))
        number, used = self._party.number()
        unsafe = self._unsafe or used or REDIS_URL not in os.environ
        return self._do(open_keyspace(url, number, count, unsafe=unsafe))

    @cached_property
    def _databases(self) -> Databases | Files:
        if self._config.getoption("--holdfast-engine") == "sqlite":
            return Files(self._folder / "templates", self._copies, self._loop)
        option = self._config.getoption("--holdfast-url")
        if url := option or os.environ.get(URL):
            urls = given("--holdfast-url" if option else URL, url, unsafe=self._unsafe)
            return Databases(lambda: urls, self._party.run, self._loop)
        return Databases(lambda: self._party.urls("postgres"), self._party.run, self._loop)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """The sandbox of a project and a role, from test to test."""

    key: Key
    make: Make
    clone: Clone
    sandbox: Sandbox


def _refuse(item: pytest.Item, left: str) -> None:
    """Fail a test for what it left behind, unless its mark says that it may."""
    if left and read_mark(item).leaks:
        pytest.fail(left, pytrace=False)


def _url(item: pytest.Item, clone: Clone) -> str:
    return clone.owner if read_mark(item).role == "owner" else clone.app
