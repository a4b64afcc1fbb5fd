"""However the process that started a server ends, and however many there are, nothing is left."""

import asyncio
import os
import shutil
import signal
from pathlib import Path

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.errors import ServiceError
from holdfast.services import PostgresServer, RedisServer
from holdfast.services.lock import held
from holdfast.services.process import until

PATIENCE = 20.0  # seconds until a fact that is waited for counts as not coming
SERVERS = {"postgres": PostgresServer, "redis": RedisServer}


@pytest.mark.parametrize("name", SERVERS)
async def test_kill_9_of_the_owner(project: Path, running, owner, name: str) -> None:
    """When the process that started it is killed, the server stops, and the next start works."""
    first = owner(project, name)
    assert not first.told()["attached"]

    first.kill()

    assert await until(lambda: running() == [], PATIENCE)
    async with SERVERS[name](project) as server:
        assert not server.attached


async def test_kill_9_of_an_owner_with_a_temporary_folder(owner, base: Path) -> None:
    """The temporary folder of a killed process is removed by the next one that makes its own."""
    first = owner("")
    socket = Path(str(first.told()["url"]).split("host=")[1].split("&")[0])
    folder = socket.parent.parent
    assert folder.is_dir()

    first.kill()
    assert await until(lambda: not held(socket.parent / "lock"), PATIENCE)
    async with RedisServer():
        assert not folder.exists()


@pytest.mark.parametrize("name", SERVERS)
async def test_two_owners_at_once(folder: Path, running, owner, name: str) -> None:
    """Of two processes that start at once one starts the server, the other joins it."""
    owners = [owner(folder, name), owner(folder, name)]
    told = [each.told() for each in owners]

    assert sorted(each["attached"] for each in told) == [False, True]
    assert told[0]["pid"] == told[1]["pid"]
    starter, guest = sorted(range(2), key=lambda number: told[number]["attached"])
    assert owners[guest].leave() == ""
    assert running()
    assert owners[starter].leave() == ""
    assert running() == []


async def test_many_tasks_at_once(project: Path, running) -> None:
    """Of many servers on one folder in one process exactly one starts it."""
    servers = [PostgresServer(project) for _ in range(6)]

    await asyncio.gather(*(server.start() for server in servers))

    assert [server.attached for server in servers].count(False) == 1
    assert len({server.pid for server in servers}) == 1
    await asyncio.gather(*(server.stop() for server in servers))
    assert running() == []


@pytest.mark.parametrize("name", SERVERS)
async def test_detach_attach_down(project: Path, running, owner, name: str) -> None:
    """A detached server goes on after its process, is joined by others, and ended by `down`."""
    first = owner(project, name, "detach")
    told = first.told()
    assert first.leave() == ""
    server = SERVERS[name](project)

    assert await server.attach()
    assert (server.pid, server.url(), server.attached) == (told["pid"], told["url"], True)
    assert server.version
    await server.stop()
    async with SERVERS[name](project) as joined:
        assert joined.attached
    assert running()

    assert await server.down()
    assert running() == []
    assert not await server.down()
    assert not await server.attach()


async def test_detached_by_this_process(project: Path, running) -> None:
    """Whom a server was detached from may start and stop again; it stays until `down`."""
    server = PostgresServer(project)
    await server.start(detach=True)
    pid = server.pid

    await server.stop()
    await server.start()

    assert (server.pid, server.attached) == (pid, True)
    await server.stop()
    assert running()
    assert await server.down()
    assert running() == []


async def test_attached_while_it_is_killed(project: Path) -> None:
    """Who has joined a server is told when it is killed."""
    async with PostgresServer(project) as server, PostgresServer(project) as joined:
        assert joined.attached
        os.kill(server.pid, signal.SIGKILL)
        with pytest.raises(ServiceError, match="ended"):
            await joined.wait()


