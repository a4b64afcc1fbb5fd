"""The servers of a run of tests: started when a test first asks, stopped when the run ends."""

import asyncio
import itertools
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any, Literal, TypedDict
from uuid import uuid4

import asyncpg

from holdfast.errors import ConfigurationError, HoldfastError, ServiceError, UnavailableError
from holdfast.services import PostgresPolicy, PostgresServer, RedisPolicy, RedisServer, remove
from holdfast.settings import find_project
from holdfast.testing.running import run
from holdfast.urls import parse

Name = Literal["postgres", "redis"]
Urls = Mapping[str, str]  # by role: owner and app, or redis

_TURN = "turn"
_NUMBER = "number"
_RECOVERY = 60.0  # seconds for a server that was killed to answer again
_PAUSE = 0.05  # seconds between two questions
_DATABASE = "app"  # of the server's own; tests only make others from it
# Whoever loses power during a run of tests runs them again.
_POSTGRES = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "300",
}
_TEST_NAME = re.compile(r"(?:^|[^a-z])tests?(?:$|[^a-z])", re.IGNORECASE)


class Servers:
    """Starts each server when it is first asked for.

    Args:
        root: of the project, which keeps PostgreSQL's data from run to run. A run that finds it in
            use, by another run, has a temporary folder instead.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._started: dict[Name, PostgresServer | RedisServer] = {}
        self._lock = threading.Lock()

    def urls(self, name: Name) -> Urls:
        """Give where a server is reached, by role; start it before that if it does not run.

        Raises:
            HoldfastError: there is no such server on this machine, or it did not start.
        """
        with self._lock:
            server = self._started.get(name) or run(self._start(name))
            self._started[name] = server
            run(_until_it_answers(server))
        if isinstance(server, PostgresServer):
            return {"owner": server.url("owner"), "app": server.url("app")}
        return {"redis": server.url()}

    def stop(self) -> None:
        """Stop what was started."""
        with self._lock:
            while self._started:
                _, server = self._started.popitem()
                run(server.stop())

    async def _start(self, name: Name) -> PostgresServer | RedisServer:
        if name == "redis":
            redis = RedisServer(policy=RedisPolicy())
            await redis.start()
            return redis
        policy = PostgresPolicy(database=_DATABASE, settings=_POSTGRES)
        folder = find_project(self._root).testing_path
        kept = PostgresServer(folder, policy=policy)
        try:
            await kept.start()
        except ServiceError:
            # Without fsync, what is kept may not have survived a crash of the machine.
            await remove(folder)
            await kept.start()
        if not kept.attached:
            return kept
        await kept.stop()
        another = PostgresServer(policy=policy)
        await another.start()
        return another


async def _until_it_answers(server: PostgresServer | RedisServer) -> None:
    """Start a server again where a test has killed it; it may still be ending, or recovering."""
    end = time.monotonic() + _RECOVERY
    await server.start()
    while not await _answers(server):
        if time.monotonic() > end:
            raise ServiceError(f"{server.product} does not answer; its log is {server.log}")
        await asyncio.sleep(_PAUSE)
        await server.start()


async def _answers(server: PostgresServer | RedisServer) -> bool:
    if isinstance(server, RedisServer):
        from holdfast import redis  # noqa: PLC0415  -- tests without it need not load it

        with suppress(UnavailableError):
            async with redis.client(server.url()) as client:
                return bool(await redis.ping(client))
        return False
    with suppress(OSError, asyncpg.PostgresError):
        # Not a Database: this process may need SQLAlchemy for nothing else.
        connection = await asyncpg.connect(server.url("owner"))
        await connection.close()
        return True
    return False


class Invitation(TypedDict):
    """What the other processes of a run need to ask its first one."""

    run: str
    address: str
    key: str


class Host:
    """The first process of a run: it has the servers, which so end with it and not before.

    Args:
        servers: not started yet.

    Attributes:
        run: names the run, the same in each of its processes; letters and digits.
    """

    def __init__(self, servers: Servers) -> None:
        self.run = uuid4().hex[:8]
        self._servers = servers
        self._turn = threading.Lock()
        self._numbers = Numbers()
        self._key = os.urandom(16)
        self._listener: Listener | None = None

    def invite(self) -> Invitation:
        """Let another process ask for servers."""
        if self._listener is None:
            self._listener = Listener(family="AF_UNIX", authkey=self._key)
            threading.Thread(target=self._serve, args=[self._listener], daemon=True).start()
        return {"run": self.run, "address": str(self._listener.address), "key": self._key.hex()}

    def urls(self, name: Name) -> Urls:
        """Give where a server is reached, by role; start it when it is first asked for.

        Raises:
            HoldfastError: there is no such server on this machine, or it did not start.
        """
        return self._servers.urls(name)

    def number(self) -> "Number":
        """Give the number of this process among those that have one."""
        return 0, False

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Keep the others waiting for their turn while the block runs."""
        with self._turn:
            yield

    def close(self) -> None:
        """Answer nobody any more, and stop the servers."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        self._servers.stop()

    def _serve(self, listener: Listener) -> None:
        while self._listener is listener:
            try:
                connection = listener.accept()
            except (EOFError, OSError, AuthenticationError):  # who asked is gone already
                continue
            threading.Thread(target=self._answer, args=[connection], daemon=True).start()

    def _answer(self, connection: "Connection[Any, Any]") -> None:
        with connection, suppress(EOFError, OSError):
            asked = connection.recv()
            if asked == _TURN:
                with self._turn:
                    connection.send(None)
                    connection.recv()  # nothing comes: until it closes, or its process ends
            elif asked == _NUMBER:
                with self._numbers.lend() as number:
                    connection.send(number)
                    connection.recv()
            else:
                connection.send(self._urls_or_error(asked))

    def _urls_or_error(self, name: Name) -> Urls | str:
        try:
            return self.urls(name)
        except HoldfastError as error:
            return str(error)


Number = tuple[int, bool]  # and whether another process of the run had it before


class Numbers:
    """The smallest numbers from 0 for the processes of a run that live, each for one of them.

    pytest-xdist counts on: a worker in place of one that crashed has a name never used before.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lent: set[int] = set()
        self._used: set[int] = set()

    @contextmanager
    def lend(self) -> Iterator[Number]:
        """Give a number that is nobody else's while the block runs."""
        with self._lock:
            number = next(each for each in itertools.count() if each not in self._lent)
            used = number in self._used
            self._lent.add(number)
            self._used.add(number)
        try:
            yield number, used
        finally:
            self._lent.discard(number)


