"""Run what takes long, to find what fails one time in a hundred.

usage: soak.py [--quick] [PYTEST ARGUMENTS]

First ten minutes in which 200 tasks write while back ends are ended, the server restarts and
tasks are cancelled; then the pool with many more cancellations and schedules than its tests have,
tens of thousands of values in columns of each type, a state store with tens of thousands of
schedules, a hundred rounds in which everything is killed and forty in which masters are, and the
test kit with hundreds of tests of which some do harm, each time others; then rounds of all tests
until SOAK_MINUTES (30) are over. Ends with the first run that fails. With --quick it is half a
minute of the first and fewer tests of the kit, always the same. SOAK_SEED repeats a run.
"""

import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTEST = (sys.executable, "-m", "pytest", "--quiet", "--no-header")
KIT = (*PYTEST, "-rP", "tests/testing/soak.py")  # -rP: say the seed
STORM = (sys.executable, "scripts/storm.py")
POOL = (*PYTEST, "tests/pool/test_storm.py", "tests/pool/test_schedules.py")
EXPLORER = (*PYTEST, "tests/state/explorer/test_schedules.py", "tests/state/explorer/test_twins.py")
PROCESSES = (*PYTEST, "tests/state/test_processes.py")
FUZZ = (*PYTEST, "tests/contract/test_fuzz.py")
VALUES = 2_000  # for each type of column
CANCELLED = 10_000  # for each way and driver
SCHEDULES = 10_000
STATES = 20_000  # schedules of a state store
ROUNDS = 100  # in which its processes and servers are killed
FAILOVERS = 20  # rounds for Sentinels and as many for a cluster, in which masters are
TESTS = 500
QUICK_TESTS = 60


def main(arguments: list[str]) -> int:
    """Run each in turn, and rounds of all tests; return the first exit code of a failure."""
    if "--quick" in arguments:
        storm = (*STORM, "--seconds", "30", "--seed", "1")
        return run("storm, short form", storm) or run(
            "kit, short form", KIT, SOAK_TESTS=str(QUICK_TESTS), SOAK_SEED="1"
        )
    end = time.monotonic() + 60 * float(os.environ.get("SOAK_MINUTES", "30"))
    seed = os.environ.get("SOAK_SEED") or str(secrets.randbelow(1_000_000))
    failed = run("storm", (*STORM, "--seed", seed))
    failed = failed or run(
        "pool", POOL, HOLDFAST_STORM=str(CANCELLED), HOLDFAST_SCHEDULES=str(SCHEDULES)
    )
    failed = failed or run(
        "values", (*FUZZ, f"--hypothesis-seed={seed}"), HOLDFAST_FUZZ=str(VALUES)
    )
    failed = failed or run("states", EXPLORER, HOLDFAST_SCHEDULES=str(STATES), SOAK_SEED=seed)
    rounds_of = {"HOLDFAST_ROUNDS": str(ROUNDS), "HOLDFAST_FAILOVERS": str(FAILOVERS)}
    failed = failed or run("states, processes", PROCESSES, HOLDFAST_SEED=seed, **rounds_of)
    failed = failed or run("kit", KIT, SOAK_TESTS=str(TESTS), SOAK_SEED=seed)
    rounds = 0
    while not failed and (rounds == 0 or time.monotonic() < end):
        rounds += 1
        failed = run(f"round {rounds}", (*PYTEST, *arguments))
    return failed


def run(name: str, command: tuple[str, ...], **environ: str) -> int:
    """Run something by its name; return its exit code."""
    print(f"soak: {name}", flush=True)
    code = subprocess.run(command, cwd=ROOT, env=os.environ | environ, check=False).returncode
    print(f"soak: {name} {'failed' if code else 'passed'}", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
