"""Whatever is killed, stale, full or wrong: the next start works, or says exactly what is wrong."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from holdfast.errors import ConfigurationError, ServiceError
from holdfast.services import PostgresPolicy, PostgresServer, RedisServer, find_postgres
from holdfast.services.account import account_of
from holdfast.services.process import until

PATIENCE = 20.0  # seconds until a fact that is waited for counts as not coming


async def rows(server: PostgresServer) -> int:
    connection = await asyncpg.connect(server.url())
    try:
        return await connection.fetchval("SELECT count(*) FROM kept")
    finally:
        await connection.close()


async def commit(server: PostgresServer, number: int) -> None:
    connection = await asyncpg.connect(server.url("owner"))
    await connection.execute("CREATE TABLE IF NOT EXISTS kept (id int)")
    for value in range(number):
        await connection.execute("INSERT INTO kept VALUES ($1)", value)
    await connection.close()


async def test_kill_9_of_postgresql(postgres_binary, project: Path, running) -> None:
    """After kill -9 it is said what happened, and the next start has every committed row."""
    server = PostgresServer(project)
    await server.start()
    await commit(server, 20)

    os.kill(server.pid, signal.SIGKILL)

    with pytest.raises(ServiceError, match=r"(?s)SIGKILL.*it said"):
        await server.wait()
    await server.start()
    assert await rows(server) == 20
    await server.stop()
    assert running() == []


async def test_kill_9_of_a_busy_postgresql(postgres_binary, project: Path, running) -> None:
    """Another start waits for the backends of a killed server, and loses no committed row."""
    server = PostgresServer(project)
    await server.start()
    await commit(server, 5)
    sessions = [await asyncpg.connect(server.url()) for _ in range(5)]
    busy = [asyncio.create_task(each.execute("SELECT pg_sleep(60)")) for each in sessions]
    await asyncio.sleep(0)

    os.kill(server.pid, signal.SIGKILL)
    async with PostgresServer(project) as second:
        assert not second.attached
        assert await rows(second) == 5
    for error in await asyncio.gather(*busy, return_exceptions=True):
        assert isinstance(error, (asyncpg.PostgresError, asyncpg.InterfaceError, OSError))

    await server.stop()
    assert running() == []


async def test_the_shell_between_is_killed(project: Path, running) -> None:
    """Without the shell that watches it the server is still stopped."""
    server = PostgresServer(project)
    await server.start()

    os.kill(parent(server.pid), signal.SIGKILL)
    await server.stop()

    assert await until(lambda: running() == [], PATIENCE)


def start_something() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "60"])


def parent(pid: int) -> int:
    done = subprocess.run(
        ["ps", "-o", "ppid=", "-p", str(pid)], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


async def test_a_stale_pid_file_with_a_live_foreign_process(project: Path) -> None:
    """The number of a killed server may belong to something else by now; that is left alone."""
    server = PostgresServer(project)
    await server.start()
    await commit(server, 3)
    file = project / "postgres" / "data" / "postmaster.pid"
    stale = file.read_text()
    os.kill(server.pid, signal.SIGKILL)
    with pytest.raises(ServiceError):
        await server.wait()
    other = start_something()
    file.write_text("\n".join([str(other.pid), *stale.split("\n")[1:]]))

    async with PostgresServer(project) as again:
        assert await rows(again) == 3
        assert again.pid != other.pid

    assert other.poll() is None
    other.kill()
    other.wait()
    await server.stop()


async def test_a_stale_socket_lock(project: Path) -> None:
    """A lock file of a socket whose number belongs to a live process is no hindrance."""
    socket = project / "postgres" / "socket"
    (socket / ".s.PGSQL.5432").touch()
    (socket / ".s.PGSQL.5432.lock").write_text(f"{os.getpid()}\n/nowhere\n1\n5432\n{socket}\n")

    async with PostgresServer(project) as server:
        assert server.pid


async def test_a_postgresql_started_by_hand(project: Path, base: Path) -> None:
    """A server that somebody else started on the data is named, and left alone."""
    data = project / "postgres" / "data"
    by_hand = start_by_hand(data, base)
    assert await until((data / ".s.PGSQL.5432").exists, PATIENCE)

    with pytest.raises(ServiceError, match=f"kill -INT {by_hand.pid}"):
        await PostgresServer(project).start()

    assert by_hand.poll() is None
    by_hand.send_signal(signal.SIGINT)
    by_hand.wait()


def start_by_hand(data: Path, base: Path) -> subprocess.Popen[bytes]:
    account = account_of(data)
    return subprocess.Popen(
        [find_postgres().path, "-D", data, "-k", data, "-c", "listen_addresses="],
        stderr=subprocess.DEVNULL,
        cwd=base,
        **({"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}),
    )


async def test_a_frozen_server_is_named(project: Path) -> None:
    """When the server that runs does not answer, the error says which process it is."""
    async with PostgresServer(project) as server:
        os.kill(server.pid, signal.SIGSTOP)
        policy = PostgresPolicy(start_timeout=0.5)
        with pytest.raises(ServiceError, match=f"process {server.pid} has it"):
            await PostgresServer(project, policy=policy).start()
        os.kill(server.pid, signal.SIGCONT)


async def test_a_server_that_does_not_stop_is_killed(project: Path, running) -> None:
    """A server that ignores the polite signals is gone all the same, and its rows are not."""
    server = PostgresServer(project, policy=PostgresPolicy(stop_timeout=1.0))
    await server.start()
    await commit(server, 4)

    os.kill(server.pid, signal.SIGSTOP)
    await server.stop()

    assert running() == []
    async with PostgresServer(project) as again:
        assert await rows(again) == 4


@pytest.mark.parametrize("version", ["9", "12", "99"])
async def test_data_of_a_version_that_is_not_there(project: Path, running, version: str) -> None:
    """Data of a major version that is not installed is an error with both versions, not touched."""
    file = project / "postgres" / "data" / "PG_VERSION"
    file.write_text(f"{version}\n")

    with pytest.raises(ConfigurationError, match=f"made by PostgreSQL {version}, .*install"):
        await PostgresServer(project).start()

    assert file.read_text() == f"{version}\n"
    assert running() == []


async def test_data_of_another_version_that_is_there(
    postgres_binary, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data chooses the program that made it, whichever would be taken for new data."""
    monkeypatch.delenv("HOLDFAST_POSTGRES_BIN")

    async with PostgresServer(project) as server:
        assert server.version == postgres_binary.version


