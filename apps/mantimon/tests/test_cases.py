"""How many cases the models and their relations have."""

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


@pytest.mark.parametrize(("file", "least"), [("test_models.py", 47), ("test_relations.py", 21)])
def test_there_are_enough(file, least):
    """At least as many as are asked for are collected, each on real PostgreSQL."""
    options = ["--collect-only", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    collected = subprocess.run(
        [sys.executable, "-m", "pytest", *options, TESTS / file],
        cwd=TESTS.parents[2], capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert sum("::test_" in line for line in collected.stdout.splitlines()) >= least
