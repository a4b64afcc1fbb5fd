"""Fixtures and rules that every test folder of the project shares."""

import os
import signal
from collections.abc import Generator, Iterator
from typing import TypeVar

import hypothesis
import pytest

from holdfast.testing import Clone

# How long an example takes says something about the machine, nothing about the code.
hypothesis.settings.register_profile("project", deadline=None)
hypothesis.settings.load_profile("project")

REQUIRE_ALL = "HOLDFAST_REQUIRE_ALL"
# Where child processes run what nothing else does. Measuring one nearly doubles what it costs.
MEASURED_CHILDREN = ("tests/cli/", "tests/services/")
# What takes long for what it shows, by the beginning of its name. The samples of the test kit,
# which are runs of pytest themselves, are slow as well, and what is shown again on a second server
# or, but for one file, with a second driver. `make test ALL=1` has them, too.
SLOW = (
    "apps/faceplate/tests/db/test_migrations.py",
    "apps/faceplate/tests/db/test_pool.py",
    "apps/faceplate/tests/demo/",
    "apps/faceplate/tests/services/test_context.py",
    "apps/faceplate/tests/test_cli.py",
    "apps/faceplate/tests/test_readme.py",
    "apps/mantimon/tests/cli/",
    "apps/mantimon/tests/demo/",
    "apps/mantimon/tests/services/test_history.py",
    "apps/mantimon/tests/simulation/",
    "apps/mantimon/tests/test_cases.py",
    "apps/mantimon/tests/test_cli.py::test_a_bar_is_for_terminals",
    "apps/mantimon/tests/test_cli.py::test_an_output_that_cannot_be_written",
    "apps/mantimon/tests/test_migrations.py",
    "apps/mantimon/tests/test_readme.py",
    "apps/moai/tests/cli/test_commands.py",
    "apps/moai/tests/demo/",
    "apps/moai/tests/services/test_importing.py",
    "apps/moai/tests/test_copy.py",
    "apps/moai/tests/test_database.py",
    "apps/moai/tests/test_migrations.py",
    "apps/moai/tests/test_readme.py",
    "apps/moai/tests/test_terminals.py",
    "apps/todo/tests/cli/",
    "apps/todo/tests/demo/",
    "apps/todo/tests/integration/test_migrations.py",
    "apps/todo/tests/integration/test_neon.py",
    "apps/todo/tests/test_quality.py::test_types",
    "apps/todo/tests/test_readme.py",
    "tests/cli/test_copy.py",
    "tests/cli/test_doctor.py",
    "tests/cli/test_ending.py",
    "tests/cli/test_servers.py",
    "tests/cli/test_states.py",
    "tests/contract/test_fuzz.py",
    "tests/database/test_checking_pooler.py",
    "tests/database/test_dialling.py",
    "tests/database/test_encryption.py",
    "tests/database/test_pooler.py",
    "tests/database/test_resolving.py",
    "tests/database/test_sqlite_files.py",
    "tests/fastlane/test_copy.py::test_memory_stays_what_it_is",
    "tests/fastlane/test_fetch.py",
    "tests/fastlane/test_lost.py",
    "tests/migrate/test_moving.py",
    "tests/migrate/test_noop.py",
    "tests/pool/test_renewing.py",
    "tests/pool/test_schedules.py",
    "tests/pool/test_storm.py",
    "tests/redis/test_cluster.py",
    "tests/redis/test_engines.py",
    "tests/redis/test_packing.py::test_the_same_bytes",
    "tests/redis/test_sentinels.py",
    "tests/services/test_faults.py",
    "tests/services/test_folders.py",
    "tests/services/test_gave.py",
    "tests/services/test_owners.py",
    "tests/state/explorer/test_mistakes.py",
    "tests/state/test_engines.py",
    "tests/state/test_lost.py",
    "tests/state/test_processes.py::test_nothing_is_lost_when_a_master_is_killed",
    "tests/state/test_full.py",
    "tests/state/test_refusing.py",
    "tests/state/test_writing.py::test_a_batch_that_takes_too_long",
    "tests/test_acceptance.py",
    "tests/test_architecture.py",
    "tests/test_docs.py::test_the_example_runs[docs/",
    "tests/test_docs.py::test_the_project_of_a_page_passes_its_tests",
    "tests/test_docs.py::test_the_readme_works_as_it_is_pasted",
    "tests/test_given_servers.py",
    "tests/test_packaging.py",
    "tests/test_proofs.py",
    "tests/test_repository.py::test_a_skip_fails_where_everything_must_run",
    "tests/testing/test_migrations.py",
    "tests/transfer/test_agreeing.py",
    "tests/transfer/test_atomic.py",
    "tests/transfer/test_copy.py",
    "tests/transfer/test_postgres.py",
    "tests/transfer/test_refusing.py",
    "tests/urls/test_pgbouncer.py",
    "tests/urls/test_properties.py",
    "tests/urls/test_tls.py",
)
SAMPLES = "suite"  # the fixture
SECOND_SERVER = "postgresql-system"  # the contract suite's, beside the wheel's
DRIVER, SECOND_DRIVER = "asyncpg", "psycopg"
WITH_BOTH = "tests/database/test_run.py"
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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow."""
    names = {item.nodeid for item in items}
    for item in items:
        is_sample = SAMPLES in getattr(item, "fixturenames", ())
        again = SECOND_SERVER in item.nodeid or _is_with_the_other_driver(item.nodeid, names)
        if item.nodeid.startswith(SLOW) or is_sample or again:
            item.add_marker(pytest.mark.slow)


def _is_with_the_other_driver(nodeid: str, names: set[str]) -> bool:
    with_the_first = nodeid.replace(SECOND_DRIVER, DRIVER)
    return with_the_first != nodeid and with_the_first in names and WITH_BOTH not in nodeid


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


@pytest.fixture(scope="module", autouse=True)
def _children_are_measured_where_it_tells(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if not request.node.nodeid.startswith(MEASURED_CHILDREN):
            patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        yield


@pytest.fixture
def database_url(empty_clone: Clone) -> str:
    """Give the URL of an empty database, as the role that migrates."""
    return empty_clone.owner
