"""Make a driver's connection: each host in turn, with a limit of its own, until one fits."""

import asyncio
import inspect
import random
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from holdfast.errors import ConfigurationError
from holdfast.pool import Background
from holdfast.urls import DatabaseUrl, Host

Password = Callable[[], str | Awaitable[str]]
_STANDBY = "SELECT pg_is_in_recovery()::text"
_READ_ONLY = "SELECT current_setting('transaction_read_only')"
# The server says these by itself, from PostgreSQL 14 on; a pooler may not.
_IN_RECOVERY = "in_hot_standby"
_READS_ONLY = "default_transaction_read_only"
# A server that vanished (a machine that is off, a cut network) is noticed within half a minute,
# not within the two hours of the system's defaults: seconds, and milliseconds for the last one.
PEER: dict[str, Any] = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
# Makes a session as it began, outside of a transaction. DISCARD ALL would forget the role of
# `options=-crole=…`, and has to be alone.
AS_NEW = (
    "SET SESSION AUTHORIZATION DEFAULT; RESET ROLE; RESET ALL; CLOSE ALL; UNLISTEN *; "
    "SELECT pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES; DEALLOCATE ALL"
)
_OPTIONS: Mapping[str, str] = {
    "keepalives_idle": "TCP_KEEPIDLE",
    "keepalives_interval": "TCP_KEEPINTVL",
    "keepalives_count": "TCP_KEEPCNT",
    "tcp_user_timeout": "TCP_USER_TIMEOUT",
}
_TRUE = frozenset({"on", "true"})


class Driver(Protocol):
    """What differs between drivers: `holdfast.database.asyncpg` and `.psycopg`."""

    def connect(self, *args: Any, **options: Any) -> Awaitable[Any]:
        """Make a connection."""

    def close(self, driver: Any) -> Awaitable[None]:
        """Close one."""

    def parameter(self, driver: Any, name: str) -> str | None:
        """Give a parameter that the server has told of itself."""

    def ask(self, driver: Any, sql: str) -> Awaitable[str]:
        """Run a query outside of any transaction and give its one value."""

    def limit(self, driver: Any, settings: str) -> None:
        """Have these settings in each transaction."""


