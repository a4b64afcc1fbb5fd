"""Given servers that speak TLS, as those of hosters do."""

import asyncio
import contextlib
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue

import pytest
import trustme
from sqlalchemy import make_url

SSL_REQUEST = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")
TESTS = """
@pytest.mark.parametrize("number", range(2))
async def test_in_the_sandbox(db, number):
    assert await count(db) == 0
    await add(db)
    async with db.read() as session:
        long = text("SELECT repeat('x', 1000000) || :tail")
        found = await session.scalar(long, {"tail": "y" * 1_000_000})
    assert found == "x" * 1_000_000 + "y" * 1_000_000

@pytest.mark.parametrize("number", range(2))
async def test_own(database, number):
    await asyncio.gather(*(add(database, number) for number in range(3)))

@pytest.mark.parametrize("number", range(2))
async def test_redis(redis, number):
    assert not await redis.exists("long")
    await redis.set("long", "x" * 1_000_000, ex=60)
    assert len(await redis.get("long")) == 1_000_000
"""


@dataclass(frozen=True, slots=True)
class Terminator:
    """What speaks TLS in front of the servers of the run, which may be built without it."""

    authority: Path
    postgres: int
    redis: int


@pytest.fixture
def terminator(clone, redis_url, tmp_path) -> Iterator[Terminator]:
    """Run the terminator in a thread, since the test waits for another process."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    file = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(file))
    socket = make_url(clone.owner).query["host"]
    postgres = partial(pass_on, to=f"{socket}/.s.PGSQL.5432", context=context)
    redis = partial(pass_on, to=redis_url.removeprefix("unix://").partition("?")[0], context=None)

    started: SimpleQueue[Terminator] = SimpleQueue()
    loop, stop = asyncio.new_event_loop(), asyncio.Event()

    async def serve():
        async with (
            await asyncio.start_server(postgres, "127.0.0.1") as before_postgres,
            await asyncio.start_server(redis, "127.0.0.1", ssl=context) as before_redis,
        ):
            ports = (each.sockets[0].getsockname()[1] for each in (before_postgres, before_redis))
            started.put(Terminator(file, *ports))
            await stop.wait()

    with asyncio.Runner(loop_factory=lambda: loop) as runner, ThreadPoolExecutor(1) as thread:
        served = thread.submit(runner.run, serve())
        yield started.get(timeout=60)
        loop.call_soon_threadsafe(stop.set)
        served.result()


async def pass_on(reader, writer, *, to, context):
    """Pass a connection on to a socket; with a context, PostgreSQL's client asks for TLS first."""
    asked = context is not None
    with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
        while asked and (await reader.readexactly(8)) != SSL_REQUEST:
            writer.write(b"N")
        if asked:
            writer.write(b"S")
            await writer.start_tls(context)
        server_reader, server_writer = await asyncio.open_unix_connection(to)
        await asyncio.gather(copy(reader, server_writer), copy(server_reader, writer))


async def copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("scheme", "query"),
    [("postgresql", ""),
     ("postgresql+asyncpg", "?ssl=verify-full"),
     ("postgresql+psycopg", "?sslmode=verify-full")],
)  # fmt: skip
def test_given_servers_are_spoken_to_in_tls(suite, clone, terminator, scheme, query):
    """Tests that all have a loop of their own share a connection that is encrypted."""
    suite.tests(TESTS)
    name = make_url(clone.owner).database

    ran = suite.run(
        *("-o", "asyncio_mode=auto"),
        TEST_DATABASE_URL=f"{scheme}://owner@127.0.0.1:{terminator.postgres}/{name}{query}",
        TEST_REDIS_URL=f"rediss://127.0.0.1:{terminator.redis}?ssl_ca_certs={terminator.authority}",
        PGSSLROOTCERT=str(terminator.authority),
    )

    assert (ran.code, ran.passed) == (0, 6), ran.output


@pytest.mark.parametrize(("server", "errors"), [("DATABASE", 4), ("REDIS", 2)])
def test_a_server_that_is_not_trusted(suite, given, terminator, server, errors):
    """A certificate of an unknown authority is an error, once, and not a way around TLS."""
    suite.tests(TESTS)
    stranger = suite.folder / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(str(stranger))
    urls = {
        "DATABASE": f"postgresql://owner@127.0.0.1:{terminator.postgres}/test?ssl=verify-full",
        "REDIS": f"rediss://127.0.0.1:{terminator.redis}?ssl_ca_certs={stranger}",
    }
    untrusted = {f"TEST_{server}_URL": urls[server], "PGSSLROOTCERT": str(stranger)}

    ran = suite.run("-o", "asyncio_mode=auto", **given | untrusted)

    assert (ran.errors, ran.passed) == (errors, 6 - errors), ran.output
    assert ran.output.count("certificate verify failed") == 1, ran.output
    assert "Traceback" not in ran.output
