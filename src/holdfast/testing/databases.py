"""Databases for tests: a template of each schema, and clones of it."""

import asyncio
import hashlib
import itertools
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import URL, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from holdfast import migrate
from holdfast.database import Database, DatabasePolicy
from holdfast.errors import (
    INSUFFICIENT_PRIVILEGE,
    INVALID_CATALOG_NAME,
    OBJECT_IN_USE,
    ConfigurationError,
)
from holdfast.settings import Project
from holdfast.testing.clone import Clone
from holdfast.testing.running import run
from holdfast.testing.servers import Urls

T = TypeVar("T")
_TEMPLATE = "holdfast_template_"
_CLONE = "holdfast_test_"
KEPT = 8  # templates on one server: some branches of some projects
_LEAVING = 20  # times that sessions are looked for which have just been closed, 2 ms apart
# Making a template or a clone may wait for another process; nothing here runs unattended.
_POLICY = DatabasePolicy(statement_timeout=0, lock_timeout=0, idle_in_transaction_timeout=0)
# Advisory locks: one to make a template, and one for each run, held while it goes on. They hold
# within one database, so that all runs on a server take them in the same.
_MEETING = "postgres"
_MAKING = "hashtext('holdfast.testing'), 0"
_RUN = "hashtext('holdfast.testing'), hashtext(:run)"
_NAMES = """
SELECT datname FROM pg_database
WHERE datname LIKE :pattern AND pg_get_userbyid(datdba) = current_user
ORDER BY shobj_description(oid, 'pg_database') DESC NULLS LAST
"""
_COMMENT = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = :name"
_NOW = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"
_SEQUENCES = "SELECT format('%I.%I', schemaname, sequencename) FROM pg_sequences ORDER BY 1"
# Whatever a session writes, rows or schema, is counted here before it leaves pg_stat_activity.
# What a sequence gave is not, and is looked at by itself.
_UNTOUCHED = """
SELECT tup_inserted + tup_updated + tup_deleted = 0 AND stats_reset IS NULL
    AND current_setting('track_counts')::bool
    AND NOT EXISTS (SELECT FROM pg_db_role_setting WHERE setdatabase = datid)
    AND NOT EXISTS (SELECT FROM pg_prepared_xacts WHERE database = datname)
    AND (SELECT datacl IS NULL AND datconnlimit = -1 FROM pg_database WHERE oid = datid)
FROM pg_stat_database WHERE datname = :name
"""
_PREPARED = "SELECT quote_literal(gid), owner FROM pg_prepared_xacts WHERE database = :name"
_SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = :name"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Template:
    name: str
    sequences: str  # where they stand, as `_read_sequences` says it; empty without any


