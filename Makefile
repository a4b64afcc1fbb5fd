# Everything that make makes stays in this folder; `make clean` takes it away again.
# PYTHON names the interpreter to use (3.11 or newer), VENV the environment's folder.
PYTHON ?=
VENV ?= .venv

python := $(VENV)/bin/python
typed := src scripts $(sort $(dir $(wildcard apps/*/src/*/__init__.py proofs/*.py benchmarks/*.py)))

export UV_CACHE_DIR ?= $(CURDIR)/.cache/uv

# The targets share servers, caches and two cores: `make -j` is accepted and changes nothing.
.NOTPARALLEL:
.PHONY: help demo test check bench proofs acceptance redis-versions soak clean lock

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s%s\n", $$1, $$2 }' Makefile

demo: $(VENV)/installed  ## all four applications on real servers, from nothing, in a minute
	@$(python) -m mantimon.demo
	@$(python) -m faceplate.demo
	@$(python) -m moai.demo
	@$(python) -m todo.demo

test: $(VENV)/installed  ## run the tests; ALL=1 the slow ones too, COVERAGE=1 with their coverage
	@$(python) scripts/run_tests.py

check: $(VENV)/installed  ## lint, format, types and the rules of the architecture
	@$(python) -m ruff check --quiet .
	@$(python) -m ruff format --quiet --check .
	@$(python) -m mypy --no-error-summary $(typed)
	@$(python) -m pytest --quiet --no-header tests/test_architecture.py
	@echo "check: ok"

bench: $(VENV)/installed  ## measure each row beside its limit and its peers
	@$(python) -m benchmarks $(if $(QUICK),--quick)

proofs: $(VENV)/installed  ## show each promise broken on the plain stack and kept by Holdfast
	@$(python) -m proofs $(if $(QUICK),--quick)

acceptance: $(VENV)/installed  ## run the tests that docs/acceptance.md names and count what is proved
	@$(python) -m scripts.acceptance $(if $(RESULTS),--results '$(RESULTS)')

redis-versions: $(VENV)/installed  ## run the tests of the state store on each Redis and Valkey
	@$(python) -m scripts.redis_versions

soak: $(VENV)/installed  ## find rare failures: tests that do harm, then all until SOAK_MINUTES (30)
	@$(python) scripts/soak.py $(if $(QUICK),--quick)

lock: scripts/environment.py  ## write requirements.txt anew from the pyproject files
	@python=$$(PYTHON='$(PYTHON)' sh scripts/find-python.sh) && "$$python" scripts/environment.py --lock

clean:  ## stop servers of this folder and remove everything that make made
	@VENV='$(VENV)' sh scripts/clean.sh

$(VENV)/installed: requirements.txt pyproject.toml $(wildcard apps/*/pyproject.toml)
	@python=$$(PYTHON='$(PYTHON)' sh scripts/find-python.sh) && \
		"$$python" scripts/environment.py --venv '$(VENV)'
