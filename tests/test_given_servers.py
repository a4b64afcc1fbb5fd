"""The suite runs on servers that are given, and starts none of its own then."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
SAMPLE = [
    "tests/cli/test_migrations.py::test_forward_and_back",
    "apps/mantimon/tests/test_models.py::test_create",
    "apps/mantimon/tests/test_redis.py::test_the_client_answers",
]


def test_the_suite_runs_on_given_servers(clone, redis_url, tmp_path):
    """With TEST_DATABASE_URL and TEST_REDIS_URL set, tests pass where no server can be started."""
    given = {
        "TEST_DATABASE_URL": clone.owner,
        "TEST_REDIS_URL": redis_url,
        # Starting one would fail: there is nothing in this folder.
        "HOLDFAST_POSTGRES_BIN": str(tmp_path),
        "HOLDFAST_REDIS_BIN": str(tmp_path / "redis-server"),
    }

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *SAMPLE],
        cwd=ROOT,
        env=os.environ | given,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 passed" in done.stdout
