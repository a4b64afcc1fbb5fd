"""Servers live where their user gets to, with short sockets, and nothing else is touched."""

import asyncio
import os
import shutil
import socket
import tempfile
from pathlib import Path

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError, ServiceError
from holdfast.services import PostgresServer, RedisServer, find_postgres, remove
from holdfast.services import place as places
from holdfast.services.account import account_for
from holdfast.services.place import SOCKET_LIMIT, Place

LONGEST = ".s.PGSQL.65535"
ROOT = os.geteuid() == 0


async def works(server: PostgresServer) -> bool:
    connection = await asyncpg.connect(server.url())
    try:
        return await connection.fetchval("SELECT true")
    finally:
        await connection.close()


async def test_git_ignores_the_folder(folder: Path) -> None:
    """A new folder tells git to leave it alone; a folder that was there is not written to."""
    async with RedisServer(folder):
        assert (folder / ".gitignore").read_text() == "*\n"

    (folder / ".gitignore").unlink()
    async with RedisServer(folder):
        assert not (folder / ".gitignore").exists()


@pytest.mark.parametrize(
    "name",
    [
        "x" * 60 + "/" + "y" * 60,
        "sp ace,quo'te\"per%cent?&#ünï",
        "new\nline\r\ttab\\back\\",
        os.fsdecode(b"not \xff text"),
    ],
)
async def test_a_path_that_no_socket_can_have(project: Path, name: str, running) -> None:
    """A path that is too long, or has characters that need quoting, gets a short one beside it."""
    folder = move(project, project.parent / name / ".holdfast")

    async with PostgresServer(folder) as server, RedisServer(folder) as redis:
        assert await works(server)
        assert str(folder) not in server.url() + redis.url()
        async with PostgresServer(folder) as second:
            assert second.attached
            assert second.url() == server.url()
        url = server.url()
    async with PostgresServer(folder) as server:
        assert server.url() == url

    assert running() == []
    await remove(folder)


def move(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True)
    return source.rename(target)


def names(folder: Path) -> set[str] | None:
    return {each.name for each in folder.iterdir()} if folder.exists() else None


def access(path: Path) -> tuple[int, int]:
    return path.stat().st_mode & 0o777, path.stat().st_uid


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("ab-_. é%", min_size=1, max_size=60), min_size=1, max_size=6))
def test_every_path_has_a_socket_that_can_be_bound(parts: list[str]) -> None:
    """Whatever the folder is called, a socket of the longest name can be bound, again as well."""
    names = [part for part in parts if part.strip(".")] or ["x"]
    base = Path(tempfile.mkdtemp(prefix="hf-")).resolve()
    root = base.joinpath(*names)
    root.mkdir(parents=True)
    place = Place(folder=base, root=root, account=None)
    try:
        first = place.socket_folder(LONGEST)
        assert len(os.fsencode(first / LONGEST)) <= SOCKET_LIMIT
        assert first.stat().st_mode & 0o077 == 0
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(first / LONGEST))
        assert place.socket_folder(LONGEST) == first
        assert list(first.iterdir()) == []
    finally:
        shutil.rmtree(base)
        for short in place.short_folders():
            shutil.rmtree(short, ignore_errors=True)


