"""What every side has: repeated tests, a report for the proof, and a shop with an order."""

import json
from pathlib import Path

import pytest
from proofs.suite.shop import Sessions, offer, place_order, register


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what the proof decides."""
    parser.addoption("--repeat", type=int, default=1, help="how often each test runs")
    parser.addoption("--report", type=Path, required=True, help="where a line for each phase goes")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat the tests that do not depend on each other."""
    if metafunc.module.__name__ == "test_shop":
        metafunc.fixturenames.append("repeat")
        # The scope makes pytest run all tests once, then all again: none has a quiet minute alone.
        repeat = range(metafunc.config.getoption("--repeat"))
        metafunc.parametrize("repeat", repeat, scope="session")


class Reporter:
    """Writes each phase of a test as it ends, for a run that may hang in the next."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write a line of JSON."""
        line = {
            "test": report.nodeid.partition("::")[2],
            "when": report.when,
            "passed": report.passed,
            "seconds": report.duration,
            "text": report.longreprtext,
        }
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def pytest_configure(config: pytest.Config) -> None:
    """Write the report."""
    config.pluginmanager.register(Reporter(config.getoption("--report")))


@pytest.fixture
async def customer(sessions: Sessions) -> int:
    """Give the id of a customer."""
    return await register(sessions, "Ann", "Oslo")


@pytest.fixture
async def product(sessions: Sessions) -> int:
    """Give the id of a product, five of which are in stock."""
    return await offer(sessions, "lamp", price=30, amount=5)


@pytest.fixture
async def order(sessions: Sessions, customer: int, product: int) -> int:
    """Give the id of an order."""
    return await place_order(sessions, customer, product, 2)
