"""Run the tests; with COVERAGE set, hold each package to its share of coverage, and some modules.

usage: run_tests.py [PYTEST ARGUMENTS]

Those marked slow (conftest.py says which) run with ALL or COVERAGE set only. Coverage takes half as
long again, in the tests' many child processes most of all. Such a run says in OUTCOMES how each
test ended, which scripts/acceptance.py can count from.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEAST_COVERAGE = 90  # percent, of each package by itself
# What tests go around with an engine of their own, which a package's share would not show.
MODULES = (ROOT / "apps" / "faceplate" / "src" / "faceplate" / "db" / "session.py",)
COVERAGE = ("--cov", "--cov-report=")  # a table of all files would hide what failed
OUTCOMES = ROOT / ".cache" / "outcomes.json"
KEPT = ("-p", "scripts.outcomes", f"--outcomes={OUTCOMES}")
REPORT = (sys.executable, "-m", "coverage", "report")
NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
ONE_ROUND = {"HOLDFAST_ROUNDS": "1"}  # in which processes and servers are killed, of five
# A test that hangs ends the run after two minutes, and shows where it stood.
NO_HANGING = ("-o", "faulthandler_timeout=120", "-o", "faulthandler_exit_on_timeout=true")
# One more than there are cores: tests wait for servers. A process that has nothing left takes over
# from the other's end, so that all end together; until then a file's tests stay together and share
# its fixtures. Servers are shared by all.
IN_PARALLEL = (
    "-n",
    str(min((os.cpu_count() or 1) + 1, 4)),
    "--dist",
    "worksteal",
    "--max-worker-restart=0",
)


def main(arguments: list[str]) -> int:
    """Run pytest with the given arguments; return its exit code, or 1 where coverage is short."""
    measured = bool(os.environ.get("COVERAGE"))
    every = measured or bool(os.environ.get("ALL"))
    choice = (*COVERAGE, *KEPT) if measured else () if every else ("-m", "not slow")
    options = ("--quiet", *choice, *IN_PARALLEL, *NO_HANGING)
    command = [sys.executable, "-m", "pytest", *options, *arguments]
    # Without bytecode every child process would compile the project anew.
    environ = {name: value for name, value in os.environ.items() if name != NO_BYTECODE}
    if not every:
        environ = ONE_ROUND | environ
    if measured:
        OUTCOMES.unlink(missing_ok=True)  # a run that dies must not leave another's
    failed = subprocess.run(command, cwd=ROOT, env=environ, check=False).returncode
    if not every:
        print("test: what is marked slow was left out; make test ALL=1 runs it too")
    if failed or not measured:
        return failed
    print(f"test: {percent()} % is covered; `coverage report` names the lines that are not")
    short = [source for source in sources() if not is_covered(source)]
    for source in short:
        print(f"test: less than {LEAST_COVERAGE} % of {source.relative_to(ROOT)} is covered")
    return 1 if short else 0


def sources() -> list[Path]:
    """Return what is held by itself: the library, the applications, and modules of theirs."""
    return [ROOT / "src" / "holdfast", *sorted(ROOT.glob("apps/*/src/*")), *MODULES]


def percent() -> str:
    """Return the share of everything that the run that just ended covered."""
    command = [*REPORT, "--format=total"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return result.stdout.strip()


def is_covered(source: Path) -> bool:
    """Tell whether the run that just ended covered enough of one package or module."""
    files = source if source.suffix else f"{source}/*"
    command = [*REPORT, f"--include={files}", f"--fail-under={LEAST_COVERAGE}"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    return result.returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
