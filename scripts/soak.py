"""Repeat the tests until the time is over, to find what fails one time in a hundred.

usage: soak.py [PYTEST ARGUMENTS]

SOAK_MINUTES says for how long (30). Ends with the first round that fails.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: list[str]) -> int:
    """Run rounds of the tests; return the exit code of the first that fails, else 0."""
    end = time.monotonic() + 60 * float(os.environ.get("SOAK_MINUTES", "30"))
    command = [sys.executable, "-m", "pytest", "--quiet", "--no-header", *arguments]
    rounds = 0
    while rounds == 0 or time.monotonic() < end:
        rounds += 1
        print(f"soak: round {rounds}", flush=True)
        if failed := subprocess.run(command, cwd=ROOT, check=False).returncode:
            print(f"soak: round {rounds} failed")
            return failed
    print(f"soak: {rounds} rounds passed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
