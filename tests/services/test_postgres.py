"""PostgreSQL starts, is as promised, and leaves nothing behind."""

import socket
import subprocess
from pathlib import Path

import asyncpg
import psycopg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from holdfast.errors import ConfigurationError, ServiceError
from holdfast.events import Event, Events
from holdfast.services import (
    PostgresPolicy,
    PostgresServer,
    ServerStarted,
    ServerStopped,
    postgres,
)


async def ask(url: str, question: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


async def test_life(postgres_binary, folder: Path, running) -> None:
    """It starts from nothing, keeps its rows over a restart, and a stop leaves no process."""
    told: list[Event] = []
    server = PostgresServer(folder, events=Events(told.append))

    async with server:
        assert server.version == postgres_binary.version
        assert not server.attached
        assert running()
        await ask(server.url("owner"), "CREATE TABLE kept AS SELECT 7 AS seven")
    assert running() == []
    async with server:
        assert await ask(server.url(), "SELECT seven FROM kept") == 7
        assert await ask(server.url(), "SHOW fsync") == "on"
        assert await ask(server.url(), "SHOW server_encoding") == "UTF8"
        assert await ask(server.url(), "SHOW listen_addresses") == ""
    assert running() == []
    assert [type(event) for event in told] == [ServerStarted, ServerStopped] * 2


async def test_start_and_stop_may_be_repeated(project: Path, running) -> None:
    """A second start or stop finds it done, and a stop before any start is nothing."""
    server = PostgresServer(project)

    await server.stop()
    await server.start()
    pid = server.pid
    await server.start()
    assert server.pid == pid
    await server.stop()
    await server.stop()

    assert running() == []
    with pytest.raises(ServiceError, match="not started"):
        server.url()


async def test_urls_serve_every_client(project: Path) -> None:
    """The same URL is understood by asyncpg, psycopg and SQLAlchemy on either."""
    async with PostgresServer(project) as server:
        url = server.url("readonly")
        users = [await ask(url, "SELECT current_user")]
        async with await psycopg.AsyncConnection.connect(url) as connection:
            users += await (await connection.execute("SELECT current_user")).fetchone()
        for driver in ("asyncpg", "psycopg"):
            engine = create_async_engine(make_url(url).set(drivername=f"postgresql+{driver}"))
            async with engine.connect() as connection:
                users.append(await connection.scalar(text("SELECT current_user")))
            await engine.dispose()

    assert users == ["readonly"] * 4


@pytest.mark.parametrize("listen", ["127.0.0.1", "::1"])
async def test_tcp_needs_the_password(project: Path, listen: str, running) -> None:
    """On an address there is a password, which neither the log nor the arguments hold."""
    policy = PostgresPolicy(listen=listen, settings={"log_statement": "all"})

    async with PostgresServer(project, policy=policy) as server:
        url = make_url(server.url())
        assert await ask(server.url(), "SHOW listen_addresses") == listen
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(url.set(password="guess").render_as_string(False))
        assert url.password not in server.log.read_text()
        assert url.password not in " ".join(running())
        kept = url.password

    async with PostgresServer(project, policy=policy) as server:
        assert make_url(server.url()).password == kept


async def test_a_taken_port_is_named(project: Path, running) -> None:
    """A port that somebody else listens on is an error with its number; nothing is left."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        policy = PostgresPolicy(listen="127.0.0.1", port=port)
        with pytest.raises(ServiceError, match=f"port {port} on 127.0.0.1 cannot be used"):
            await PostgresServer(project, policy=policy).start()

    assert running() == []
    async with PostgresServer(project, policy=policy) as server:
        assert make_url(server.url()).port == port


@pytest.mark.parametrize("wanted", [0, 1])
async def test_a_port_lost_meanwhile(
    project: Path, running, monkeypatch: pytest.MonkeyPatch, wanted: int
) -> None:
    """A free port that somebody takes before PostgreSQL does is replaced, a wanted one named."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        free = postgres.free_port
        ports = iter([port, port, free("127.0.0.1", 0)])
        monkeypatch.setattr(postgres, "free_port", lambda listen, wanted: next(ports))
        policy = PostgresPolicy(listen="127.0.0.1", port=wanted and port)
        server = PostgresServer(project, policy=policy)
        if wanted:
            with pytest.raises(ServiceError, match="the port is taken"):
                await server.start()
        else:
            async with server:
                assert make_url(server.url()).port != port

    assert running() == []


async def test_settings_reach_the_server(project: Path) -> None:
    """The policy's settings are in force."""
    policy = PostgresPolicy(settings={"work_mem": "5MB", "application_name": 'it\'s "here"'})

    async with PostgresServer(project, policy=policy) as server:
        assert await ask(server.url(), "SHOW work_mem") == "5MB"


async def test_a_wrong_setting_is_said_by_the_server(project: Path, running) -> None:
    """A setting that PostgreSQL refuses is an error with its words."""
    policy = PostgresPolicy(settings={"max_connections": "many"})

    with pytest.raises(ServiceError, match=r'(?s)exit status 1.*max_connections.*"many"'):
        await PostgresServer(project, policy=policy).start()
    assert running() == []


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"listen": "0.0.0.0"}, "listen"),
        ({"listen": "127.0.0.1", "port": 70_000}, "port"),
        ({"port": 5432}, "listen is None"),
        ({"database": ""}, "database"),
        ({"database": "x" * 64}, "database"),
        ({"settings": {"Port": "5432"}}, "settings has 'Port'"),
        ({"settings": {"work_mem": "1MB\n"}}, "not one line"),
    ],
)
def test_a_wrong_policy_names_its_field(fields: dict[str, object], named: str) -> None:
    """What cannot work is refused before anything is started."""
    with pytest.raises(ConfigurationError, match=named):
        PostgresPolicy(**fields)


async def test_an_unknown_role_is_refused(project: Path) -> None:
    """A URL is given for the roles that exist."""
    async with PostgresServer(project) as server:
        with pytest.raises(ConfigurationError, match="'admin'"):
            server.url("admin")


async def test_a_large_log_is_put_aside(project: Path) -> None:
    """A log that has grown is kept once, and a new one begun."""
    log = project / "postgres" / "log"
    with log.open("ab") as file:
        file.truncate(11_000_000)

    async with PostgresServer(project) as server:
        assert server.log.stat().st_size < 1_000_000

    assert log.with_name("log.old").stat().st_size == 11_000_000


async def test_the_wheel_has_what_the_guide_says(postgres_binary, project: Path) -> None:
    """Contrib modules that the guide names can be loaded."""
    names = {path.stem for path in extensions(postgres_binary.path)}

    assert {"pg_stat_statements", "pg_trgm"} <= names


def extensions(program: Path) -> list[Path]:
    done = subprocess.run(
        [program.with_name("pg_config"), "--sharedir"], capture_output=True, text=True, check=True
    )
    return list(Path(done.stdout.strip(), "extension").glob("*.control"))
