"""Run the tests of the state store and of the Redis clients on each version that is supported.

usage: python -m scripts.redis_versions [PYTEST ARGUMENTS]

A line for each says what was run, how it ended and how long it took. What cannot be had on this
machine is said, with what would help; with HOLDFAST_REQUIRE_ALL=1 that is a failure, as is a test
that fails.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from scripts.redis_binaries import VERSIONS, MissingError

from holdfast.errors import ConfigurationError
from holdfast.services import Binary, find_redis

ROOT = Path(__file__).resolve().parent.parent
TESTS = (
    *(sys.executable, "scripts/run_tests.py", "tests/state", "tests/redis"),
    "--ignore=tests/state/explorer",  # it has no server
)
ROUNDS = "2"  # in which processes and servers are killed; `make test` has more
NOT_PASSED_ON = ("ALL", "COVERAGE", "TEST_REDIS_URL")
PROGRAM = "HOLDFAST_REDIS_BIN"
SUMMARY = re.compile(r"^(.*\b(?:passed|failed|error).*) in [\d.]+s", re.MULTILINE)


def main(arguments: Sequence[str]) -> int:
    """Run the tests on each; return 1 where one failed, or is missing and must not be."""
    failed = False
    for title, find in VERSIONS.items():
        try:
            program = identified(title, find())
        except MissingError as reason:
            say(f"{title} was not run: {reason}")
            failed |= os.environ.get("HOLDFAST_REQUIRE_ALL") == "1"
        else:
            failed |= not passes(program, arguments)
    return int(failed)


def identified(title: str, program: Path) -> Binary:
    """Run a program to see whether it is what the title says.

    Raises:
        MissingError: it is something else, or does not run here.
    """
    os.environ[PROGRAM] = str(program)
    try:
        found = find_redis()
    except ConfigurationError as error:
        raise MissingError(f"{error}; `ldd {program}` names what it lacks") from None
    if not f"{found.product} {found.version}.".startswith(f"{title}."):
        raise MissingError(f"{program} is {found.product} {found.version}")
    return found


def passes(program: Binary, arguments: Sequence[str]) -> bool:
    """Run the tests on a server, and say how that ended; what failed is shown."""
    environ = {name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON}
    environ |= {PROGRAM: str(program.path), "HOLDFAST_ROUNDS": ROUNDS}
    began = time.monotonic()
    done = subprocess.run(
        [*TESTS, *arguments],
        cwd=ROOT,
        env=environ,
        text=True,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode:
        print(done.stdout)
    summary = [*SUMMARY.findall(done.stdout), f"exit {done.returncode}"][0]
    seconds = time.monotonic() - began
    say(f"{program.product} {program.version}: {summary} in {seconds:.0f} s")
    return not done.returncode


def say(text: str) -> None:
    """Print a line at once."""
    print(f"redis-versions: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
