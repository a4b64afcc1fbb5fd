"""Fixtures and rules that every test folder of the project shares."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Generator, Iterator
from dataclasses import dataclass
from typing import TypeVar

import pytest
from sqlalchemy import URL, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from holdfast import redis
from holdfast.services import PostgresServer, RedisServer

OBJECT_IN_USE = "55006"
REQUIRE_ALL = "HOLDFAST_REQUIRE_ALL"
Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a skipped test where everything must run: there, a skip hides what is not proved."""
    report = yield
    return _refuse_skip(report)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail a module that skips itself where everything must run."""
    report = yield
    return _refuse_skip(report)


def _refuse_skip(report: Report) -> Report:
    expected = hasattr(report, "wasxfail")
    if report.skipped and not expected and os.environ.get(REQUIRE_ALL) == "1":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{REQUIRE_ALL}=1 lets nothing be skipped: {reason}"
    return report


@dataclass(frozen=True, slots=True, kw_only=True)
class Urls:
    """One empty database, as the role that migrates and as the one that applications have."""

    owner: str
    app: str


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Give a PostgreSQL of this run."""
    server = PostgresServer()
    asyncio.run(server.start())
    yield server
    asyncio.run(server.stop())


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """Give a Redis of this run."""
    server = RedisServer()
    asyncio.run(server.start())
    yield server
    asyncio.run(server.stop())


@pytest.fixture
async def databases(request: pytest.FixtureRequest) -> AsyncIterator[Urls]:
    """Give an empty database of this test, on TEST_DATABASE_URL's server where that is set."""
    name = f"test_{uuid.uuid4().hex}"
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        admin = owner = app = make_url(given)
    else:
        server = request.getfixturevalue("postgres")
        admin, owner, app = (make_url(server.url(role)) for role in ("owner", "owner", "app"))
    await _run_sql(admin, f'CREATE DATABASE "{name}"')
    yield Urls(owner=_text(owner.set(database=name)), app=_text(app.set(database=name)))
    await _run_sql(
        admin,
        # Not WITH (FORCE): the owner may not end the sessions of other roles. A session that a
        # test has just closed may still be on its way out.
        f'DROP DATABASE "{name}"',
        tries=100,
    )


@pytest.fixture
def database_url(databases: Urls) -> str:
    """Give the URL of an empty database, as the role that migrates."""
    return databases.owner


@pytest.fixture
def app_url(databases: Urls) -> str:
    """Give the URL of the same database, as the role that applications have."""
    return databases.app


@pytest.fixture
async def redis_url(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """Give the URL of an empty Redis database, on TEST_REDIS_URL's server where that is set."""
    given = os.environ.get("TEST_REDIS_URL")
    url = given or request.getfixturevalue("redis_server").url()
    client = redis.client(url)
    await client.flushdb()
    yield url
    await client.flushdb()
    await client.aclose()


async def _run_sql(url: URL, sql: str, *, tries: int = 1) -> None:
    engine = create_async_engine(
        url.set(drivername="postgresql+asyncpg"), isolation_level="AUTOCOMMIT", poolclass=NullPool
    )
    for left in reversed(range(tries)):
        try:
            async with engine.connect() as connection:
                await connection.execute(text(sql))
        except DBAPIError as error:
            if not left or getattr(error.orig, "sqlstate", None) != OBJECT_IN_USE:
                raise
            await asyncio.sleep(0.02)
        else:
            break
    await engine.dispose()


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)