class Databases:
    """Makes templates and clones on one server.

    Args:
        urls: gives the URLs of any database of the server, as the role that makes others and as
            applications'; starts it where it does not run.
        run: names the run of tests, the same in each of its processes; letters and digits.
        loop: what the connection here belongs to; it is not running.
    """

    def __init__(self, urls: Callable[[], Urls], run: str, loop: asyncio.AbstractEventLoop) -> None:
        self._find_urls = urls
        self._urls: Urls = {}
        self._run = run
        self._loop = loop
        self._own = f"{_CLONE}{run}_{uuid.uuid4().hex[:8]}_"
        self._numbers = itertools.count(1)
        self._templates: dict[Path | None, _Template] = {}
        self._unfinished: set[str] = set()
        self._given: dict[str, tuple[_Template, AsyncConnection]] = {}
        self._untouched: dict[str, list[Clone]] = defaultdict(list)
        self._database: Database | None = None
        self._admin: AsyncConnection | None = None

    def clone(self, project: Project | None) -> Clone:
        """Give a database that is migrated as the project says, and used by nobody else.

        Args:
            project: None for an empty database.

        Raises:
            HoldfastError: the template could not be made: a migration failed, or the role may not
                make databases.
        """
        template = self._template(project)
        self.require()
        waiting = self._untouched[template.name]
        clone = waiting.pop() if waiting else self._make(template)
        if clone is None:  # another run took the template for an old one
            self._templates.clear()
            return self.clone(project)
        assert self._admin is not None
        self._given[clone.name] = template, self._admin
        return clone

    def give_back(self, clone: Clone, *, spoiled: bool = False) -> None:
        """Keep a clone that was only read for the next test, and remove any other.

        Args:
            clone: from here.
            spoiled: it may still be written to.
        """
        template, admin = self._given.pop(clone.name)
        untouched = not spoiled and self._do(self._is_untouched, clone, template)
        # A server that crashed meanwhile has lost its counts, and every connection.
        if untouched and self._admin is admin:
            self._untouched[template.name].append(clone)
        else:
            self._do(self._drop, clone.name)

    def require(self) -> None:
        """See that the server runs; it is started again where a test has killed it."""
        self._do(self._execute, "SELECT 1")

    def drop_own(self) -> None:
        """Remove every clone of this process."""
        if self._admin is not None:
            self._do(self._drop_all, self._own)
            for unfinished in self._unfinished:  # after Ctrl-C; or renamed, and then not there
                self._do(self._drop, unfinished)

    def drop_all(self) -> None:
        """Remove every clone of this run, also of its processes that crashed."""
        self._do(self._drop_all, f"{_CLONE}{self._run}_")

    def close(self) -> None:
        """Close the connection, with which the run's lock goes."""
        if self._database is not None:
            run(self._disconnect(self._database), self._loop)

    def _do(self, work: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> T:
        """Run something on the connection; a second time, on a new one, where it was lost."""
        try:
            self._connect()
            return run(work(*arguments), self._loop)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
        self.close()
        self._connect()
        return run(work(*arguments), self._loop)

    def _connect(self) -> None:
        if self._admin is not None and self._admin.invalidated:  # by Ctrl-C
            self.close()
        if self._admin is None:
            self._urls = self._find_urls()
            url = _with(self._urls["owner"], database=_MEETING, driver="asyncpg")
            self._database = Database(url, policy=_POLICY)
            self._admin = run(self._open(self._database), self._loop)

    async def _open(self, database: Database) -> AsyncConnection:
        await database.open()
        opened = await database.engine.connect()
        admin = await opened.execution_options(isolation_level="AUTOCOMMIT")
        await admin.execute(text(f"SELECT pg_advisory_lock_shared({_RUN})"), {"run": self._run})
        return admin

    async def _disconnect(self, database: Database) -> None:
        admin, self._admin, self._database = self._admin, None, None
        if admin is not None:
            await admin.close()
        await database.close()

    def _template(self, project: Project | None) -> _Template:
        migrated = project is not None and project.alembic_path.is_file()
        if project and not migrated and project.alembic != Project(root=project.root).alembic:
            raise ConfigurationError(
                f"{project.root / 'pyproject.toml'}: [tool.holdfast] alembic: there is no file "
                f"{project.alembic_path}"
            )
        key = project.alembic_path if project and migrated else None
        if key not in self._templates:
            self._templates[key] = self._do(self._find_template, key)
        return self._templates[key]

    async def _find_template(self, config: Path | None) -> _Template:
        role = make_url(self._urls["owner"]).username or ""  # only who owns one may clone it
        content = role + (migrate.fingerprint(config) if config else "")
        schema = hashlib.sha256(content.encode()).hexdigest()[:16]
        name = f"{_TEMPLATE}{schema}"
        async with self._making():
            if not await self._names(name):
                await self._build(name, schema, config)
                await self._drop_old()
            described = await self._execute(_COMMENT, name=name) or ""
            sequences = described.rpartition(" ")[2]
            await self._describe(name, sequences)
        return _Template(name=name, sequences=sequences)

    async def _build(self, name: str, schema: str, config: Path | None) -> None:
        # Under another name until it is whole: this process may be killed at any moment.
        unfinished = f"{_CLONE}{self._run}_{schema}"
        await self._drop(unfinished)
        self._unfinished.add(unfinished)
        await self._execute(f'CREATE DATABASE "{unfinished}" TEMPLATE template1')
        owner = _with(self._urls["owner"], database=unfinished)
        if config is not None:
            async with Database(owner, policy=_POLICY) as db:
                await migrate.upgrade(db, config)
        await self._describe(unfinished, await _read_sequences(owner))
        # A session there, autovacuum's for one, would be in the way of cloning.
        await self._execute(f'ALTER DATABASE "{unfinished}" ALLOW_CONNECTIONS false')
        await self._execute(f'ALTER DATABASE "{unfinished}" RENAME TO "{name}"')

    async def _describe(self, name: str, what: str) -> None:
        """Note when a template was last used, and what must be known of it."""
        now = await self._execute(_NOW)
        await self._execute(f"COMMENT ON DATABASE \"{name}\" IS '{now} {what}'")

    @asynccontextmanager
    async def _making(self) -> AsyncIterator[None]:
        await self._execute(f"SELECT pg_advisory_lock({_MAKING})")
        try:
            await self._drop_dead()
            yield
        finally:
            await self._execute(f"SELECT pg_advisory_unlock({_MAKING})")

    async def _drop_dead(self) -> None:
        """Remove the clones of runs that were killed."""
        names = await self._names(f"{_CLONE}%")
        for other in {name.removeprefix(_CLONE).split("_")[0] for name in names} - {self._run}:
            if await self._execute(f"SELECT pg_try_advisory_lock({_RUN})", run=other):
                await self._drop_all(f"{_CLONE}{other}_")
                await self._execute(f"SELECT pg_advisory_unlock({_RUN})", run=other)

    async def _drop_old(self) -> None:
        """Remove the templates that were not used for the longest time."""
        for name in (await self._names(f"{_TEMPLATE}%"))[KEPT:]:
            await self._drop(name)

    async def _drop_all(self, prefix: str) -> None:
        for name in await self._names(f"{prefix}%"):
            await self._drop(name)

    async def _drop(self, name: str) -> None:
        try:
            await self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != OBJECT_IN_USE:
                raise
            await self._end_prepared(name)
            await self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    async def _end_prepared(self, name: str) -> None:
        """Roll back the prepared transactions that were left, each of which is its own role's."""
        assert self._admin is not None
        found = (await self._admin.execute(text(_PREPARED), {"name": name})).all()
        for gid, owner in found:
            urls = {make_url(url).username: url for url in self._urls.values()}
            url = _with(urls.get(owner, self._urls["owner"]), database=name, driver="")
            connection = await asyncpg.connect(url)
            try:
                await connection.execute(f"ROLLBACK PREPARED {gid}")
            finally:
                await connection.close()

    def _make(self, template: _Template) -> Clone | None:
        name = f"{self._own}{next(self._numbers)}"
        try:
            self._do(self._execute, f'CREATE DATABASE "{name}" TEMPLATE "{template.name}"')
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) == INVALID_CATALOG_NAME:
                return None
            raise
        urls = {role: _with(self._urls[role], database=name) for role in ("owner", "app")}
        return Clone(name=name, **urls)

    async def _is_untouched(self, clone: Clone, template: _Template) -> bool:
        for _ in range(_LEAVING):
            if not await self._execute(_SESSIONS, name=clone.name):
                break
            await asyncio.sleep(0.002)
        else:
            return False
        if not await self._execute(_UNTOUCHED, name=clone.name):
            return False
        return not template.sequences or await _read_sequences(clone.owner) == template.sequences

    async def _names(self, pattern: str) -> list[str]:
        assert self._admin is not None
        values = {"pattern": pattern.replace("_", r"\_")}
        return list(await self._admin.scalars(text(_NAMES), values))

    async def _execute(self, sql: str, **values: str) -> Any:
        assert self._admin is not None
        try:
            result = await self._admin.execute(text(sql), values)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != INSUFFICIENT_PRIVILEGE:
                raise
            url = make_url(self._urls["owner"])
            raise ConfigurationError(
                f"the role {url.username!r} of the test database may not do what tests need: "
                f"{error.orig}; let it make databases (ALTER ROLE … CREATEDB), or give another "
                "TEST_DATABASE_URL"
            ) from error
        return result.scalar() if result.returns_rows else None