class Guest:
    """Any other process of a run.

    Args:
        invitation: of the first.
    """

    def __init__(self, invitation: Invitation) -> None:
        self.run = invitation["run"]
        self._address = invitation["address"]
        self._key = bytes.fromhex(invitation["key"])
        self._number: Connection[Any, Any] | None = None

    def urls(self, name: Name) -> Urls:
        """Ask for a server.

        Raises:
            ServiceError: there is none; the message is the first process's.
        """
        with Client(self._address, family="AF_UNIX", authkey=self._key) as connection:
            connection.send(name)
            answer = connection.recv()
        if isinstance(answer, str):
            raise ServiceError(answer)
        return dict(answer)

    def number(self) -> Number:
        """Ask for the number that this process has until it ends, in whatever way."""
        self._number = Client(self._address, family="AF_UNIX", authkey=self._key)
        self._number.send(_NUMBER)
        number, used = self._number.recv()
        return int(number), bool(used)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Keep the others waiting for their turn while the block runs."""
        with Client(self._address, family="AF_UNIX", authkey=self._key) as connection:
            connection.send(_TURN)
            connection.recv()
            yield


Party = Host | Guest


def given(variable: str, url: str, *, unsafe: bool) -> Urls:
    """Take a server that was given by the URL of one of its databases.

    Raises:
        ConfigurationError: it is no URL of a PostgreSQL, or the database does not look like one
            for tests.
    """
    try:
        parsed = parse(url)
    except ConfigurationError as error:
        raise ConfigurationError(f"{variable}: {error}") from None
    if parsed.backend != "postgresql":
        raise ConfigurationError(
            f"{variable}: it names a PostgreSQL to make databases on; for SQLite there is "
            "--holdfast-engine=sqlite"
        )
    name = parsed.engine.database or ""
    if not unsafe and not _TEST_NAME.search(name):
        raise ConfigurationError(
            f"{variable}: its database {name!r} does not look like one for tests, so it is left "
            "alone; name one such as 'test' or 'shop_test', or add --holdfast-any-database"
        )
    return {"owner": url, "app": url}
