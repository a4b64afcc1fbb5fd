"""TLS in front of a server that has none, with certificates that are good, or bad in one way."""

import asyncio
import ssl
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import psycopg
import pytest

from holdfast.errors import MissingExtraError
from holdfast.testing.faults import TlsFront

Ask = Callable[[str, Path], Awaitable[object]]


async def by_asyncpg(url: str, authority: Path) -> object:
    context = ssl.create_default_context(cafile=str(authority))
    connection = await asyncpg.connect(url, ssl=context)
    try:
        return await connection.fetchval("SELECT repeat('x', 1000000)")
    finally:
        await connection.close()


async def by_psycopg(url: str, authority: Path) -> object:
    verified = f"{url}?sslmode=verify-full&sslrootcert={authority}"
    async with await psycopg.AsyncConnection.connect(verified) as connection:
        assert connection.pgconn.ssl_in_use
        [found] = await (await connection.execute("SELECT repeat('x', 1000000)")).fetchone()
        return found


with_drivers = pytest.mark.parametrize("ask", [by_asyncpg, by_psycopg])


@with_drivers
async def test_a_good_certificate(database_url, ask: Ask):
    """It is believed by who knows the authority, and a million bytes pass."""
    with TlsFront(database_url) as front:
        assert await ask(front.url, front.authority) == "x" * 1_000_000


@with_drivers
@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"names": ["db.example.com"]}, "mismatch|does not match"),
        ({"expired": True}, "expired|verify failed"),
    ],
)
async def test_a_bad_certificate(database_url, ask: Ask, options, problem):
    """The client refuses it, and the server never hears of the client."""
    with TlsFront(database_url, **options) as front:
        with pytest.raises((ssl.SSLError, psycopg.OperationalError), match=problem):
            await ask(front.url, front.authority)
        assert front.connections == 0


@with_drivers
async def test_another_authority(database_url, ask: Ask):
    """Who knows another one alone refuses the certificate."""
    refused = pytest.raises((ssl.SSLError, psycopg.OperationalError), match="verify failed")
    with TlsFront(database_url) as front, refused:
        await ask(front.url, front.stranger)


async def test_without_tls_nobody_gets_in(database_url):
    """As with servers of hosters."""
    refused = pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match="no encryption")
    with TlsFront(database_url) as front, refused:
        await asyncpg.connect(front.url, ssl="disable")


async def test_faults_in_tls(database_url):
    """They are the same, a cancelled statement and a server that says good-bye included."""
    with TlsFront(database_url) as front:
        context = ssl.create_default_context(cafile=str(front.authority))
        connection = await asyncpg.connect(front.url, ssl=context)
        front.fail_next("40001")
        with pytest.raises(asyncpg.SerializationError):
            await connection.execute("SELECT 1")
        with pytest.raises(asyncio.TimeoutError):
            await connection.execute("SELECT pg_sleep(600)", timeout=0.1)
        front.drop_connection(reached=True)
        with pytest.raises(asyncpg.PostgresConnectionError):
            await connection.execute("CREATE TABLE notes (id integer)")
        connection = await asyncpg.connect(front.url, ssl=context)
        assert await connection.fetchval("SELECT count(*) FROM notes") == 0
        await connection.close()
        assert front.cancels == 1


def test_its_files_go_with_it(database_url):
    """The authority is thrown away."""
    with TlsFront(database_url) as front:
        files = [front.authority, front.stranger]
        assert all("BEGIN CERTIFICATE" in file.read_text() for file in files)

    assert not any(file.exists() for file in files)


def test_trustme_is_missing(database_url, monkeypatch):
    """The message has the command that installs it."""
    monkeypatch.setitem(sys.modules, "trustme", None)

    with pytest.raises(MissingExtraError, match=r"pip install 'holdfast\[testing\]'"):
        TlsFront(database_url).open()