async def _read_sequences(url: str) -> str:
    """Give what is the same when every sequence of a database stands where it stood."""
    connection = await asyncpg.connect(_with(url, driver=""))
    try:
        names = [name for (name,) in await connection.fetch(_SEQUENCES)]
        each = (f"SELECT last_value, is_called FROM {name}" for name in names)  # noqa: S608
        found = await connection.fetch(" UNION ALL ".join(each)) if names else []
    except asyncpg.PostgresError:  # one that the role may not read
        return uuid.uuid4().hex
    finally:
        await connection.close()
    return hashlib.sha256(repr((names, found)).encode()).hexdigest()[:16] if names else ""


def _with(url: str, *, database: str | None = None, driver: str | None = None) -> str:
    made = make_url(url)
    if database is not None:
        made = made.set(database=database)
    if driver is not None:
        made = _of_driver(made, driver)
    return made.render_as_string(hide_password=False)


def _of_driver(url: URL, driver: str) -> URL:
    """Name the mode of TLS as a driver's dialect does, or libpq where there is no dialect."""
    mode = {
        "ssl" if driver else "sslmode": value
        for key, value in url.query.items()
        if key in {"ssl", "sslmode"}
    }
    plain = url.difference_update_query(["ssl", "sslmode"]).update_query_dict(mode)
    return plain.set(drivername=f"postgresql+{driver}".rstrip("+"))
