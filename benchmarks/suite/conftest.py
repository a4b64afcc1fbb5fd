"""What every side has: as many tests as the row wants, and a report of what each took."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what the row decides."""
    parser.addoption("--tests", type=int, default=1, help="how often each test runs")
    parser.addoption("--work", type=int, default=1, help="how often a test does its work")
    parser.addoption("--report", type=Path, help="where a line for each test goes")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat each test."""
    metafunc.parametrize("number", range(metafunc.config.getoption("--tests")))


class Reporter:
    """Adds up the phases of each test, and the times that something was sent to a server."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seconds = 0.0
        self._sent = 0
        real = socket.socket.send

        def send(sock: Any, data: Any, flags: int = 0, /) -> int:
            self._sent += 1
            return real(sock, data, flags)

        socket.socket.send = send  # type: ignore[method-assign]  # whoever's transport it is

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write a line of JSON after the last phase."""
        self._seconds += report.duration
        if report.when != "teardown":
            return
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"seconds": self._seconds, "round_trips": self._sent}) + "\n")
        self._seconds, self._sent = 0.0, 0


def pytest_configure(config: pytest.Config) -> None:
    """Write the report, where one is asked for."""
    if file := config.getoption("--report"):
        config.pluginmanager.register(Reporter(file))


@pytest.fixture
def work(request: pytest.FixtureRequest) -> int:
    """Give how often a test does its work."""
    return int(request.config.getoption("--work"))
