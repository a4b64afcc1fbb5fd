"""Count the requirements of docs/acceptance.md that are proved, by running the tests it names.

usage: python -m scripts.acceptance [--results FILE] [PAGE]

Run in the project's folder. Exits 1 when a named test does not exist, was skipped or failed; an
id without a test is only not proved.

With a file that scripts/outcomes.py wrote nothing is run: what it says of the named tests counts,
and one that it does not name was not found. It is believed, so it must be of a run of this very
commit: `make test COVERAGE=1` takes the last one's away when it starts and writes its own.
"""

import argparse
import json
import re
import sys
import textwrap
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from scripts.outcomes import Outcomes

PAGE = Path("docs/acceptance.md")
ROW = re.compile(r"^\| (?P<id>[A-Z]+-[\w-]+) \| .* \| (?P<tests>[^|]*) \|$")
LOOSE_ROW = re.compile(r"^\|\s*[A-Z]+-[\w-]*\d")
TEST = re.compile(r"`([^`]+)`")
NO_TEST = "\N{EN DASH}"
NOT_FOUND = {"not found"}


class PageError(Exception):
    """The page cannot be read; the message names the line."""


class ResultsError(Exception):
    """The file of outcomes cannot be read; the message says what makes one."""


@dataclass(frozen=True, slots=True, eq=False)  # pytest keeps its plugins in a set
class Named:
    """A pytest plugin: keeps to the named tests."""

    names: frozenset[str]

    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Leave out what stands in the same files but is not named."""
        dropped = [item for item in items if not self._has(item.nodeid)]
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if self._has(item.nodeid)]

    def _has(self, nodeid: str) -> bool:
        return not self.names.isdisjoint(names_of(nodeid))


def main(arguments: list[str]) -> int:
    """Print what is not proved, of the named tests or of how they ended; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--results", type=Path, metavar="FILE")
    parser.add_argument("page", type=Path, nargs="?", default=PAGE)
    given = parser.parse_args(arguments)
    try:
        rows = read(given.page.read_text(encoding="utf-8"))
    except (OSError, PageError) as error:
        print(f"acceptance: {given.page}: {error}", file=sys.stderr)
        return 1
    named = frozenset(test for tests in rows.values() for test in tests)
    try:
        ended = by_name(kept_in(given.results) if given.results else run(named))
    except ResultsError as error:
        print(f"acceptance: {error}", file=sys.stderr)
        return 1
    problems = [
        f"{requirement}: {test}: {', '.join(sorted(ended.get(test, NOT_FOUND)))}"
        for requirement, tests in rows.items()
        for test in tests
        if ended.get(test) != {"passed"}
    ]
    proved = {
        requirement
        for requirement, tests in rows.items()
        if tests and all(ended.get(test) == {"passed"} for test in tests)
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


def run(named: frozenset[str]) -> dict[str, str]:
    """Run the named tests in one pytest session and return how each ended, by node id."""
    outcomes = Outcomes()
    files = sorted({test.split("::")[0] for test in named})
    files = [file for file in files if Path(file).is_file()]
    if files:
        options = ["--quiet", "--no-header", f"--rootdir={Path.cwd()}"]
        one_broken_file = "--continue-on-collection-errors"  # must not hide the others' outcomes
        pytest.main([*options, one_broken_file, *files], plugins=[Named(named), outcomes])
    return outcomes.by_test


def kept_in(file: Path) -> dict[str, str]:
    """Return how each test of the run ended that wrote the file, by node id.

    Raises:
        ResultsError: the file is missing or its run did not come to its end.
    """
    try:
        ended: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ResultsError(f"{file}: {error}; `make test COVERAGE=1` writes it") from error
    return ended


def by_name(ended: Mapping[str, str]) -> dict[str, set[str]]:
    """Return the outcomes of everything that one name on the page stands for."""
    outcomes: dict[str, set[str]] = defaultdict(set)
    for nodeid, outcome in ended.items():
        for name in names_of(nodeid):
            outcomes[name].add(outcome)
    return outcomes


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
    sys.exit(main(sys.argv[1:]))
