"""Run a real PostgreSQL for development and tests."""

import asyncio
import base64
import hashlib
import hmac
import os
import secrets
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import asyncpg

from holdfast.errors import ConfigurationError, ServiceError
from holdfast.events import Events
from holdfast.services.binaries import Binary, find_postgres
from holdfast.services.copies import within_reach
from holdfast.services.failures import failure
from holdfast.services.lock import Lock
from holdfast.services.place import Info, Place
from holdfast.services.policy import ServerPolicy
from holdfast.services.ports import free_port, in_url
from holdfast.services.process import alive, in_thread, runs_in, until
from holdfast.services.server import Launch, Server

ROLES = ("owner", "app", "readonly")
SUPERUSER = "postgres"  # for what only a superuser may do; no application runs as it
DEFAULT_PORT = 5432  # names the socket where there is no TCP; it cannot be taken there

# One at a time makes roles and databases in a server, whatever process it is in.
SETTING_UP = "SELECT pg_advisory_lock(hashtext('holdfast.services'))"


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresPolicy(ServerPolicy):
    """How PostgreSQL is run; `settings` are parameters of postgresql.conf.

    Attributes:
        database: made at the start if it is not there.

    Example:
        >>> PostgresPolicy(listen="127.0.0.1", settings={"log_statement": "all"}).port
        0
    """

    database: str = "app"

    def __post_init__(self) -> None:
        ServerPolicy.__post_init__(self)  # a class with slots has no super() in a dataclass
        _identifier(self.database)


class PostgresServer(Server):
    """PostgreSQL in a folder, as a child process: for development and tests, not for production.

    It listens on a unix socket, has the roles `owner`, `app` and `readonly`, and the database of
    the policy. It is stopped with the context, and also when this process is killed. A second
    process on the same folder joins it instead.

    Args:
        folder: keeps `postgres/` with the data; None for a temporary folder, removed at the end.
        policy: ports, database, time limits and settings.
        events: told what happened.

    Example:
        >>> async with PostgresServer(Path(".holdfast")) as server:  # doctest: +SKIP
        ...     connection = await asyncpg.connect(server.url())
    """

    name: ClassVar[str] = "postgres"
    title: ClassVar[str] = "PostgreSQL"
    # Fast shutdown, then immediate shutdown, then death; see "Shutting Down the Server".
    signals: ClassVar[tuple[signal.Signals, ...]] = (
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGKILL,
    )

    def __init__(
        self,
        folder: Path | None = None,
        *,
        policy: PostgresPolicy | None = None,
        events: Events | None = None,
    ) -> None:
        self._database = (policy := policy or PostgresPolicy()).database
        super().__init__(folder, policy, events)

    def url(self, role: str = "app", database: str | None = None) -> str:
        """Give the URL of a database for a role: `app`, `owner`, `readonly` or `postgres`.

        It has a password where the policy listens on an address, and then it is a secret.

        Args:
            role: `app` for applications and tests, `owner` for migrations.
            database: the policy's when None.

        Raises:
            ConfigurationError: there is no such role.
            ServiceError: the server is not started.

        Example:
            >>> PostgresServer().url()
            Traceback (most recent call last):
            holdfast.errors.ServiceError: PostgreSQL is not started: call start() or attach() first
        """
        info = self._state.info
        name = quote(database or self._database, safe="")
        if role not in (*ROLES, SUPERUSER):
            raise ConfigurationError(f"there is no role {role!r}, only {', '.join(ROLES)}")
        if self._policy.listen and info.listen and role in ROLES:
            address = f"{in_url(info.listen)}:{info.port}"
            return f"postgresql://{role}:{info.passwords[role]}@{address}/{name}"
        return f"postgresql://{role}@/{name}?host={quote(info.socket)}&port={info.port}"

    async def create_database(self, name: str) -> None:
        """Make another database with the same roles and rights, unless it is there.

        Raises:
            ConfigurationError: the name cannot be one.
            ServiceError: the server is not started.
        """
        info = self._state.info
        async with _superuser(info) as connection:
            await connection.execute(SETTING_UP)
            await _create(connection, name)

    async def _launch(self, place: Place, lock: Lock) -> Launch:
        binary = await in_thread(partial(self._choose, place))
        self._refuse_foreign(place)
        if not place.data.exists():
            await self._make_data(binary, place, lock)
        listen = self._policy.listen
        info = Info(
            product=binary.product,
            version=binary.version,
            path=str(binary.path),
            source=binary.source,
            socket=str(place.socket_folder(".s.PGSQL.65535")),
            port=free_port(listen, self._policy.port) if listen else DEFAULT_PORT,
            listen=listen,
            passwords=place.passwords(ROLES) if listen else {},
        )
        return Launch(info=info, command=[binary.path, "-D", place.data, *self._options(info)])

    def _choose(self, place: Place) -> Binary:
        made_by = _major_of(place.data)
        try:
            binary = find_postgres(major=made_by, events=self._events)
        except ConfigurationError as error:
            if made_by is None:
                raise
            raise ConfigurationError(
                f"{place.data} was made by PostgreSQL {made_by}, which alone can read it: {error}; "
                f"install PostgreSQL {made_by}, or remove {place.root} to begin anew"
            ) from error
        return within_reach(binary, place)

    def _options(self, info: Info) -> list[str]:
        settings = {
            "timezone": "UTC",
            "log_timezone": "UTC",
            **self._policy.settings,
            "unix_socket_directories": info.socket,
            "listen_addresses": info.listen or "",
            "port": str(info.port),
            "logging_collector": "off",
            "log_destination": "stderr",
            "lc_messages": "C",
        }
        return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

    async def _make_data(self, binary: Binary, place: Place, lock: Lock) -> None:
        """Run initdb beside the final folder, so that a crash leaves no half of one."""
        new = place.make(place.root / "data.new")
        status, words = await self._initdb(binary, place, lock, new, "C.UTF-8")
        if "invalid locale name" in words:
            new = place.make(new)
            status, words = await self._initdb(binary, place, lock, new, "C")
        if status != 0:
            shutil.rmtree(new)
            raise failure(f"initdb of {binary} for {place.root}", status, words)
        new.rename(place.data)

    async def _initdb(
        self, binary: Binary, place: Place, lock: Lock, new: Path, locale: str
    ) -> tuple[int | None, str]:
        command: list[str | Path] = [
            binary.path.with_name("initdb"),
            f"--pgdata={new}",
            f"--username={SUPERUSER}",
            "--encoding=UTF8",
            f"--locale={locale}",
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            "--no-sync",
            "--no-instructions",
        ]
        # A pipe, because on a full disk there is no room for words in a file; they fit into it.
        reader, writer = os.pipe()
        stops = (signal.SIGTERM, signal.SIGKILL)
        with os.fdopen(reader, "rb") as words:
            with os.fdopen(writer, "wb"):
                child = self._spawn(command, place, lock, output=writer, signals=stops)
            if not await until(lambda: child.status is not None, self._policy.start_timeout):
                raise ServiceError(f"initdb did not end within {self._policy.start_timeout:g} s")
            child.release()
            return child.status, words.read().decode(errors="replace")

    async def _reach(self, info: Info, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds), _superuser(info):
                return True
        except (OSError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError):
            return False

    async def _settle(self, info: Info) -> None:
        seconds = self._policy.start_timeout
        try:
            async with asyncio.timeout(seconds):
                await self._set_up(info)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            what = f"in {seconds:g} s" if isinstance(error, TimeoutError) else f"({error})"
            raise ServiceError(
                f"PostgreSQL started, but its roles and databases could not be made {what}"
            ) from error

    async def _set_up(self, info: Info) -> None:
        async with _superuser(info) as connection:
            await connection.execute(SETTING_UP)
            if not await _exists(connection, "pg_roles WHERE rolname", ROLES[-1]):
                await _make_roles(info)
            for role, password in info.passwords.items():
                await connection.execute(f"ALTER ROLE {role} PASSWORD '{_verifier(password)}'")
            await _create(connection, self._database)

    def _pid_file(self, place: Place) -> Path:
        return place.data / "postmaster.pid"

    def _read_pid(self, place: Place) -> int | None:
        # A file that a killed server has left may name a process that is none of ours.
        pid = super()._read_pid(place)
        return pid if pid and runs_in(pid, place.data) else None

    def _refuse_foreign(self, place: Place) -> None:
        """Deal with a pid file whose process lives: PostgreSQL would refuse to start beside it.

        The lock was free, so no server of ours is left: either somebody started one by hand, or
        the number belongs to something else by now.
        """
        pid = super()._read_pid(place)
        if pid is None or not alive(pid):
            return
        if runs_in(pid, place.data):
            raise ServiceError(
                f"a PostgreSQL that Holdfast did not start, process {pid}, uses {place.data}: "
                f"stop it with: kill -INT {pid}"
            )
        self._pid_file(place).unlink()