@pytest.mark.parametrize("moment", ["data.new", "data", "info.json", "data/postmaster.pid"])
async def test_ctrl_c_during_the_start(folder: Path, running, owner, moment: str) -> None:
    """Ctrl-C at any moment of a first start leaves no process, and the next start works."""
    first = owner(folder)
    assert await until((folder / "postgres" / moment).exists, PATIENCE)

    os.kill(first.process.pid, signal.SIGINT)

    first.process.wait(PATIENCE)
    assert "Error" not in first.end()
    assert running() == []
    async with PostgresServer(folder) as server:
        assert not server.attached


@given(st.floats(min_value=0, max_value=0.12))
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_a_start_cancelled_at_any_moment(project: Path, running, seconds: float) -> None:
    """Whenever a start is cancelled, nothing runs when it has ended."""
    server = PostgresServer(project)
    task = asyncio.create_task(server.start())
    await asyncio.wait([task], timeout=seconds)

    task.cancel()
    await asyncio.wait([task])
    await server.stop()

    assert running() == []


async def test_a_start_cancelled_twice(project: Path, running) -> None:
    """A second cancellation, during the clearing up after the first, leaves nothing either."""
    server = PostgresServer(project)
    task = asyncio.create_task(server.start())
    assert await until((project / "postgres" / "data" / "postmaster.pid").exists, PATIENCE)

    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await until(lambda: running() == [], PATIENCE)
    async with server:
        assert not server.attached


@pytest.mark.parametrize("again", [True, False])
async def test_a_cancelled_stop(project: Path, running, again: bool) -> None:
    """A stop that is cancelled has told the server to end, and may be repeated."""
    server = PostgresServer(project)
    await server.start()
    task = asyncio.create_task(server.stop())
    await asyncio.sleep(0)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    if again:
        await server.stop()
        assert running() == []

    assert await until(lambda: running() == [], PATIENCE)
    await server.stop()


async def test_a_stop_during_the_start(project: Path, running) -> None:
    """A stop while another task starts the server wins."""
    server = PostgresServer(project)
    task = asyncio.create_task(server.start())
    assert await until((project / "postgres" / "data" / "postmaster.pid").exists, PATIENCE)

    await server.stop()

    with pytest.raises(ServiceError):
        await task
    assert running() == []


async def test_an_exception_in_the_body(project: Path, running) -> None:
    """An exception inside the context stops the server, and is the one that is seen."""
    with pytest.raises(ZeroDivisionError):
        async with PostgresServer(project):
            raise ZeroDivisionError

    assert running() == []


async def test_a_forked_worker_does_not_keep_the_server(project: Path, running) -> None:
    """A process forked off the owner holds its pipe, and the server stops all the same."""
    server = PostgresServer(project)
    await server.start()
    worker = os.fork()
    if worker == 0:
        signal.pause()
        os._exit(0)

    await server.stop()

    assert running() == []
    os.kill(worker, signal.SIGKILL)
    os.waitpid(worker, 0)  # noqa: ASYNC222  -- it has been killed


async def test_an_ordinary_user(base: Path, running, owner, ordinary_user: str) -> None:
    """A user who is not root runs both servers in a folder of its own."""
    (base / "home").mkdir()
    own(base / "home", ordinary_user)
    for name in SERVERS:
        first = owner(base / "home" / ".holdfast", name, user=ordinary_user)
        told = first.told()
        assert not told["attached"]
        assert first.leave() == ""

    assert running() == []


async def test_root_in_the_project_of_an_ordinary_user(
    base: Path, running, owner, ordinary_user: str
) -> None:
    """What root has started in somebody's project, that user can start again."""
    (base / "home").mkdir()
    own(base / "home", ordinary_user)
    async with PostgresServer(base / "home" / ".holdfast") as server:
        connection = await asyncpg.connect(server.url("owner"))
        await connection.execute("CREATE TABLE kept AS SELECT 1")
        await connection.close()

    first = owner(base / "home" / ".holdfast", user=ordinary_user)
    assert not first.told()["attached"]
    assert first.leave() == ""
    assert running() == []


def own(folder: Path, user: str) -> None:
    """Give a folder to a user; without one this process is that user."""
    if user:
        shutil.chown(folder, user)