async def test_data_that_is_none(project: Path) -> None:
    """A data folder without a version is said to be none, and left alone."""
    (project / "postgres" / "data" / "PG_VERSION").unlink()

    with pytest.raises(ConfigurationError, match="no PG_VERSION"):
        await PostgresServer(project).start()


async def test_leftovers_of_a_killed_initdb(folder: Path) -> None:
    """Half a data folder, of an initdb that was killed, is replaced."""
    server = PostgresServer(folder)
    task = asyncio.create_task(server.start())
    assert await until((folder / "postgres" / "data.new" / "base").exists, PATIENCE)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (folder / "postgres" / "data.new").mkdir(exist_ok=True)
    (folder / "postgres" / "data.new" / "half").touch()

    async with server:
        assert not (folder / "postgres" / "data").joinpath("half").exists()
    assert not (folder / "postgres" / "data.new").exists()


async def test_a_damaged_info_file(project: Path, running) -> None:
    """What one process left for the others is damaged: said so while it runs, else no matter."""
    server = PostgresServer(project)
    await server.start()
    info = project / "postgres" / "info.json"
    info.write_text('{"socket": ')

    with pytest.raises(ServiceError, match=r"info\.json is damaged .*holdfast down"):
        await PostgresServer(project).start()
    assert await PostgresServer(project).down()
    await server.wait()
    await server.stop()
    info.write_text("[]")
    async with PostgresServer(project) as again:
        assert again.pid

    assert running() == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"socket": 3},
        {"port": "5432"},
        {"listen": 3},
        {"version": None},
        {"passwords": []},
        {"passwords": {"default": 1}},
    ],
)
async def test_wrong_values_in_the_info_file(folder: Path, wrong: dict[str, object]) -> None:
    """They are damage too, and not taken for an address."""
    async with RedisServer(folder):
        info = folder / "redis" / "info.json"
        info.write_text(json.dumps(json.loads(info.read_text()) | wrong))

        with pytest.raises(ServiceError, match=r"info\.json is damaged .*holdfast down"):
            await RedisServer(folder).attach()


