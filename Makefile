# Every command sets up what it needs first. Python 3.11 or newer and git are enough.

VENV := .venv
PYTEST_ARGS ?=

# Compiled once, not again in each worker and in each process that tests start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo up setup setup-dev test check e2e bench proto requirements clean

help:  ## show the commands
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: setup  ## the platform with a simulated fleet and a rollout in progress
	@$(VENV)/bin/fleetd demo

up: setup  ## the platform, empty, for real use on this machine
	@$(VENV)/bin/fleetd up

setup:  ## virtual environment with fleetd, fleetctl and fleetd-agent
	@scripts/setup.sh base

setup-dev:
	@scripts/setup.sh dev

test: setup-dev  ## the whole test suite on its own PostgreSQL and Valkey
	@$(VENV)/bin/python -m pytest -n 2 $(PYTEST_ARGS)

check: setup-dev  ## format, lint, types, import contracts, proto, migrations, templates
	@$(VENV)/bin/python scripts/check.py

e2e: setup-dev  ## browser tests with this machine's Chromium
	@$(VENV)/bin/python -m pytest tests/e2e $(PYTEST_ARGS)

bench: setup-dev  ## benchmarks; writes bench/results/*.json
	@$(VENV)/bin/python -m bench

proto: setup-dev  ## generate code from proto/
	@$(VENV)/bin/python scripts/generate_proto.py

requirements: setup-dev  ## pin requirements/*.in with hashes
	@for name in setup base dev; do \
	  $(VENV)/bin/uv pip compile -q --generate-hashes --python-version 3.11 \
	    requirements/$$name.in -o requirements/$$name.txt || exit 1; \
	done

clean:  ## remove the virtual environment and caches; your data in var/ stays
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
