"""Write down how each test of a run ended: a plugin of pytest.

usage: pytest -p scripts.outcomes --outcomes=FILE

The file is a JSON object: `passed`, `failed` or `skipped` by node id. It is written when the run
ends, whichever way; a test that was not run is not in it.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest


@dataclass(slots=True, eq=False)  # pytest keeps its plugins in a set
class Outcomes:
    """How each test of a run ended, by its node id."""

    by_test: dict[str, str] = field(default_factory=dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep a test's outcome: that of the call, unless set-up or tear-down went wrong."""
        if report.when == "call" or not report.passed:
            already_failed = self.by_test.get(report.nodeid) == "failed"
            self.by_test[report.nodeid] = "failed" if already_failed else report.outcome


@dataclass(slots=True, eq=False)
class OutcomesFile(Outcomes):
    """The outcomes, and the file that they are written to at the end."""

    file: Path = field(kw_only=True)

    def pytest_sessionfinish(self) -> None:
        """Write the file, and its folder where there is none."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(json.dumps(self.by_test, indent=0), encoding="utf-8")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the name of the file."""
    parser.addoption("--outcomes", type=Path, metavar="FILE", help="where to say how tests ended")


def pytest_configure(config: pytest.Config) -> None:
    """Watch the run; of its processes, the one that all others report to."""
    file = config.getoption("outcomes")
    if file and not hasattr(config, "workerinput"):
        config.pluginmanager.register(OutcomesFile(file=file))