class Dialler:
    """Makes the connections of one engine, as the driver's own `connect` would.

    Of several hosts the one that served last is dialled first. Where the URL does not say which
    kind of server it wants (`target_session_attrs`), one that writes is taken before one that only
    reads.

    Args:
        driver: makes one connection.
        url: the hosts, and what is wanted of them.
        within: seconds for all hosts together; each gets an equal share.
        password: asked before each connection; None takes the URL's.
        begins_with: follows each BEGIN, behind a pooler that takes no settings.
        leaving: holds attempts that nobody waits for any more.
    """

    def __init__(
        self,
        driver: Driver,
        url: DatabaseUrl,
        *,
        within: float,
        password: Password | None,
        begins_with: str,
        leaving: Background,
    ) -> None:
        self._driver = driver
        self._url = url
        self._within = within
        self._password = password
        self._begins_with = begins_with
        self._leaving = leaving
        self._hosts = list(url.hosts)

    async def __call__(self, *args: Any, **options: Any) -> Any:
        """Make a connection.

        Raises:
            NoHostError: no host of several could be used.
            Exception: the driver's own, or what `password` raised.
        """
        options |= await self._tls()
        if self._password:
            options["password"] = await self._ask_password(self._password)
        driver = await self._connect(*args, **options)
        self._driver.limit(driver, self._begins_with)
        return driver

    async def _connect(self, *args: Any, **options: Any) -> Any:
        if len(self._hosts) <= 1:
            return await self._driver.connect(*args, **options)
        for key in ("target_session_attrs", "load_balance_hosts"):
            options.pop(key, None)
        return await self._first_that_fits(partial(self._driver.connect, *args, **options))

    async def _tls(self) -> Mapping[str, Any]:
        # Files of certificates are read for each connection: they may have been renewed.
        if self._url.tls.insists:
            return await asyncio.to_thread(self._url.tls_args)
        return self._url.tls_args()

    async def _ask_password(self, password: Password) -> str:
        given = password()
        answer = await given if inspect.isawaitable(given) else given
        if not isinstance(answer, str):
            raise ConfigurationError(
                f"the password callable gave a {type(answer).__name__}; it is to give a str"
            )
        return answer

    async def _first_that_fits(self, connect: Callable[..., Awaitable[Any]]) -> Any:
        """Dial the hosts; a standby is kept meanwhile where it would do."""
        failed: list[tuple[Host, Exception]] = []
        second: tuple[Host, Any] | None = None
        for host in self._order():
            try:
                driver, fits = await self._in_time(self._dial(connect, host))
            except Exception as error:  # noqa: BLE001  -- the next host may be well
                failed.append((host, error))
                continue
            if fits:
                await self._release(second)
                self._prefer(host)
                return driver
            if second is None and self._takes_any():
                second = host, driver
            else:
                await self._driver.close(driver)
                failed.append((host, ConnectionError(f"it is not {self._wanted()}")))
        if second is not None:
            return second[1]
        raise self._no_host(failed)

    async def _dial(self, connect: Callable[..., Awaitable[Any]], host: Host) -> tuple[Any, bool]:
        driver = await connect(host=host.host, port=host.port)
        try:
            return driver, await self._fits(driver)
        except BaseException:
            await self._driver.close(driver)
            raise

    async def _in_time(self, dialling: Any) -> tuple[Any, bool]:
        """Await one host for its share; what comes of it later is closed.

        A driver that is cancelled may forget what it has so far, and the server keep it.
        """
        task: asyncio.Task[tuple[Any, bool]] = asyncio.create_task(dialling)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
        await asyncio.wait({task}, timeout=self._within / len(self._hosts))
        if task.done():
            return task.result()
        closing = asyncio.create_task(self._close_later(task))
        self._leaving.add(closing)
        closing.add_done_callback(self._leaving.discard)
        raise TimeoutError(f"no answer within {self._within / len(self._hosts):g} s")

    async def _close_later(self, dialling: "asyncio.Task[tuple[Any, bool]]") -> None:
        await asyncio.wait({dialling})
        if not dialling.cancelled() and dialling.exception() is None:
            await self._driver.close(dialling.result()[0])

    async def _release(self, second: tuple[Host, Any] | None) -> None:
        if second is not None:
            await self._driver.close(second[1])

    def _order(self) -> Sequence[Host]:
        return random.sample(self._hosts, len(self._hosts)) if self._url.balanced else self._hosts

    def _prefer(self, host: Host) -> None:
        self._hosts = [host, *(each for each in self._hosts if each != host)]

    def _wanted(self) -> str:
        return self._url.target or "read-write"

    def _takes_any(self) -> bool:
        return self._url.target in {None, "prefer-standby"}

    async def _fits(self, driver: Any) -> bool:
        wanted = self._wanted()
        if wanted == "any":
            return True
        standby = await self._is(driver, _IN_RECOVERY, _STANDBY)
        if wanted in {"primary", "standby", "prefer-standby"}:
            return standby == (wanted != "primary")
        reads_only = standby or await self._is(driver, _READS_ONLY, _READ_ONLY)
        return reads_only == (wanted == "read-only")

    async def _is(self, driver: Any, parameter: str, sql: str) -> bool:
        said = self._driver.parameter(driver, parameter)
        return (said if said is not None else await self._driver.ask(driver, sql)) in _TRUE

    def _no_host(self, failed: Sequence[tuple[Host, Exception]]) -> Exception:
        """Give the error for all hosts: their common one, or one that lists them."""
        from holdfast.database.causes import NoHostError, find_cause  # noqa: PLC0415  -- only here

        states = {getattr(error, "sqlstate", None) for _, error in failed}
        if len(states) == 1 and states != {None}:
            return failed[0][1]
        share = self._within / len(self._hosts)
        return NoHostError([(host, find_cause(error, self._url, share)) for host, error in failed])


def watch_peer(sock: Any) -> None:
    """Have the system ask the other end of a TCP connection whether it is still there."""
    if sock is None or sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for key, value in PEER.items():
        option = getattr(socket, _OPTIONS[key], None)  # not every system has each
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
