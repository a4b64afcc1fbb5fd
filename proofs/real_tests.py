"""Promise 9: tests on real servers are isolated, and notice what production would."""

import asyncio
import inspect
import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import asyncpg
from proofs.contract import Outcome, Proof, Servers, Side, main
from proofs.suite import shop
from sqlalchemy import make_url

SUITE = Path(__file__).parent / "suite"
REPEAT, REPEAT_QUICK = 20, 3  # of ten tests
HANGS = 15  # seconds; the slowest test takes two
OPTIONS = (
    *("-c", str(SUITE / "pyproject.toml"), "-p", "no:cacheprovider"),
    *("-o", f"faulthandler_timeout={HANGS}", "-o", "faulthandler_exit_on_timeout=true"),
)
WITHOUT_KIT = ("-p", "no:holdfast")
ONE_LOOP = (
    *("-o", "asyncio_default_fixture_loop_scope=session"),
    *("-o", "asyncio_default_test_loop_scope=session"),
)
SHORTEST = "test_a_new_shop_has_no_orders"  # one SELECT: what is left is isolation
DATABASES = "SELECT array_agg(datname) FROM pg_database"


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """How the setup, call or teardown of a test went, as `suite/conftest.py` reports it."""

    test: str
    when: str
    passed: bool
    seconds: float
    text: str


async def compare(fixtures: str, options: Sequence[str], servers: Servers) -> Outcome:
    """Run the suite and the traps with the fixtures of one side."""
    repeat = REPEAT_QUICK if servers.quick else REPEAT
    async with empty_database(servers) as url:
        pytest = partial(run_pytest, url, "-p", f"proofs.suite.{fixtures}", *options)
        started = time.monotonic()
        suite = await pytest("--repeat", str(repeat), "test_shop.py")
        took = time.monotonic() - started
        traps = await pytest("test_traps.py")
    verdicts = {
        "deferred constraint": find_constraint(traps),
        "leaked connection": find_leak(traps),
        "commit by the engine": find_commit(traps),
    }
    caught = sum(good for good, _ in verdicts.values())
    details = "; ".join(f"{trap}: {how}" for trap, (_, how) in verdicts.items())
    return Outcome(
        said=describe(suite, took),
        true=f"{caught} of {len(verdicts)} traps are caught; {details}",
        kept=caught == len(verdicts) and all(phase.passed for phase in suite),
    )


@asynccontextmanager
async def empty_database(servers: Servers) -> AsyncIterator[str]:
    """Give the URL of an empty database, and drop every database that is new at the end."""
    admin = await asyncpg.connect(servers.postgres.url("owner"))
    before = set(await admin.fetchval(DATABASES))
    try:
        await admin.execute("CREATE DATABASE shop_test")
        url = make_url(servers.postgres.url("owner", "shop_test"))
        yield url.set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)
    finally:
        for name in set(await admin.fetchval(DATABASES)) - before:
            await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        await admin.close()


async def run_pytest(url: str, *arguments: str) -> list[Phase]:
    """Run a file of the suite in a process of its own, and return what it reported."""
    *options, file = arguments
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report"
        report.touch()
        command = ("-m", "pytest", *OPTIONS, *options, "--report", str(report), str(SUITE / file))
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            cwd=SUITE.parent.parent,
            env=os.environ | {"TEST_DATABASE_URL": url, "PYTEST_ADDOPTS": ""},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        lines = report.read_text(encoding="utf-8").splitlines()
    if not lines:
        raise RuntimeError(f"pytest ran no test: {output.decode(errors='replace')}")
    return [Phase(**json.loads(line)) for line in lines]


def describe(phases: Sequence[Phase], took: float) -> str:
    """Tell how the tests went that must pass, and what a test takes by pytest's own clock."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for phase in phases:
        seconds[phase.test] += phase.seconds
    failed = {phase.test for phase in phases if not phase.passed}
    every = milliseconds(seconds.values())
    shortest = milliseconds(seconds[test] for test in seconds if test.startswith(SHORTEST))
    return (
        f"{len(seconds)} tests in {took:.1f} s, {len(failed)} failed; with setup and teardown the "
        f"median test takes {every} ms, one of a single SELECT {shortest} ms"
    )


def milliseconds(seconds: Iterable[float]) -> str:
    """Give the median."""
    return f"{statistics.median(seconds) * 1000:.1f}"


def find_constraint(phases: Sequence[Phase]) -> tuple[bool, str]:
    """Tell whether the test failed whose COMMIT the server refuses in production."""
    refused = any(
        phase.when == "call" and not phase.passed
        for phase in phases_of("test_a_voucher_pays", phases)
    )
    return refused, "its test fails" if refused else "its test passes"


def find_leak(phases: Sequence[Phase]) -> tuple[bool, str]:
    """Tell whether the test failed that leaves a connection in use, with the line that took it."""
    ended = phases_of("test_orders_are_counted", phases)
    source, first = inspect.getsourcelines(shop.count_orders)
    texts = "".join(phase.text for phase in ended if not phase.passed)
    named = [int(line) for line in re.findall(r"shop\.py:(\d+)", texts)]
    if guilty := [line for line in named if line in range(first, first + len(source))]:
        return True, f"its test fails and names shop.py:{guilty[0]}"
    if texts:
        return False, "its test fails without the line"
    if "teardown" not in {phase.when for phase in ended}:
        return False, f"no test fails, the run hangs (stopped after {HANGS} s)"
    return False, "its test passes"


def find_commit(phases: Sequence[Phase]) -> tuple[bool, str]:
    """Tell whether the next test was kept apart from what was committed by the engine."""
    ended = phases_of("test_nothing_is_left_of_the_import", phases)
    apart = bool(ended) and all(phase.passed for phase in ended)
    return apart, "taken back" if apart else "the next test sees its rows"


def phases_of(test: str, phases: Sequence[Phase]) -> list[Phase]:
    """Give the phases of a test that came to an end."""
    return [phase for phase in phases if phase.test == test]


USUAL = ["sqlalchemy", "pytest-asyncio", "asyncpg"]
PROOF = Proof(
    promise=9,
    title="Real tests: isolated and fast, and they fail where production would",
    deed=(
        "200 tests (30 in the short form) of functions that begin and commit by themselves, on "
        "eight tables. Then three traps: a COMMIT that a deferred constraint refuses, a session "
        "that is never closed, and rows that the code under test commits by the engine."
    ),
    plain=Side(
        way="create_all, drop_all",
        packages=USUAL,
        run=partial(compare, "create_all", WITHOUT_KIT),
    ),
    peers=[
        Side(
            way="TRUNCATE",
            packages=USUAL,
            run=partial(compare, "truncate", WITHOUT_KIT + ONE_LOOP),
        ),
        Side(
            way="external transaction",
            packages=USUAL,
            run=partial(compare, "savepoints", WITHOUT_KIT + ONE_LOOP),
        ),
    ],
    holdfast=Side(
        packages=["holdfast", "pytest-asyncio", "asyncpg"],
        run=partial(compare, "kit", ()),
    ),
)

if __name__ == "__main__":
    sys.exit(main([PROOF]))
