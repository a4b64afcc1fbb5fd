"""Run a real Redis or Valkey for development and tests."""

import asyncio
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from holdfast.events import Events
from holdfast.services.binaries import find_redis
from holdfast.services.copies import within_reach
from holdfast.services.lock import Lock
from holdfast.services.place import Info, Place
from holdfast.services.policy import ServerPolicy, refuse_settings
from holdfast.services.ports import free_port, in_url
from holdfast.services.process import in_thread
from holdfast.services.running import Launch, Spawn, noted_pid
from holdfast.services.server import Server

SOCKET = "redis.sock"

# Where the server is found is decided here, by the policy's other fields.
RESERVED = frozenset(
    {"daemonize", "dir", "pidfile", "unixsocket", "unixsocketperm", "port", "bind", "requirepass"}
    | {"logfile", "tls-port", "supervised"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisPolicy(ServerPolicy):
    """How Redis is run; `settings` are lines of redis.conf.

    Nothing is written to disk and nothing is evicted, unless `settings` say so.

    Example:
        >>> RedisPolicy(settings={"appendonly": "yes"}).listen is None
        True
    """

    def __post_init__(self) -> None:
        ServerPolicy.__post_init__(self)  # a class with slots has no super() in a dataclass
        refuse_settings(self.settings, RESERVED)


class RedisServer(Server):
    """Redis or Valkey in a folder, as a child process: for development and tests.

    Args:
        folder: keeps `redis/`; None for a temporary folder, removed at the end.
        policy: ports, time limits and settings.
        events: told what happened.

    Example:
        >>> async with RedisServer(Path(".holdfast")) as server:  # doctest: +SKIP
        ...     client = redis.asyncio.from_url(server.url())
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        policy: RedisPolicy | None = None,
        events: Events | None = None,
    ) -> None:
        policy, events = policy or RedisPolicy(), events or Events()
        super().__init__(folder, _Engine(policy, events), policy, events)

    def url(self, database: int = 0) -> str:
        """Give the URL of a database; with a password, and so a secret, where it is TCP.

        Raises:
            ServiceError: the server is not started.
        """
        info = self._state.info
        password = info.passwords.get("default", "")
        if info.listen:
            return f"redis://:{password}@{in_url(info.listen)}:{info.port}/{database}"
        secret = f"&password={password}" if password else ""
        return f"unix://{quote(f'{info.socket}/{SOCKET}')}?db={database}{secret}"


class _Engine:
    """How Redis is prepared, run and reached."""

    name = "redis"
    title = "Redis"
    signals = (signal.SIGTERM, signal.SIGKILL)

    def __init__(self, policy: RedisPolicy, events: Events) -> None:
        self._policy = policy
        self._events = events

    async def launch(self, place: Place, lock: Lock, spawn: Spawn) -> Launch:
        binary = await in_thread(lambda: within_reach(find_redis(events=self._events), place))
        self.pid_file(place).unlink(missing_ok=True)
        if not place.data.exists():
            place.make(place.data)
        listen = self._policy.listen
        info = Info(
            product=binary.product,
            version=binary.version,
            path=str(binary.path),
            source=binary.source,
            socket=str(place.socket_folder(SOCKET)),
            port=free_port(listen, self._policy.port) if listen else 0,
            listen=listen,
            passwords=place.passwords(["default"]) if listen else {},
        )
        # A file, because everybody may read the arguments of a process.
        configuration = place.root / "redis.conf"
        place.write(configuration, self._configuration(place, info))
        return Launch(info=info, command=[binary.path, configuration])

    async def reach(self, info: Info, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await _ping(info)
        except OSError:
            return False

    async def settle(self, info: Info) -> None:
        """Leave it as it is: everything is in the configuration."""

    def pid_file(self, place: Place) -> Path:
        return place.root / "redis.pid"

    def read_pid(self, place: Place) -> int | None:
        # The one who starts a server removes the file first, so it is never an old one.
        return noted_pid(self.pid_file(place))

    def _configuration(self, place: Place, info: Info) -> str:
        lines = {
            "save": '""',
            "appendonly": "no",
            "maxmemory-policy": "noeviction",
            **self._policy.settings,
            "daemonize": "no",
            "dir": _quoted(place.data),
            "pidfile": _quoted(self.pid_file(place)),
            "unixsocket": _quoted(Path(info.socket, SOCKET)),
            "unixsocketperm": "700",
            "port": str(info.port),
        }
        if info.listen:
            lines |= {"bind": info.listen, "requirepass": info.passwords["default"]}
        return "".join(f"{name} {value}\n" for name, value in lines.items())


async def _ping(info: Info) -> bool:
    """Ask without a client, which the base install does not have."""
    reader, writer = await asyncio.open_unix_connection(f"{info.socket}/{SOCKET}")
    try:
        if password := info.passwords.get("default"):
            writer.write(f"AUTH {password}\r\n".encode())
            await reader.readline()
        writer.write(b"PING\r\n")
        return await reader.readline() == b"+PONG\r\n"
    finally:
        writer.close()


def _quoted(path: Path) -> str:
    """Write a path of any bytes as one word of a redis.conf."""
    text = "".join(
        chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\' else f"\\x{byte:02x}"
        for byte in os.fsencode(path)
    )
    return f'"{text}"'
