#!/bin/sh
# Removes what make made in this folder: servers and their data first, then environments, caches
# and results. VENV names the environment that has the command which stops servers.
set -u
cd "$(dirname "$0")/.." || exit 1
venv=${VENV:-.venv}

find . -name .holdfast -type d -prune | {
    failed=0
    while read -r data; do
        if [ ! -x "$venv/bin/holdfast" ]; then
            echo "clean: $data is left: what stops its servers is not installed (make $venv/installed)" >&2
            failed=1
        elif ! (command=$PWD/$venv/bin/holdfast && cd "$data/.." && "$command" down --remove-data); then
            failed=1
        fi
    done
    exit "$failed"
} || exit 1

rm -rf "$venv" .uv .cache build dist htmlcov .coverage .coverage.* benchmarks/results
rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis
find . -name __pycache__ -type d -prune -exec rm -rf {} +
