"""Rows `test.sandbox`, `test.database` and `test.workers`: what tests cost beyond their statements.

Each run is a pytest of its own on `benchmarks/suite`. A sample is the mean, over its tests but for
the first, of what pytest says that setup, call and teardown took: the start of pytest, of servers
and of connections that tests share is not counted, and the garbage collector is. What is made by
hand is timed here. All are on one server, with the settings of the servers that the kit starts.
"""

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from benchmarks.interpreter import bytecode
from benchmarks.measure import Contenders, DifferenceGoal, RatioGoal, Row, Run, Sample
from sqlalchemy import make_url

from holdfast.services import PostgresPolicy, PostgresServer

SUITE = Path(__file__).parent / "suite"
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "300",
}
TESTS, FEWEST = 100, 10
OWN_TESTS = 5  # each has a database made
QUICK = 3
OPTIONS = ("-c", str(SUITE / "pyproject.toml"), "-p", "no:cacheprovider")
PLAIN = (
    *("-p", "no:holdfast"),
    *("-o", "asyncio_default_fixture_loop_scope=session"),
    *("-o", "asyncio_default_test_loop_scope=session"),
)
PLAIN_LOOPS = ("-p", "no:holdfast")  # one for each test
SHARED, OWN = "test_shared.py", "test_own.py::"
PARALLEL_TESTS, PARALLEL_WORK = 500, 5  # some 20 ms each, so that starting is a part of it
# What `test_writes` does, with a driver alone.
WRITTEN = """
BEGIN;
INSERT INTO customers (name) VALUES ('Ann') RETURNING id;
INSERT INTO addresses (customer_id, city) VALUES (1, 'Oslo') RETURNING id;
COMMIT
"""
# The one with the tables; the kit's other one is smaller.
TEMPLATE = r"""
SELECT datname FROM pg_database WHERE datname LIKE 'holdfast\_template\_%'
ORDER BY pg_database_size(oid) DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pytest:
    """Runs the suite on a database whose name says that it is for tests."""

    url: str
    environment: dict[str, str]

    async def measure(self, file: str, tests: int, work: int, *options: str) -> Sample:
        """Run tests and give what one takes, and how often it sends something."""
        with tempfile.NamedTemporaryFile() as report:
            await self.run(file, tests + 1, work, "--report", report.name, *options)
            _first, *lines = map(json.loads, report)  # it pays for what all share
        return Sample(
            seconds=statistics.mean(line["seconds"] for line in lines),
            counts={"round trips": statistics.median(line["round_trips"] for line in lines)},
        )

    async def time(self, tests: int, *options: str) -> Sample:
        """Run tests and give the time of the whole run, by test."""
        began = time.perf_counter()
        await self.run(SHARED, tests, PARALLEL_WORK, "-p", "proofs.suite.kit", *options)
        return Sample(seconds=(time.perf_counter() - began) / tests)

    async def run(self, file: str, tests: int, work: int, *options: str) -> None:
        """Run tests in a process of their own, all of which must pass."""
        amount = ("--tests", str(tests), "--work", str(work))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pytest", *OPTIONS, *amount, *options, str(SUITE / file)),
            cwd=SUITE.parent.parent,
            env=self.environment | {"TEST_DATABASE_URL": self.url, "PYTEST_ADDOPTS": ""},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"a test failed: {output.decode(errors='replace')}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ByHand:
    """Makes, uses and drops databases with a driver alone."""

    admin: asyncpg.Connection
    server: PostgresServer
    tests: int

    async def test(self, work: int, strategy: str = "WAL_LOG") -> Sample:
        """Time all that a test with a database of its own needs."""
        began = time.perf_counter()
        for _ in range(self.tests * work):
            await self._create(strategy)
            connection = await asyncpg.connect(self.server.url("owner", "by_hand"))
            await connection.execute(WRITTEN)
            await connection.close()
            await self._drop()
        return Sample(seconds=(time.perf_counter() - began) / (self.tests * work))

    async def copy_files(self, work: int) -> Sample:
        """Time it with the other strategy."""
        return await self.test(work, "FILE_COPY")

    async def create(self, _work: int) -> Sample:
        """Time the making alone."""
        seconds = 0.0
        for _ in range(self.tests):
            began = time.perf_counter()
            await self._create("WAL_LOG")
            seconds += time.perf_counter() - began
            await self._drop()
        return Sample(seconds=seconds / self.tests)

    async def _create(self, strategy: str) -> None:
        template = await self.admin.fetchval(TEMPLATE)
        await self.admin.execute(
            f'CREATE DATABASE by_hand TEMPLATE "{template}" STRATEGY {strategy}'
        )

    async def _drop(self) -> None:
        await self.admin.execute("DROP DATABASE by_hand WITH (FORCE)")


@asynccontextmanager
async def opened() -> AsyncIterator[tuple[PostgresServer, asyncpg.Connection, Pytest]]:
    """Start a server as the kit does, with a database for tests."""
    with bytecode() as environment:
        async with PostgresServer(policy=PostgresPolicy(settings=SETTINGS)) as server:
            admin = await asyncpg.connect(server.url("owner"))
            try:
                await admin.execute("CREATE DATABASE bench_test")
                url = make_url(server.url("owner", "bench_test"))
                text = url.set(drivername="postgresql+asyncpg").render_as_string(
                    hide_password=False
                )
                yield server, admin, Pytest(url=text, environment=environment)
            finally:
                await admin.close()


@asynccontextmanager
async def sandbox(quick: bool) -> AsyncIterator[Contenders]:  # noqa: FBT001
    """More work is more of it in each of fewer tests."""

    def side(title: str, fixtures: str, options: Sequence[str]) -> tuple[str, Run]:
        async def run(work: int) -> Sample:
            tests = QUICK if quick else max(TESTS // work, FEWEST)
            return await pytest.measure(SHARED, tests, work, "-p", fixtures, *options)

        return title, run

    async with opened() as (_server, _admin, pytest):
        yield Contenders(
            limit=side("the statements alone", "benchmarks.suite.alone", PLAIN),
            peers=[
                side("external transaction", "proofs.suite.savepoints", PLAIN),
                side("TRUNCATE", "proofs.suite.truncate", PLAIN),
                side("create_all, drop_all", "proofs.suite.create_all", PLAIN_LOOPS),
            ],
            ours=side("the fixture db", "proofs.suite.kit", ()),
        )


@asynccontextmanager
async def workers(quick: bool) -> AsyncIterator[Contenders]:  # noqa: FBT001
    """Both are timed with all that a run needs, by the test."""

    def side(number: int) -> tuple[str, Run]:
        async def run(_work: int) -> Sample:
            tests = QUICK if quick else PARALLEL_TESTS
            return await pytest.time(tests, "-n", str(number), "--dist", "worksteal")

        return f"pytest -n {number}", run

    async with opened() as (_server, _admin, pytest):
        yield Contenders(limit=side(1), ours=side(2))


@asynccontextmanager
async def database(quick: bool) -> AsyncIterator[Contenders]:  # noqa: FBT001
    """More work is more databases, one after the other."""
    tests = 1 if quick else OWN_TESTS

    def kit(title: str, test: str) -> tuple[str, Run]:
        async def run(work: int) -> Sample:
            return await pytest.measure(f"{OWN}{test}", tests * work, 1)

        return title, run

    async with opened() as (server, admin, pytest):
        await pytest.run(f"{OWN}test_writes", 1, 1)  # makes the template, which all take
        hand = ByHand(admin=admin, server=server, tests=tests)
        yield Contenders(
            limit=("made, written to and dropped by hand", hand.test),
            peers=[("the same, STRATEGY FILE_COPY", hand.copy_files)],
            ours=kit("the fixture database, written to", "test_writes"),
            beside=[
                kit("the fixture database, only read", "test_reads"),
                kit("one without sequences, only read", "test_reads_without_sequences"),
                ("CREATE DATABASE alone, by hand", hand.create),
            ],
        )


SANDBOX = Row(
    name="test.sandbox",
    what="a test that commits two rows and reads them, with its fixtures",
    goals=[DifferenceGoal(at_most=0.0015)],
    contenders=sandbox,
    repeats=15,
)
WORKERS = Row(
    name="test.workers",
    what="a run of 500 tests, by the test",
    goals=[RatioGoal(at_most=1 / 1.5)],
    contenders=workers,
    grows=False,
    repeats=5,
)
DATABASE = Row(
    name="test.database",
    what="a test that commits two rows in a database of its own",
    goals=[RatioGoal(at_most=1.2)],
    contenders=database,
)