@asynccontextmanager
async def _superuser(
    info: Info, database: str = SUPERUSER
) -> AsyncIterator["asyncpg.Connection[Any]"]:
    connection = await asyncpg.connect(
        host=info.socket,
        port=info.port,
        user=SUPERUSER,
        database=database,
        ssl=False,
        target_session_attrs="any",
    )
    try:
        yield connection
    finally:
        await connection.close()


async def _make_roles(info: Info) -> None:
    statements = files(__package__).joinpath("roles.sql").read_text(encoding="utf-8")
    async with _superuser(info, "template1") as connection, connection.transaction():
        await connection.execute(statements)


async def _create(connection: "asyncpg.Connection[Any]", name: str) -> None:
    identifier = _identifier(name)
    if not await _exists(connection, "pg_database WHERE datname", name):
        await connection.execute(f"CREATE DATABASE {identifier} OWNER owner")


async def _exists(connection: "asyncpg.Connection[Any]", where: str, name: str) -> bool:
    return bool(await connection.fetchval(f"SELECT true FROM {where} = $1", name))  # noqa: S608  -- `where` is one of two constants of this file


def _identifier(name: str) -> str:
    if not 0 < len(name.encode()) < 64 or "\0" in name:
        raise ConfigurationError(f"{name!r} is no name for a database: 1 to 63 bytes, no zero")
    return '"' + name.replace('"', '""') + '"'


def _verifier(password: str) -> str:
    """Hash a password as PostgreSQL stores it, so that no log can hold the password itself."""
    salt, rounds = secrets.token_bytes(16), 4096
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    client = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    parts = [base64.b64encode(part).decode() for part in (salt, client, server)]
    return f"SCRAM-SHA-256${rounds}:{parts[0]}${parts[1]}:{parts[2]}"


def _major_of(data: Path) -> str | None:
    """Read which major version made a data folder, None where there is none yet."""
    try:
        return (data / "PG_VERSION").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        if not data.exists():
            return None
        raise ConfigurationError(
            f"{data} is no data folder of PostgreSQL, it has no PG_VERSION: "
            f"remove it to begin anew, or put the right one there"
        ) from None