async def test_no_folder_is_short_enough(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When no folder for temporary files is short enough either, the error says what to set."""
    monkeypatch.setattr(places, "SOCKET_LIMIT", 20)

    with pytest.raises(ServiceError, match=r"may have 20 bytes.*set TMPDIR"):
        await PostgresServer(project).start()


async def test_a_socket_folder_of_somebody_else(base: Path) -> None:
    """A short folder that somebody else has made is not used; the error names it."""
    folder = base / "with space"
    root = (folder / "redis").resolve()
    short = Place(folder=folder, root=root, account=account_for(base)).short_folders()[0]
    short.mkdir(mode=0o777)

    with pytest.raises(ServiceError, match=f"{short} is needed for sockets"):
        await RedisServer(folder).start()

    short.rmdir()


async def test_a_file_in_place_of_the_folder(base: Path) -> None:
    """A file where the folder should be is an error that names it, and stays as it is."""
    (base / "file").write_text("mine")

    for path in (base / "file", base / "file" / "below"):
        with pytest.raises(ConfigurationError, match=f"{base}/file.* is not a folder"):
            await PostgresServer(path).start()

    assert (base / "file").read_text() == "mine"


async def test_somebody_elses_folder_of_that_name(base: Path) -> None:
    """A folder `redis` that Holdfast did not make is neither used nor removed."""
    (base / "redis").mkdir()
    (base / "redis" / "__init__.py").touch()

    with pytest.raises(ConfigurationError, match="was not made by Holdfast"):
        await RedisServer(base).start()
    with pytest.raises(ConfigurationError, match="was not made by Holdfast"):
        await remove(base)

    assert names(base / "redis") == {"__init__.py"}


async def test_a_folder_that_may_not_be_written(base: Path, owner, ordinary_user: str) -> None:
    """Without the right to write there, one line says where, whose it is, and what to do."""
    (base / "locked").mkdir(mode=0o555)

    first = owner(base / "locked" / ".holdfast", user=ordinary_user)
    first.process.wait(20)
    said = first.end().strip().splitlines()[-1]

    assert said.startswith("holdfast.errors.ConfigurationError")
    assert f"{base}/locked/.holdfast may not be used" in said
    assert "choose another folder" in said


async def test_remove(project: Path) -> None:
    """A stopped server's data is removed with all that belongs to it; a running one's is not."""
    async with PostgresServer(project), RedisServer(project):
        with pytest.raises(ServiceError, match="a server runs"):
            await remove(project)

    await remove(project)
    assert names(project) is None
    await remove(project)


async def test_remove_keeps_what_is_not_ours(project: Path) -> None:
    """Files that somebody put beside the servers' stay."""
    (project / "notes").touch()

    await remove(project)

    assert names(project) == {".gitignore", "notes"}


@pytest.fixture
def closed(base: Path):
    """Give a folder that only root gets into, as /root is."""
    if not ROOT:
        pytest.skip("only root has folders that its servers cannot get to: sudo make test")
    (base / "closed").mkdir(mode=0o700)
    return base / "closed"


async def test_root_in_a_folder_that_servers_cannot_enter(closed: Path, running) -> None:
    """Data and programs are put where the servers' user gets to, and nothing else changes."""
    folder = closed / "project" / ".holdfast"

    async with PostgresServer(folder) as server, RedisServer(folder) as redis:
        assert await works(server)
        async with RedisServer(folder) as second:
            assert second.attached
        places = [server.log.parent, redis.log.parent]
        assert places == [(folder / name).resolve() for name in ("postgres", "redis")]
    async with PostgresServer(folder) as server:
        assert await works(server)

    assert access(closed) == (0o700, 0)
    assert [access(place.parent) for place in places] == [(0o711, 0)] * 2
    await remove(folder)
    assert [names(each) for each in (places[0].parent, places[1].parent, folder)] == [None] * 3


def copy_wheel(program: Path, target: Path) -> Path:
    """Copy an installed wheel's package, and its libraries beside it; give the program there."""
    site = next(each for each in program.parents if each.name == "site-packages")
    package = program.relative_to(site).parts[0]
    for source in site.glob(f"{package}*"):
        if source.suffix in ("", ".libs"):
            shutil.copytree(source, target / source.name)
    return target / program.relative_to(site)


async def test_root_with_programs_that_servers_cannot_run(
    wheels: tuple[Path, Path], closed: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs in a folder of root's alone are copied to where the servers' user can run them."""
    programs = [await asyncio.to_thread(copy_wheel, wheel, closed) for wheel in wheels]
    monkeypatch.setenv("HOLDFAST_POSTGRES_BIN", str(programs[0].parent))
    monkeypatch.setenv("HOLDFAST_REDIS_BIN", str(programs[1]))
    assert find_postgres().path.is_relative_to(closed)

    for _ in range(2):
        async with PostgresServer(folder) as server, RedisServer(folder) as redis:
            assert await works(server)
            assert server.binary.is_relative_to(folder)
            assert redis.binary.is_relative_to(folder)


async def test_root_whose_data_has_become_unreachable(
    project: Path, base: Path, closed: Path
) -> None:
    """Data that was moved to where its user does not get is an error that says so."""
    shutil.move(project, closed / ".holdfast")

    with pytest.raises(ConfigurationError, match="who cannot get to it"):
        await PostgresServer(closed / ".holdfast").start()
