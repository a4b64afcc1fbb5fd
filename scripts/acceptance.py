"""Run the tests that docs/acceptance.md names and count the requirements that they prove.

usage: acceptance.py [PAGE]

Run in the project's folder. Exits 1 when a named test does not exist, was skipped or failed; an
id without a test is only not proved.
"""

import re
import sys
import textwrap
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PAGE = Path("docs/acceptance.md")
ROW = re.compile(r"^\| (?P<id>[A-Z]+-[\w-]+) \| .* \| (?P<tests>[^|]*) \|$")
LOOSE_ROW = re.compile(r"^\|\s*[A-Z]+-[\w-]*\d")
TEST = re.compile(r"`([^`]+)`")
NO_TEST = "\N{EN DASH}"


class PageError(Exception):
    """The page cannot be read; the message names the line."""


@dataclass(slots=True, eq=False)  # pytest keeps its plugins in a set
class Outcomes:
    """A pytest plugin: keeps to the named tests and remembers how each ended."""

    named: frozenset[str]
    by_test: dict[str, str] = field(default_factory=dict)

    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Leave out what stands in the same files but is not named."""
        dropped = [item for item in items if not self._is_named(item.nodeid)]
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if self._is_named(item.nodeid)]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep a test's outcome: that of the call, unless set-up or tear-down went wrong."""
        if report.when == "call" or not report.passed:
            already_failed = self.by_test.get(report.nodeid) == "failed"
            self.by_test[report.nodeid] = "failed" if already_failed else report.outcome

    def of(self, test: str) -> set[str]:
        """Return the outcomes of everything that one name on the page stands for."""
        found = {ended for nodeid, ended in self.by_test.items() if test in names_of(nodeid)}
        return found or {"not found"}

    def _is_named(self, nodeid: str) -> bool:
        return any(name in self.named for name in names_of(nodeid))


def main(arguments: list[str]) -> int:
    """Run the named tests, print what is not proved, return the exit code."""
    page = Path(arguments[0]) if arguments else PAGE
    try:
        rows = read(page.read_text(encoding="utf-8"))
    except (OSError, PageError) as error:
        print(f"acceptance: {page}: {error}", file=sys.stderr)
        return 1
    ended = run({test for tests in rows.values() for test in tests})
    problems = [
        f"{requirement}: {test}: {', '.join(sorted(ended[test]))}"
        for requirement, tests in rows.items()
        for test in tests
        if ended[test] != {"passed"}
    ]
    proved = {
        requirement
        for requirement, tests in rows.items()
        if tests and all(ended[test] == {"passed"} for test in tests)
    }
    report(rows, proved, problems)
    return 1 if problems else 0


def read(text: str) -> dict[str, list[str]]:
    """Return the tests of each id, in the order of the page.

    Raises:
        PageError: an id stands twice, or a row is not of the form `| id | what | tests |`.
    """
    rows: dict[str, list[str]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        row = ROW.match(line)
        if row is None:
            if LOOSE_ROW.match(line):
                raise PageError(f"line {number} is not `| id | what | tests |`: {line}")
            continue
        if row["id"] in rows:
            raise PageError(f"line {number}: {row['id']} stands twice")
        rows[row["id"]] = tests = TEST.findall(row["tests"])
        if not tests and row["tests"].strip() != NO_TEST:
            raise PageError(f"line {number}: {row['id']} has neither `tests` nor {NO_TEST}")
    return rows


def run(tests: set[str]) -> dict[str, set[str]]:
    """Run the named tests in one pytest session and return how each name's tests ended."""
    outcomes = Outcomes(named=frozenset(tests))
    files = sorted({test.split("::")[0] for test in tests})
    files = [file for file in files if Path(file).is_file()]
    if files:
        options = ["--quiet", "--no-header", f"--rootdir={Path.cwd()}"]
        one_broken_file = "--continue-on-collection-errors"  # must not hide the others' outcomes
        pytest.main([*options, one_broken_file, *files], plugins=[outcomes])
    return {test: outcomes.of(test) for test in tests}


def names_of(nodeid: str) -> list[str]:
    """Return every name that stands for a test: itself, without parameters, its class, its file.

    >>> names_of("tests/test_a.py::test_b[1]")
    ['tests/test_a.py::test_b[1]', 'tests/test_a.py::test_b', 'tests/test_a.py']
    """
    plain = nodeid.split("[", maxsplit=1)[0].split("::")
    shorter = ["::".join(plain[:length]) for length in range(len(plain), 0, -1)]
    return list(dict.fromkeys([nodeid, *shorter]))


def report(rows: dict[str, list[str]], proved: set[str], problems: list[str]) -> None:
    """Print what went wrong, the ids that are not proved by application, and the count."""
    for problem in problems:
        print(f"acceptance: {problem}")
    missing: dict[str, list[str]] = defaultdict(list)
    for requirement in rows:
        if requirement not in proved:
            application, number = requirement.split("-", 1)
            missing[application].append(number)
    for application, numbers in missing.items():
        line = f"not proved: {application} {' '.join(numbers)}"
        print(textwrap.fill(line, 98, subsequent_indent=" " * 17))
    print(f"acceptance: {len(proved)} of {len(rows)} proved")


if __name__ == "__main__":
    sys.path[0] = str(Path.cwd())  # as `python -m pytest` has it
    sys.exit(main(sys.argv[1:]))
