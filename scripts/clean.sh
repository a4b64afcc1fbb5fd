#!/bin/sh
# Removes what make made in this folder: servers and their data first, then environments, caches
# and results.
set -u
cd "$(dirname "$0")/.." || exit 1

rm -rf .venv .uv .cache build dist htmlcov .coverage .coverage.* benchmarks/results
rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis
find . -name __pycache__ -type d -prune -exec rm -rf {} +