FULL = """
import asyncio, sys
from pathlib import Path
from holdfast.errors import HoldfastError
from holdfast.services import PostgresServer, RedisServer

async def main():
    folder = Path(sys.argv[1])
    filler = folder.parent / "filler"
    for step in sys.argv[2:]:
        if step == "fill":
            with open(filler, "wb", buffering=0) as file:
                try:
                    while True:
                        file.write(bytes(4096))
                except OSError:
                    pass
        elif step == "free":
            filler.unlink()
        else:
            server = (PostgresServer if step == "postgres" else RedisServer)(folder)
            try:
                await server.start()
                print(step, "started")
            except HoldfastError as error:
                print(step, type(error).__name__, str(error).replace("\\n", " "))
            await server.stop()
            print(step, "half made:", (folder / "postgres" / "data.new").exists())

asyncio.run(main())
"""


@pytest.fixture
def small_disk(base: Path, request: pytest.FixtureRequest):
    """Run steps in a process that sees a small disk at a folder."""

    def run(size: str, *steps: str) -> str:
        (base / "disk").mkdir(exist_ok=True)
        mount = f'mount -t tmpfs -o mode=0755,size={size} tmpfs {base}/disk && exec "$@"'
        own = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-c", "--keep-caps", "-m"]
        program = [sys.executable, "-c", FULL, str(base / "disk" / ".holdfast"), *steps]
        done = subprocess.run(
            [*own, "sh", "-c", mount, "sh", *program], capture_output=True, text=True, check=False
        )
        if "unshare" in done.stderr or "mount:" in done.stderr:
            pytest.skip(
                f"needs mount namespaces: sysctl -w kernel.unprivileged_userns_clone=1, or "
                f"docker run --cap-add SYS_ADMIN ({done.stderr.strip()})"
            )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.mark.parametrize("size", ["64k", "5m", "30m"])
def test_a_full_disk_at_the_first_start(small_disk, size: str) -> None:
    """A disk too small for a new data folder is said to be full, and nothing half is left."""
    said = small_disk(size, "postgres")

    assert "postgres ServiceError" in said
    assert "the disk is full" in said
    assert "half made: False" in said


def test_a_full_disk_at_a_later_start(small_disk) -> None:
    """A disk that has become full is said to be so; with space again everything works."""
    said = small_disk("120m", "postgres", "fill", "postgres", "free", "postgres").splitlines()

    assert said[0] == "postgres started"
    assert said[2].startswith("postgres ServiceError")
    assert "the disk is full" in said[2]
    assert said[4] == "postgres started"


def test_a_full_disk_for_redis(small_disk) -> None:
    """Redis on a full disk says so as well."""
    said = small_disk("1m", "fill", "redis", "free", "redis").splitlines()

    assert "the disk is full" in said[0]
    assert said[2] == "redis started"


async def test_wait_returns_when_the_server_was_stopped(project: Path) -> None:
    """A stop from elsewhere is not an error to whom waits."""
    for server in (PostgresServer(project), RedisServer(project)):
        await server.start()
        waiting = asyncio.create_task(server.wait())
        assert await type(server)(project).down()
        await waiting
        await server.stop()
