"""Run what takes long, to find what fails one time in a hundred.

usage: soak.py [--quick] [PYTEST ARGUMENTS]

First the test kit with hundreds of tests of which some do harm, each time others; then rounds of
all tests until SOAK_MINUTES (30) are over. Ends with the first run that fails. With --quick it is
fewer tests of the kit, always the same, and nothing else. SOAK_SEED repeats a run of the kit.
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
TESTS = 500
QUICK_TESTS = 60


def main(arguments: list[str]) -> int:
    """Run the kit's tests, then rounds of all; return the exit code of the first that fails."""
    if "--quick" in arguments:
        return run("kit, short form", KIT, SOAK_TESTS=str(QUICK_TESTS), SOAK_SEED="1")
    end = time.monotonic() + 60 * float(os.environ.get("SOAK_MINUTES", "30"))
    seed = os.environ.get("SOAK_SEED") or str(secrets.randbelow(1_000_000))
    failed = run("kit", KIT, SOAK_TESTS=str(TESTS), SOAK_SEED=seed)
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
