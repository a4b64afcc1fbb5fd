"""Fixtures and rules that every test folder of the project shares."""

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator, Generator, Iterator
from dataclasses import dataclass
from typing import TypeVar

import asyncpg
import hypothesis
import pytest
from sqlalchemy import URL, make_url

from holdfast import redis
from holdfast.services import PostgresServer, RedisServer

# How long an example takes says something about the machine, nothing about the code.
hypothesis.settings.register_profile("project", deadline=None)
hypothesis.settings.load_profile("project")

REQUIRE_ALL = "HOLDFAST_REQUIRE_ALL"
# Where child processes run what nothing else does. Measuring one nearly doubles what it costs.
MEASURED_CHILDREN = ("tests/cli/", "tests/services/")
Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def pytest_configure() -> None:
    """Let programs that the tests start hear Ctrl-C and the end of a terminal.

    Where these are ignored, in a shell's background or under nohup, a child would inherit that; a
    handler it does not.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)


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


@pytest.fixture(scope="module", autouse=True)
def _children_are_measured_where_it_tells(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if not request.node.nodeid.startswith(MEASURED_CHILDREN):
            patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        yield


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


@pytest.fixture(scope="session")
def postgres_urls(request: pytest.FixtureRequest) -> Urls:
    """Give where test databases are made: TEST_DATABASE_URL's server where that is set."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        return Urls(owner=given, app=given)
    server = request.getfixturevalue("postgres")
    return Urls(owner=server.url("owner"), app=server.url("app"))


@pytest.fixture
async def databases(postgres_urls: Urls) -> AsyncIterator[Urls]:
    """Give an empty database of this test."""
    name = f"test_{uuid.uuid4().hex}"
    owner, app = make_url(postgres_urls.owner), make_url(postgres_urls.app)
    await _run_sql(owner, f'CREATE DATABASE "{name}"')
    yield Urls(owner=_text(owner.set(database=name)), app=_text(app.set(database=name)))
    # FORCE: a session that a test has just closed may still be on its way out.
    await _run_sql(owner, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def database_url(databases: Urls) -> str:
    """Give the URL of an empty database, as the role that migrates."""
    return databases.owner


@pytest.fixture
def app_url(databases: Urls) -> str:
    """Give the URL of the same database, as the role that applications have."""
    return databases.app


@pytest.fixture(scope="session")
def shared_redis_url(request: pytest.FixtureRequest) -> str:
    """Give where tests use Redis: TEST_REDIS_URL where that is set."""
    given = os.environ.get("TEST_REDIS_URL")
    return given or str(request.getfixturevalue("redis_server").url())


@pytest.fixture
async def redis_url(shared_redis_url: str) -> AsyncIterator[str]:
    """Give the URL of an empty Redis database."""
    client = redis.client(shared_redis_url)
    await client.flushdb()
    yield shared_redis_url
    await client.flushdb()
    await client.aclose()


async def _run_sql(url: URL, sql: str) -> None:
    # By the driver alone: an engine for one statement costs five times the processor's time.
    connection = await asyncpg.connect(_text(url.set(drivername="postgresql")))
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)
