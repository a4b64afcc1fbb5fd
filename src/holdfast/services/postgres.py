"""Run a real PostgreSQL for development and tests."""

import asyncio
import signal
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote

from holdfast.errors import ConfigurationError, ServiceError
from holdfast.events import Events
from holdfast.services.binaries import Binary, find_postgres
from holdfast.services.copies import within_reach
from holdfast.services.initdb import Initdb, major_of
from holdfast.services.lock import Lock
from holdfast.services.place import Info, Place
from holdfast.services.policy import ServerPolicy, refuse_settings
from holdfast.services.ports import free_port, in_url
from holdfast.services.process import alive, in_thread, runs_in
from holdfast.services.roles import ROLES, SUPERUSER, identifier, make_database, set_up, superuser
from holdfast.services.running import Launch, Spawn, noted_pid
from holdfast.services.server import Server

DEFAULT_PORT = 5432  # names the socket where there is no TCP; it cannot be taken there

# Where the server is found and what it prints are decided here, by the policy's other fields.
RESERVED = frozenset(
    {
        "unix_socket_directories",
        "listen_addresses",
        "port",
        "logging_collector",
        "log_destination",
        "lc_messages",
        "data_directory",
    }
)


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
        identifier(self.database)
        refuse_settings(self.settings, RESERVED)


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

    def __init__(
        self,
        folder: Path | None = None,
        *,
        policy: PostgresPolicy | None = None,
        events: Events | None = None,
    ) -> None:
        policy, events = policy or PostgresPolicy(), events or Events()
        self._database = policy.database
        super().__init__(folder, _Engine(policy, events), policy, events)

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
        if info.listen and role in ROLES:
            address = f"{in_url(info.listen)}:{info.port}"
            return f"postgresql://{role}:{info.passwords[role]}@{address}/{name}"
        return f"postgresql://{role}@/{name}?host={quote(info.socket)}&port={info.port}"

    async def create_database(self, name: str) -> None:
        """Make another database with the same roles and rights, unless it is there.

        Raises:
            ConfigurationError: the name cannot be one.
            ServiceError: the server is not started.
        """
        identifier(name)
        await make_database(self._state.info, name)


class _Engine:
    """How PostgreSQL is prepared, run and reached."""

    name = "postgres"
    title = "PostgreSQL"
    # Fast shutdown, then immediate shutdown, then death; see "Shutting Down the Server".
    signals = (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)

    def __init__(self, policy: PostgresPolicy, events: Events) -> None:
        self._policy = policy
        self._events = events

    async def launch(self, place: Place, lock: Lock, spawn: Spawn) -> Launch:
        binary = await in_thread(partial(self._choose, place))
        self._refuse_foreign(place)
        if not place.data.exists():
            timeout = self._policy.start_timeout
            making = Initdb(binary=binary, place=place, lock=lock, spawn=spawn, timeout=timeout)
            await making.run()
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

    async def reach(self, info: Info, seconds: float) -> bool:
        import asyncpg  # noqa: PLC0415  -- as in roles.py

        try:
            async with asyncio.timeout(seconds), superuser(info):
                return True
        except (OSError, asyncpg.OperatorInterventionError, asyncpg.PostgresConnectionError):
            return False  # it is not there yet, or about to go
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise ServiceError(
                f"PostgreSQL runs, but does not let itself be used ({error}): "
                f"mend that, or stop it and start again; its socket is in {info.socket}"
            ) from error

    async def settle(self, info: Info) -> None:
        import asyncpg  # noqa: PLC0415  -- as in roles.py

        seconds = self._policy.start_timeout
        try:
            async with asyncio.timeout(seconds):
                await set_up(info, self._policy.database)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            what = f"in {seconds:g} s" if isinstance(error, TimeoutError) else f"({error})"
            raise ServiceError(
                f"PostgreSQL started, but its roles and databases could not be made {what}"
            ) from error

    def pid_file(self, place: Place) -> Path:
        return place.data / "postmaster.pid"

    def read_pid(self, place: Place) -> int | None:
        # A file that a killed server has left may name a process that is none of ours.
        pid = noted_pid(self.pid_file(place))
        return pid if pid and runs_in(pid, place.data) else None

    def _choose(self, place: Place) -> Binary:
        made_by = major_of(place.data)
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
            "lc_messages": "C",  # the words that errors are recognised by
        }
        return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

    def _refuse_foreign(self, place: Place) -> None:
        """Deal with a pid file whose process lives: PostgreSQL would refuse to start beside it.

        The lock was free, so no server of ours is left: either somebody started one by hand, or
        the number belongs to something else by now.
        """
        pid = noted_pid(self.pid_file(place))
        if pid is None or not alive(pid):
            return
        if runs_in(pid, place.data):
            raise ServiceError(
                f"a PostgreSQL that Holdfast did not start, process {pid}, uses {place.data}: "
                f"stop it with: kill -INT {pid}"
            )
        self.pid_file(place).unlink()
